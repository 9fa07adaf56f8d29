//! A guard needs what it watches.

use crate::model::Measure;
use crate::read::Draft;
use crate::reader::Reader;

use super::contradiction;

pub(super) fn check(draft: &Draft, reader: &mut Reader) {
    let gate = draft.gates.http.is_some();
    let database = draft.source.postgres.is_some() && draft.target.postgres.is_some();
    for it in &draft.guards {
        let name = it.guard.measure.name();
        let missing = match it.guard.measure {
            Measure::ErrorRate | Measure::LatencyP99 if !gate => "`gates.http`, which measures it",
            Measure::RelayLag | Measure::SlotRetained | Measure::RowsDifferent if !database => {
                "`postgres` on both sides"
            }
            _ => continue,
        };
        let found = format!("a guard on {name}, which this plan does not have");
        contradiction(reader, it.place, &it.path, &found, missing);
    }
}
