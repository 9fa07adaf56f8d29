//! What a rehearsal measured, for the next `plan`.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use changeover_engine::Report;
use changeover_plan::Plan;
use changeover_plan::estimate::Earlier;
use changeover_plan::rehearsal::{Walk, paths_of};

use super::stage::phase;
use crate::earlier::{self, MEASUREMENTS};
use crate::view;

/// So many rehearsals are remembered.
const KEPT: usize = 20;

/// Takes the times from both journals. The copy's are the real source's, the cutover's and the way
/// back's are the throw-away databases'.
pub(super) fn gather(
    measured: &mut Earlier,
    plan: &Plan,
    copied: Option<&Earlier>,
    walked: Option<(&Earlier, &Walk)>,
) {
    measured.origin = format!("rehearsal of {}", view::instant(changeover_engine::now()));
    let known = copied.iter().flat_map(|it| &it.steps);
    let of_copy = ["copy/replicate", "copy/verify"];
    for (path, ms) in known.filter(|(path, _)| of_copy.contains(&path.as_str())) {
        measured.steps.extend(paths_of(plan, path).into_iter().map(|path| (path, *ms)));
    }
    let Some((walked, walk)) = walked else { return };
    for station in &walk.stations {
        let took = walked.steps.get(&format!("{}/{}", phase(station.index), station.step.name()));
        if let Some(ms) = took.filter(|_| !measured.steps.contains_key(&station.path)) {
            measured.steps.insert(station.path.clone(), *ms);
        }
    }
    measured.rollback_ms = walked.rollback_ms;
}

/// Adds it to what earlier rehearsals measured; whole or not at all.
pub(super) fn append(state_dir: &Path, measured: &Earlier) -> Result<(), Report> {
    let mut all = earlier::measurements(state_dir)?;
    all.push(measured.clone());
    let skip = all.len().saturating_sub(KEPT);
    let fault = || Report::new("CO0195", "what the rehearsal measured cannot be written");
    let text = serde_json::to_string_pretty(&all[skip..]).map_err(|e| fault().because(&e))?;
    let (new, file) = (state_dir.join(".measurements.new"), state_dir.join(MEASUREMENTS));
    let write = || {
        let mut it = File::create(&new)?;
        it.write_all(text.as_bytes())?;
        it.sync_all()?;
        fs::rename(&new, &file)
    };
    write().map_err(|e| fault().because(&e))
}
