//! What contradicts in a program, and the phases that it comes to.

mod order;
mod shared;

use std::collections::BTreeSet;

use super::OnComponentFail;
use super::read::{Built, ComponentDraft, Draft, Named};
use crate::fault::{FaultKind, Place};
use crate::model::Step;
use crate::reader::{Reader, one_of};

/// Adds a fault for every contradiction; the phases if they could be made out.
pub(super) fn check(draft: &Draft, reader: &mut Reader) -> Option<Built> {
    for component in &draft.components {
        needs(draft, component, reader);
        no_finish(component, reader);
    }
    cycles(draft, reader);
    shared::check(draft, reader);
    let together = together(draft, reader);
    let phases = order::check(draft, &together, reader)?;
    Some(Built { together, phases })
}

fn contradiction(reader: &mut Reader, place: Place, path: &str, found: &str, expected: &str) {
    reader.fault(FaultKind::Contradiction, place, path, found, expected);
}

/// Whether there is such a component; a fault if not.
fn known(draft: &Draft, named: &Named, reader: &mut Reader) -> bool {
    if draft.index(named).is_some() {
        return true;
    }
    let names: Vec<&str> = draft.components.iter().map(|it| it.name.as_str()).collect();
    let found = format!("the unknown component `{}`", named.name);
    let expected = one_of(&names);
    reader.fault(FaultKind::WrongValue, named.place, &named.path, found, expected);
    reader.suggest(&named.name, &names);
    false
}

/// Names that are known and there once.
fn members(draft: &Draft, names: &[Named], reader: &mut Reader) -> Vec<usize> {
    let mut members = Vec::new();
    for named in names {
        if !known(draft, named, reader) {
            continue;
        }
        let Some(index) = draft.index(named) else { continue };
        if members.contains(&index) {
            let found = format!("`{}` a second time", named.name);
            contradiction(reader, named.place, &named.path, &found, "it once");
        } else {
            members.push(index);
        }
    }
    members
}

fn needs(draft: &Draft, component: &ComponentDraft, reader: &mut Reader) {
    members(draft, &component.needs, reader);
}

/// The end of the way back is the program's: after one component's there is no rollback of all.
fn no_finish(component: &ComponentDraft, reader: &mut Reader) {
    let Some(plan) = &component.plan else { return };
    if plan.steps().any(|placed| matches!(placed.step, Step::Finish)) {
        let path = format!("components.{}.plan", component.name);
        let found = format!("`finish` in the plan of `{}`", component.name);
        let expected = "a plan without it: `changeover finish` of the program ends all ways back";
        contradiction(reader, component.place, &path, &found, expected);
    }
}

/// Each cycle once, as the path that closes it.
fn cycles(draft: &Draft, reader: &mut Reader) {
    let needs = |at: usize| -> Vec<usize> {
        let named = draft.components[at].needs.iter().filter_map(|named| draft.index(named));
        named.collect::<BTreeSet<usize>>().into_iter().collect()
    };
    let mut done = vec![false; draft.components.len()];
    for start in 0..draft.components.len() {
        let mut path = Vec::new();
        follow(start, &needs, &mut path, &mut done, &mut |cycle| {
            let names: Vec<&str> =
                cycle.iter().map(|index| draft.components[*index].name.as_str()).collect();
            let component = &draft.components[cycle[0]];
            let at = format!("components.{}.needs", component.name);
            let found = format!("components that need each other: {}", names.join(" → "));
            contradiction(reader, component.place, &at, &found, "an order without a circle");
        });
    }
}

// At most as deep as there are components (64).
fn follow(
    at: usize,
    needs: &dyn Fn(usize) -> Vec<usize>,
    path: &mut Vec<usize>,
    done: &mut Vec<bool>,
    found: &mut dyn FnMut(&[usize]),
) {
    if let Some(begin) = path.iter().position(|index| *index == at) {
        let mut cycle = path[begin..].to_vec();
        cycle.push(at);
        found(&cycle);
        return;
    }
    if done[at] {
        return;
    }
    path.push(at);
    for next in needs(at) {
        follow(next, needs, path, done, found);
    }
    path.pop();
    done[at] = true;
}

fn together(draft: &Draft, reader: &mut Reader) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (place, names) in &draft.together {
        let group = members(draft, names, reader);
        for index in &group {
            let component = &draft.components[*index];
            if groups.iter().any(|other| other.contains(index)) {
                let found = format!("`{}` in a second group", component.name);
                contradiction(reader, *place, "together", &found, "each component in one group");
            }
            let within = component
                .needs
                .iter()
                .find(|it| draft.index(it).is_some_and(|need| group.contains(&need)));
            if let Some(need) = within {
                let found = format!("`{}` needs `{}` in one group", component.name, need.name);
                let expected = "either an order between them or a group";
                contradiction(reader, *place, "together", &found, expected);
            }
        }
        groups.push(group);
    }
    if !groups.is_empty() && draft.on_fail == OnComponentFail::Pause {
        let found = "`pause` in a program with `together`";
        let expected = "`rollback`: a pause would leave a group half moved";
        contradiction(reader, draft.on_fail_place, "on_fail", found, expected);
    }
    groups
}
