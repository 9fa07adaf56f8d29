//! Whether the steps make sense in this order, and what each comes to.

use super::{contradiction, members};
use crate::fault::FaultKind;
use crate::model::{Entrance, Plan};
use crate::program::read::{AT_ONCE, Draft, StepDraft, built_step};
use crate::program::{Component, Leg, ProgramPhase, ProgramStep, ProgramStepKind};
use crate::reader::{Reader, one_of};

/// How far each component is after the steps so far.
struct Walk<'a> {
    draft: &'a Draft,
    together: &'a [Vec<usize>],
    reader: &'a mut Reader,
    /// As the program will have them; `None` where a plan has faults of its own.
    components: Vec<Option<Component>>,
    at: Vec<usize>,
}

pub(super) fn check(
    draft: &Draft,
    together: &[Vec<usize>],
    reader: &mut Reader,
) -> Option<Vec<ProgramPhase>> {
    let component = |it: &crate::program::read::ComponentDraft| {
        let needs = it.needs.iter().filter_map(|need| draft.index(need)).collect();
        let (name, file) = (it.name.clone(), it.file.clone().into());
        Some(Component { name, file, plan: it.plan.clone()?, needs })
    };
    let components: Vec<_> = draft.components.iter().map(component).collect();
    let at = vec![0; components.len()];
    let Some(phases) = &draft.phases else {
        return by_default(&components.into_iter().collect::<Option<Vec<_>>>()?, together);
    };
    let mut walk = Walk { draft, together, reader, components, at };
    let phases: Vec<ProgramPhase> = phases
        .iter()
        .map(|phase| {
            let steps = phase.steps.iter().map(|step| walk.step(step)).collect();
            ProgramPhase { name: phase.name.clone(), entrance: phase.entrance.clone(), steps }
        })
        .collect();
    walk.all_moved();
    Some(phases)
}

impl Walk<'_> {
    fn fault(&mut self, at: &StepDraft, found: &str, expected: &str) {
        contradiction(self.reader, at.place, &at.path, found, expected);
    }

    fn name(&self, index: usize) -> &str {
        &self.draft.components[index].name
    }

    fn step(&mut self, draft: &StepDraft) -> ProgramStep {
        let named = match &draft.components {
            Some(names) => members(self.draft, names, self.reader),
            None => (0..self.components.len()).collect(),
        };
        let legs: Vec<Leg> = named.iter().filter_map(|index| self.leg(draft, *index)).collect();
        for leg in &legs {
            self.needs(draft, *leg);
        }
        self.groups(draft, &legs);
        for leg in &legs {
            self.at[leg.component] = self.at[leg.component].max(leg.steps);
        }
        built_step(draft, legs)
    }

    fn leg(&mut self, draft: &StepDraft, index: usize) -> Option<Leg> {
        let component = self.components[index].clone()?;
        let (name, at) = (&component.name, self.at[index]);
        let steps = match draft.kind {
            ProgramStepKind::Prepare => component.prepared(),
            ProgramStepKind::Move => component.steps(),
            ProgramStepKind::To => self.to(draft, &component.plan)?,
            ProgramStepKind::Soak => return None,
        };
        if draft.kind == ProgramStepKind::Prepare && hides_its_copy(&component) {
            let found = format!("`{name}`, whose plan copies and moves in one phase");
            self.fault(draft, &found, "a plan with the copy in a phase of its own");
            return None;
        }
        if steps > at {
            return Some(Leg { component: index, steps });
        }
        // `prepare: all` leaves out who has nothing to prepare; whoever is named must have.
        if draft.components.is_some() {
            let found = if steps == 0 {
                format!("`{name}`, whose first phase moves requests or data already")
            } else {
                format!("`{name}`, which an earlier step has brought as far")
            };
            self.fault(draft, &found, "components that this step brings further");
        }
        None
    }

    fn to(&mut self, draft: &StepDraft, plan: &Plan) -> Option<usize> {
        let to = draft.to.as_ref()?;
        if let Some(steps) = plan.steps_until(&to.name) {
            return Some(steps);
        }
        let phases: Vec<&str> = plan.phases.iter().map(|phase| phase.name.as_str()).collect();
        let found = format!("the unknown phase `{}`", to.name);
        self.reader.fault(FaultKind::WrongValue, to.place, &to.path, found, one_of(&phases));
        self.reader.suggest(&to.name, &phases);
        None
    }

    /// Whoever moves must find what it needs on the target.
    fn needs(&mut self, draft: &StepDraft, leg: Leg) {
        let Some(component) = self.components[leg.component].clone() else { return };
        if leg.steps <= component.prepared() {
            return;
        }
        for need in component.needs {
            let Some(needed) = &self.components[need] else { continue };
            if self.at[need] < needed.steps() {
                let found =
                    format!("`{}` before `{}`, which it needs", component.name, needed.name);
                let expected = format!("`move: {}` in an earlier step", needed.name);
                self.fault(draft, &found, &expected);
            }
        }
    }

    /// A group moves in one step, all of it, to the end, and at the same time.
    fn groups(&mut self, draft: &StepDraft, legs: &[Leg]) {
        for group in self.together {
            let moving: Vec<Leg> = legs
                .iter()
                .copied()
                .filter(|leg| group.contains(&leg.component))
                .filter(|leg| {
                    let component = self.components[leg.component].as_ref();
                    component.is_some_and(|it| leg.steps > it.prepared())
                })
                .collect();
            let Some(first) = moving.first() else { continue };
            let names: Vec<&str> = group.iter().map(|index| self.name(*index)).collect();
            let expected = format!("`move: [{}]` in one step", names.join(", "));
            let name = self.name(first.component).to_owned();
            if draft.kind != ProgramStepKind::Move || moving.len() < group.len() {
                self.fault(draft, &format!("`{name}` without its group"), &expected);
            } else if draft.at_once < group.len() {
                let found = format!("at_once {} for a group of {}", draft.at_once, group.len());
                self.fault(draft, &found, &format!("at_once {} or more", group.len()));
            }
        }
    }

    fn all_moved(&mut self) {
        for (index, component) in self.components.iter().enumerate() {
            let Some(component) = component else { continue };
            if self.at[index] < component.steps() {
                let found = format!("no step that moves `{}` to its plan's end", component.name);
                let expected = format!("`move: {}` in a phase", component.name);
                contradiction(self.reader, self.draft.phases_place, "phases", &found, &expected);
            }
        }
    }
}

