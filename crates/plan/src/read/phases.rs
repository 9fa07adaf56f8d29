//! `phases`.

use crate::fault::FaultKind;
use crate::model::{Entrance, Objectives};
use crate::reader::{Field, Fields, Reader};

use super::{PhaseDraft, approve, steps, window};

const UNBUILT: &[&str] = &["guards", "checks", "on_fail", "timeout"];
const PHASES_MAX: usize = 64;
const STEPS_MAX: usize = 64;

/// `None` if the plan has no `phases`.
pub(super) fn read(
    fields: &mut Fields<'_>,
    objectives: &Objectives,
    reader: &mut Reader,
) -> Option<Vec<PhaseDraft>> {
    let field = fields.get("phases")?;
    let items = reader.list(&field, "phases").unwrap_or_default();
    let counted = 1..=PHASES_MAX;
    if !counted.contains(&items.len()) && matches!(field.node.shape, crate::node::Shape::List(_)) {
        reader.bad(FaultKind::WrongValue, &field, format!("1 to {PHASES_MAX} phases"));
        reader.hint("leave `phases` out to get the usual ones");
    }
    let mut phases: Vec<PhaseDraft> = Vec::new();
    for item in &items {
        let Some(phase) = phase(item, objectives, reader) else { continue };
        if phases.iter().any(|known| known.name == phase.name) {
            let found = format!("the phase `{}` a second time", phase.name);
            let expected = "a name of its own for each phase";
            reader.fault(FaultKind::Contradiction, item.place(), &item.path, found, expected);
        }
        phases.push(phase);
    }
    Some(phases)
}

fn phase(field: &Field<'_>, objectives: &Objectives, reader: &mut Reader) -> Option<PhaseDraft> {
    let mut fields = reader.map(field)?;
    let expected = "a name of a-z, 0-9, _ and -, starting with a letter";
    let name = fields.need("name", expected, reader).and_then(|field| {
        let name = |t: &str| phase_name(t).then(|| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, expected, name)
    });
    let entrance = entrance(&mut fields, reader);
    let steps_field = fields.need("steps", "a list of steps", reader);
    fields.done(UNBUILT, reader);
    let steps_field = steps_field?;
    let items = reader.list(&steps_field, "steps")?;
    if items.is_empty() || items.len() > STEPS_MAX {
        reader.bad(FaultKind::WrongValue, &steps_field, format!("1 to {STEPS_MAX} steps"));
    }
    let steps = items.iter().filter_map(|item| steps::read(item, objectives, reader)).collect();
    Some(PhaseDraft { name: name.unwrap_or_default(), entrance, steps })
}

/// `window` and `approve`: what must be so before a phase begins.
pub(crate) fn entrance(fields: &mut Fields<'_>, reader: &mut Reader) -> Entrance {
    Entrance {
        window: fields.get("window").and_then(|field| window::read(&field, reader)),
        approve: fields.get("approve").and_then(|field| approve::read(&field, reader)),
    }
}

pub(super) fn phase_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    first && text.len() <= 40 && text.bytes().all(word)
}
