//! Through the plan's own steps between both throw-away databases; at every boundary the way back
//! that the recovery plan names is taken, and the run goes there again, while our writes go on.

use std::time::Instant;

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState};
use changeover_plan::document::way_back;
use changeover_plan::rehearsal::{Boundary, Station};
use changeover_types::Side;

use super::{Rehearsal, millis};
use crate::verbs::rehearse::stage::phase;

impl Rehearsal<'_> {
    /// From the first boundary to the last, there and back and there again.
    pub(super) async fn walk(&mut self) -> Result<(), Report> {
        self.move_.write(Some(self.throwaway.second_url()))?;
        for at in 0..self.walk.stations.len() {
            let station = self.walk.stations[at].clone();
            let boundary = self.boundary(&station).await?;
            self.output.note(format!("behind {}: {}", boundary.step, boundary.words()));
            self.output.emit("boundary", &boundary);
            self.measured.boundaries.push(boundary);
        }
        self.measured.write_pause_ms = Some(millis(self.load.longest_pause()));
        Ok(())
    }

    async fn boundary(&mut self, station: &Station) -> Result<Boundary, Report> {
        self.go_to(station).await?;
        let moved = self.move_.authority()? == Side::Target;
        let side = if moved { Side::Target } else { Side::Source };
        self.nothing_missing(side).await?;
        let begun = Instant::now();
        self.go_back().await?;
        let back_ms = millis(begun.elapsed());
        self.nothing_missing(Side::Source).await?;
        let rows_compared = match moved {
            true => Some(self.move_.compare(self.output).await?),
            false => None,
        };
        let writes = self.load.acknowledged();
        let begun = Instant::now();
        self.go_to(station).await?;
        let again_ms = millis(begun.elapsed());
        let said = way_back(&self.planned.plan, station.index);
        let said = said.iter().map(|verb| (*verb).to_owned()).collect();
        let step = station.path.clone();
        Ok(Boundary { step, said, moved, back_ms, again_ms, rows_compared, writes })
    }

    /// To the end of the step; also from where a rollback left it.
    async fn go_to(&mut self, station: &Station) -> Result<(), Report> {
        let there =
            |state: &RunState| matches!(state, RunState::Resting { .. } | RunState::Done { .. });
        self.under_load(Some(Ask::Until { phase: phase(station.index) }), there).await
    }

    /// Everything back to the second database.
    pub(super) async fn go_back(&mut self) -> Result<(), Report> {
        let ask = Ask::Rollback { why: "a rehearsal goes back".to_owned() };
        let is_back = |state: &RunState| matches!(state, RunState::RolledBack { .. });
        self.under_load(Some(ask), is_back).await
    }
}
