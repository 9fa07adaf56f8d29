//! What a program will do, in words, before it does it.

use serde::Serialize;

use super::{Leg, OnComponentFail, Own, Program, ProgramStep, ProgramStepKind};
use crate::document::control::entrance;
use crate::explain::Reversible;
use crate::units::show_duration;

/// One step of a program in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedProgramStep {
    /// As [`super::PlacedProgramStep::path`].
    pub path: String,
    /// What must be so before it begins, and its phase with it.
    pub entrance: Vec<String>,
    /// What happens.
    pub what: String,
    /// Why it comes here and not earlier.
    pub why: String,
    /// What happens if it does not work out.
    pub fallback: String,
    /// Whether it can be taken back.
    pub reversible: Reversible,
}

/// Explains every step in order.
#[must_use]
pub fn explain_program(program: &Program) -> Vec<ExplainedProgramStep> {
    let mut moved: Vec<usize> = Vec::new();
    let mut steps = Vec::new();
    let mut last_phase = usize::MAX;
    for placed in program.steps() {
        let movers: Vec<Leg> =
            placed.step.legs.iter().copied().filter(|leg| program.leg_moves(*leg)).collect();
        let is_first = placed.phase_index != last_phase;
        last_phase = placed.phase_index;
        let conditions = is_first.then(|| &program.phases[placed.phase_index].entrance);
        steps.push(ExplainedProgramStep {
            path: placed.path,
            entrance: conditions.map(entrance).unwrap_or_default(),
            what: what(program, placed.step),
            why: why(program, placed.step, &movers),
            fallback: fallback(program, &movers, &moved),
            reversible: match (&placed.step.own, movers.is_empty()) {
                (Some(_), _) => Reversible::ReadOnly,
                (None, true) => Reversible::Always,
                (None, false) => Reversible::UntilFinish,
            },
        });
        let new = movers.iter().map(|leg| leg.component);
        let new: Vec<usize> = new.filter(|index| !moved.contains(index)).collect();
        moved.extend(new);
    }
    steps
}

fn name(program: &Program, index: usize) -> &str {
    program.components.get(index).map_or("?", |component| component.name.as_str())
}

fn names(program: &Program, indices: impl Iterator<Item = usize>) -> String {
    indices.map(|index| name(program, index)).collect::<Vec<_>>().join(", ")
}

fn what(program: &Program, step: &ProgramStep) -> String {
    if let Some(Own::Soak { for_ }) = &step.own {
        return format!("wait for {} while everything is watched", show_duration(*for_));
    }
    if step.legs.is_empty() {
        return "nothing: no component has a phase before its first move".to_owned();
    }
    let far = |leg: &Leg| {
        let component = program.components.get(leg.component);
        let phase = component.and_then(|it| it.phase_ending_at(leg.steps)).unwrap_or("its last");
        format!("{} to the end of its phase {phase}", name(program, leg.component))
    };
    let legs: Vec<String> = step.legs.iter().map(far).collect();
    let verb = match step.kind {
        ProgramStepKind::Prepare => "copy and compare, moving nothing",
        ProgramStepKind::Move => "move",
        ProgramStepKind::To | ProgramStepKind::Soak => "bring",
    };
    let at_once = match legs.len() {
        0 | 1 => String::new(),
        several if several <= step.at_once => ", side by side".to_owned(),
        _ => format!(", {} at a time", step.at_once),
    };
    format!("{verb}: {}{at_once}", legs.join("; "))
}

fn why(program: &Program, step: &ProgramStep, movers: &[Leg]) -> String {
    let mut reasons = Vec::new();
    for leg in movers {
        let needs = program.components[leg.component].needs.iter().copied();
        let needs = names(program, needs);
        if !needs.is_empty() {
            reasons.push(format!("{} needs {needs}", name(program, leg.component)));
        }
    }
    for group in &program.together {
        if movers.iter().any(|leg| group.contains(&leg.component)) {
            reasons.push(format!(
                "{} move together: their cutovers are separate, and between two of them a read \
                 across both may see one moved and the other not",
                names(program, group.iter().copied())
            ));
        }
    }
    if step.own.is_some() {
        return "some faults take time to show".to_owned();
    }
    if movers.is_empty() {
        return "moves nothing, so it comes before everything that does".to_owned();
    }
    if reasons.is_empty() {
        let wait: Vec<usize> =
            step.legs.iter().flat_map(|leg| program.dependants(leg.component)).collect();
        return match names(program, wait.into_iter()) {
            waiting if waiting.is_empty() => "needs nothing, and nothing needs it".to_owned(),
            waiting => format!("needs nothing; needed by {waiting}"),
        };
    }
    reasons.join("; ")
}

fn fallback(program: &Program, movers: &[Leg], moved: &[usize]) -> String {
    if movers.is_empty() && moved.is_empty() {
        return "the program pauses; nothing has moved, and `abort` removes what was copied"
            .to_owned();
    }
    if program.on_fail == OnComponentFail::Pause {
        return "nothing new begins and the program pauses; `rollback` takes everything back"
            .to_owned();
    }
    let now: Vec<usize> =
        movers.iter().map(|leg| leg.component).filter(|it| !moved.contains(it)).collect();
    let mut back = vec![names(program, now.into_iter())];
    back.extend(moved.iter().rev().map(|index| name(program, *index).to_owned()));
    back.retain(|text| !text.is_empty());
    format!("nothing new begins; back to the source in this order: {}", back.join(", then "))
}
