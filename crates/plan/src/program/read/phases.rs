//! The phases of a program and their steps.

use changeover_types::MigrationName;

use super::{AT_ONCE, NAME, Named, PhaseDraft, StepDraft, names};
use crate::fault::FaultKind;
use crate::node::Shape;
use crate::program::{Own, ProgramStepKind};
use crate::reader::{Field, Reader};

const PHASES_MAX: usize = 64;
const STEPS_MAX: usize = 64;
const AT_ONCE_MAX: u64 = 16;
const UNBUILT_IN_PHASE: &[&str] = &["guards", "checks", "on_fail", "timeout"];

/// `phases`.
pub(super) fn phases(field: &Field<'_>, reader: &mut Reader) -> Vec<PhaseDraft> {
    let items = reader.list(field, "phases").unwrap_or_default();
    let is_list = matches!(field.node.shape, Shape::List(_));
    if is_list && !(1..=PHASES_MAX).contains(&items.len()) {
        reader.bad(FaultKind::WrongValue, field, format!("1 to {PHASES_MAX} phases"));
        reader.hint("leave `phases` out to get the usual ones");
    }
    let mut phases: Vec<PhaseDraft> = Vec::new();
    for item in &items {
        let Some(phase) = phase(item, reader) else { continue };
        if phases.iter().any(|known| known.name == phase.name) {
            let found = format!("the phase `{}` a second time", phase.name);
            let expected = "a name of its own for each phase";
            reader.fault(FaultKind::Contradiction, item.place(), &item.path, found, expected);
        }
        phases.push(phase);
    }
    phases
}

fn phase(field: &Field<'_>, reader: &mut Reader) -> Option<PhaseDraft> {
    let mut fields = reader.map(field)?;
    let name = fields.need("name", NAME, reader).and_then(|field| {
        let name = |t: &str| MigrationName::new(t).ok().map(|_| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, NAME, name)
    });
    let entrance = crate::read::entrance(&mut fields, reader);
    let steps = fields.need("steps", "a list of steps", reader);
    fields.done(UNBUILT_IN_PHASE, reader);
    let steps = steps?;
    let items = reader.list(&steps, "steps")?;
    if items.is_empty() || items.len() > STEPS_MAX {
        reader.bad(FaultKind::WrongValue, &steps, format!("1 to {STEPS_MAX} steps"));
    }
    let steps = items.iter().filter_map(|item| step(item, reader)).collect();
    Some(PhaseDraft { name: name.unwrap_or_default(), entrance, steps })
}

const A_STEP: &str = "one of `prepare: all`, `move: users`, `component: users` with `to: copy`, or \
                      `soak: {for: 1h}`";

fn step(field: &Field<'_>, reader: &mut Reader) -> Option<StepDraft> {
    let mut fields = reader.map(field)?;
    let verbs = [
        (ProgramStepKind::Prepare, fields.get("prepare")),
        (ProgramStepKind::Move, fields.get("move")),
        (ProgramStepKind::To, fields.get("component")),
        (ProgramStepKind::Soak, fields.get("soak")),
    ];
    let (to, at_once_field) = (fields.get("to"), fields.get("at_once"));
    fields.done(&["approve", "smoke", "notify"], reader);
    let at_once = at_once_field
        .as_ref()
        .and_then(|field| reader.number(field, 1, AT_ONCE_MAX))
        .and_then(|number| usize::try_from(number).ok());
    let mut found = verbs.into_iter().filter_map(|(kind, field)| Some((kind, field?)));
    let (Some((kind, named)), None) = (found.next(), found.next()) else {
        reader.bad(FaultKind::WrongType, field, A_STEP);
        return None;
    };
    if kind == ProgramStepKind::Soak {
        return own(field, &named, to.or(at_once_field), reader);
    }
    let to = match (kind, to) {
        (ProgramStepKind::To, Some(to)) => {
            let name = reader.text(&to, "a phase of the component's plan")?.to_owned();
            Some(Named { name, place: to.place(), path: to.path })
        }
        (ProgramStepKind::To, None) => {
            reader.bad(FaultKind::Missing, field, "`to: copy`, a phase of the component's plan");
            return None;
        }
        (_, Some(to)) => {
            reader.bad(FaultKind::Contradiction, &to, "`to` only with `component`");
            None
        }
        (_, None) => None,
    };
    let all = matches!(&named.node.shape, Shape::Text(text) if text == "all");
    let components =
        if all && kind != ProgramStepKind::To { None } else { Some(names(&named, reader)) };
    let (place, path) = (field.place(), field.path.clone());
    Some(StepDraft {
        place,
        path,
        kind,
        components,
        to,
        at_once: at_once.unwrap_or(AT_ONCE),
        own: None,
    })
}

/// A step in which no component goes anywhere, in the words of a plan's.
fn own(
    field: &Field<'_>,
    named: &Field<'_>,
    more: Option<Field<'_>>,
    reader: &mut Reader,
) -> Option<StepDraft> {
    if let Some(more) = more {
        reader.bad(FaultKind::Contradiction, &more, "`soak` alone");
    }
    let mut fields = reader.map(named)?;
    let soak = crate::read::soak(&mut fields, reader);
    fields.done(&["until"], reader);
    let own = Some(Own::Soak { for_: soak? });
    let (place, path, kind) = (field.place(), field.path.clone(), ProgramStepKind::Soak);
    let components = Some(Vec::new());
    Some(StepDraft { place, path, kind, components, to: None, at_once: 1, own })
}