/// Whether the copy cannot be had without the move.
fn hides_its_copy(component: &Component) -> bool {
    component.prepared() == 0 && component.plan.moves_data()
}

/// First everything that moves nothing, then one component after another, whatever is needed first;
/// a group side by side.
fn by_default(components: &[Component], together: &[Vec<usize>]) -> Option<Vec<ProgramPhase>> {
    let prepared = components.iter().enumerate().map(|(component, it)| {
        let steps = if hides_its_copy(it) { 0 } else { it.prepared() };
        Leg { component, steps }
    });
    let legs: Vec<Leg> = prepared.filter(|leg| leg.steps > 0).collect();
    let prepare = ProgramStep { kind: ProgramStepKind::Prepare, legs, at_once: AT_ONCE, own: None };
    let mut steps = Vec::new();
    let mut moved: Vec<usize> = Vec::new();
    while moved.len() < components.len() {
        let mates = |index: usize| -> Vec<usize> {
            let group = together.iter().find(|group| group.contains(&index));
            group.cloned().unwrap_or_else(|| vec![index])
        };
        let ready = |index: &usize| {
            let mates = mates(*index);
            let needs = mates.iter().flat_map(|mate| &components[*mate].needs);
            !moved.contains(index) && needs.into_iter().all(|need| moved.contains(need))
        };
        // None in a circle, which has been told.
        let next = (0..components.len()).find(ready)?;
        let group = mates(next);
        let legs: Vec<Leg> = group
            .iter()
            .map(|component| Leg { component: *component, steps: components[*component].steps() })
            .collect();
        let at_once = legs.len().max(AT_ONCE);
        steps.push(ProgramStep { kind: ProgramStepKind::Move, legs, at_once, own: None });
        moved.extend(group);
    }
    let phase = |name: &str, steps| {
        let (name, entrance) = (name.to_owned(), Entrance::default());
        ProgramPhase { name, entrance, steps }
    };
    let mut phases = vec![phase("prepare", vec![prepare]), phase("move", steps)];
    phases.retain(|phase| phase.steps.iter().any(|step| !step.legs.is_empty()));
    Some(phases)
}
