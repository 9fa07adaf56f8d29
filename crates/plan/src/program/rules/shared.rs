//! What two components must not have in common.

use std::net::SocketAddr;
use std::path::Path;

use changeover_types::Side;

use super::contradiction;
use crate::model::SecretRef;
use crate::program::read::{ComponentDraft, Draft};
use crate::reader::Reader;

pub(super) fn check(draft: &Draft, reader: &mut Reader) {
    for (index, second) in draft.components.iter().enumerate() {
        if let (Some(plan), Some(name)) = (&second.plan, &draft.name)
            && plan.name == *name
        {
            let found = format!("the migration `{name}`, which is the program's name too");
            fault(second, &found, "a metadata.name of its own: it names the state folder", reader);
        }
        for first in &draft.components[..index] {
            names(first, second, reader);
            databases(first, second, reader);
            gates(first, second, reader);
        }
    }
}

fn fault(component: &ComponentDraft, found: &str, expected: &str, reader: &mut Reader) {
    let path = format!("components.{}.plan", component.name);
    contradiction(reader, component.place, &path, found, expected);
}

fn names(first: &ComponentDraft, second: &ComponentDraft, reader: &mut Reader) {
    let (Some(one), Some(other)) = (&first.plan, &second.plan) else { return };
    if one.name == other.name {
        let found = format!("the migration `{}`, which `{}` is too", other.name, first.name);
        let expected = "a metadata.name of its own: it names state folder, slots and publications";
        fault(second, &found, expected, reader);
    }
}

fn databases(first: &ComponentDraft, second: &ComponentDraft, reader: &mut Reader) {
    let (Some(one), Some(other)) = (&first.plan, &second.plan) else { return };
    // The same plan twice is told once, by its name.
    if one.name == other.name {
        return;
    }
    for side in [Side::Source, Side::Target] {
        let Some(theirs) = &other.side(side).postgres else { continue };
        let url = absolute(&theirs.url, second);
        for its_side in [Side::Source, Side::Target] {
            let its = one.side(its_side).postgres.as_ref();
            if its.is_some_and(|its| absolute(&its.url, first) == url) {
                let found = match &theirs.url {
                    SecretRef::Inline(_) => format!("its {side} database"),
                    reference => format!("its {side} database in {reference}"),
                };
                let found =
                    format!("{found}, which is the {its_side} database of `{}`", first.name);
                fault(second, &found, "databases of its own for each component", reader);
            }
        }
    }
}

/// A relative file starts at its plan's folder.
fn absolute(url: &SecretRef, component: &ComponentDraft) -> SecretRef {
    match url {
        SecretRef::File(file) => {
            let folder = Path::new(&component.file).parent().unwrap_or(Path::new(""));
            SecretRef::File(folder.join(file))
        }
        other => other.clone(),
    }
}

fn gates(first: &ComponentDraft, second: &ComponentDraft, reader: &mut Reader) {
    let (Some(one), Some(other)) = (&first.plan, &second.plan) else { return };
    if one.name == other.name {
        return;
    }
    let listens = |gates: &crate::model::Gates| -> Vec<SocketAddr> {
        let http = gates.http.as_ref().map(|gate| gate.listen);
        http.into_iter().chain(gates.postgres.as_ref().map(|gate| gate.listen)).collect()
    };
    for theirs in listens(&other.gates) {
        if listens(&one.gates).into_iter().any(|its| meet(its, theirs)) {
            let found = format!("a gate on {theirs}, where one of `{}` listens", first.name);
            fault(second, &found, "an address of its own for each gate", reader);
        }
    }
}

fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let anywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (one.ip() == other.ip() || anywhere)
}
