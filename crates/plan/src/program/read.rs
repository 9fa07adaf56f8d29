//! From a program's text to the program.

mod phases;

use std::path::{Path, PathBuf};

use changeover_types::MigrationName;

use super::{
    Component, Leg, OnComponentFail, Own, Program, ProgramPhase, ProgramStep, ProgramStepKind,
    rules,
};
use crate::digest::joined;
use crate::fault::{Fault, FaultKind, Faults, Place};
use crate::model::{Entrance, Plan};
use crate::node::{self, Node, Shape, quoted};
use crate::reader::{Field, Fields, Reader};

const COMPONENTS_MAX: usize = 64;
/// So many components go side by side where the program does not say.
pub(super) const AT_ONCE: usize = 4;
const NAME: &str = "a name of 1 to 40 of a-z, 0-9, _ and -, starting with a letter";
const UNBUILT: &[&str] = &["objectives", "guards", "notify", "approvals", "windows", "cost"];

/// Why a component's plan cannot be had.
#[derive(Clone, Debug)]
pub enum Unloaded {
    /// Its file cannot be read, for this reason.
    Unreadable(String),
    /// It has faults of its own.
    Faulty(Faults),
}

/// A program as far as it could be read, with the places that rules speak about.
pub(super) struct Draft {
    pub(super) name: Option<MigrationName>,
    pub(super) on_fail: OnComponentFail,
    pub(super) on_fail_place: Place,
    pub(super) components: Vec<ComponentDraft>,
    pub(super) together: Vec<(Place, Vec<Named>)>,
    pub(super) phases_place: Place,
    /// `None` if the program leaves the phases to us.
    pub(super) phases: Option<Vec<PhaseDraft>>,
}

pub(super) struct ComponentDraft {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) file: String,
    pub(super) needs: Vec<Named>,
    /// `None` if it could not be read, or has faults of its own.
    pub(super) plan: Option<Plan>,
}

/// A component's name where it is used.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) path: String,
}

pub(super) struct PhaseDraft {
    pub(super) name: String,
    pub(super) entrance: Entrance,
    pub(super) steps: Vec<StepDraft>,
}

pub(super) struct StepDraft {
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) kind: ProgramStepKind,
    /// `None` for `all`.
    pub(super) components: Option<Vec<Named>>,
    /// The phase that `to` names.
    pub(super) to: Option<Named>,
    pub(super) at_once: usize,
    /// What the program itself does; then there are no components.
    pub(super) own: Option<Own>,
}

/// Reads the text of a program and, through `load`, the plans that it names. `load` takes a file as
/// written and gives its plan, or why it cannot be had.
///
/// # Errors
/// With every fault that was found, those of the components' plans included.
pub fn parse_program(
    file: &str,
    text: &str,
    load: &mut dyn FnMut(&Path) -> Result<Plan, Unloaded>,
) -> Result<Program, Faults> {
    let mut reader = Reader::default();
    let mut theirs = Vec::new();
    let root = node::build(text, &mut reader);
    let program = root.as_ref().and_then(|root| read(root, load, &mut reader, &mut theirs));
    match program {
        Some(program) if reader.is_clean() && theirs.is_empty() => Ok(program),
        _ => {
            let mut faults = reader.into_faults(file, text);
            faults.0.extend(theirs);
            Err(faults)
        }
    }
}

/// The keys that a program's reader asks for, as the schema's tests compare them.
#[cfg(test)]
pub(crate) fn keys_asked(
    text: &str,
    load: &mut dyn FnMut(&Path) -> Result<Plan, Unloaded>,
) -> Vec<String> {
    let mut reader = Reader::default();
    let root = node::build(text, &mut reader);
    root.as_ref().and_then(|root| read(root, load, &mut reader, &mut Vec::new()));
    reader.asked.into_iter().collect()
}

fn read(
    root: &Node,
    load: &mut dyn FnMut(&Path) -> Result<Plan, Unloaded>,
    reader: &mut Reader,
    theirs: &mut Vec<Fault>,
) -> Option<Program> {
    let root_field = Field { node: root, path: String::new() };
    let mut fields = reader.map(&root_field)?;
    header(&mut fields, reader);
    let (name, owner, ticket) = crate::read::metadata(&mut fields, reader)?;
    let on_fail_place = fields.key_place("on_fail");
    let on_fail = fields.get("on_fail").and_then(|field| {
        reader.word(
            &field,
            &[("rollback", OnComponentFail::Rollback), ("pause", OnComponentFail::Pause)],
        )
    });
    let components = components(&mut fields, load, reader, theirs);
    let together = together(&mut fields, reader);
    let phases_place = fields.key_place("phases");
    let phases = fields.get("phases").map(|field| phases::phases(&field, reader));
    fields.done(UNBUILT, reader);
    let draft = Draft {
        name: Some(name.clone()),
        on_fail: on_fail.unwrap_or(OnComponentFail::Rollback),
        on_fail_place,
        components: components?,
        together,
        phases_place,
        phases,
    };
    let built = rules::check(&draft, reader)?;
    let digests = draft.components.iter().filter_map(|it| Some(&*it.plan.as_ref()?.digest));
    let digest = joined(root, digests);
    let needs =
        |it: &ComponentDraft| it.needs.iter().filter_map(|need| draft.index(need)).collect();
    let components: Option<Vec<Component>> = draft
        .components
        .iter()
        .map(|it| {
            let (name, file, needs) = (it.name.clone(), PathBuf::from(&it.file), needs(it));
            Some(Component { name, file, plan: it.plan.clone()?, needs })
        })
        .collect();
    let (on_fail, components) = (draft.on_fail, components?);
    let (together, phases) = (built.together, built.phases);
    Some(Program { name, owner, ticket, on_fail, components, together, phases, digest })
}

impl Draft {
    pub(super) fn index(&self, named: &Named) -> Option<usize> {
        self.components.iter().position(|it| it.name == named.name)
    }
}

fn header(fields: &mut Fields<'_>, reader: &mut Reader) {
    if let Some(field) = fields.need("apiVersion", "`apiVersion: changeover/v1`", reader) {
        reader.word(&field, &[("changeover/v1", ())]);
    }
    if let Some(field) = fields.need("kind", "`kind: Program`", reader) {
        reader.word(&field, &[("Program", ())]);
    }
}

fn components(
    fields: &mut Fields<'_>,
    load: &mut dyn FnMut(&Path) -> Result<Plan, Unloaded>,
    reader: &mut Reader,
    theirs: &mut Vec<Fault>,
) -> Option<Vec<ComponentDraft>> {
    let expected = "`components: {users: {plan: users.yaml}, …}`";
    let field = fields.need("components", expected, reader)?;
    let Shape::Map(entries) = &field.node.shape else {
        reader.bad(FaultKind::WrongType, &field, "a mapping of names to components");
        return None;
    };
    if entries.is_empty() || entries.len() > COMPONENTS_MAX {
        reader.bad(FaultKind::WrongValue, &field, format!("1 to {COMPONENTS_MAX} components"));
    }
    let mut components = Vec::new();
    for entry in entries {
        let path = format!("components.{}", entry.key);
        if MigrationName::new(&entry.key).is_err() {
            let found = quoted(&entry.key);
            reader.fault(FaultKind::WrongValue, entry.place, &path, found, NAME);
        }
        let field = Field { node: &entry.value, path };
        let Some(mut fields) = reader.map(&field) else { continue };
        let named = fields.need("plan", "`plan: users.yaml`, the file of a plan", reader);
        let needs = fields.get("needs").map(|it| names(&it, reader)).unwrap_or_default();
        fields.done(&[], reader);
        let (file, plan) = match named {
            Some(named) => plan(&named, load, reader, theirs),
            None => (String::new(), None),
        };
        let name = entry.key.clone();
        components.push(ComponentDraft { name, place: entry.place, file, needs, plan });
    }
    Some(components)
}

fn plan(
    field: &Field<'_>,
    load: &mut dyn FnMut(&Path) -> Result<Plan, Unloaded>,
    reader: &mut Reader,
    theirs: &mut Vec<Fault>,
) -> (String, Option<Plan>) {
    if matches!(field.node.shape, Shape::Map(_)) {
        reader.bad(FaultKind::NotBuilt, field, "the file of a plan");
        reader.hint("a plan inside a program is not built yet: give it a file of its own");
        return (String::new(), None);
    }
    let Some(file) = reader.text(field, "the file of a plan") else { return (String::new(), None) };
    let plan = match load(Path::new(file)) {
        Ok(plan) => Some(plan),
        Err(Unloaded::Faulty(faults)) => {
            theirs.extend(faults.0);
            None
        }
        Err(Unloaded::Unreadable(why)) => {
            let found = format!("{}, which cannot be read: {why}", quoted(file));
            let expected = "the file of a plan; a relative one starts at the program's folder";
            reader.fault(FaultKind::WrongValue, field.place(), &field.path, found, expected);
            None
        }
    };
    (file.to_owned(), plan)
}

/// `users`, or `[users, orders]`.
fn names(field: &Field<'_>, reader: &mut Reader) -> Vec<Named> {
    let named = |field: &Field<'_>, reader: &mut Reader| {
        let name = reader.text(field, "a component's name")?.to_owned();
        Some(Named { name, place: field.place(), path: field.path.clone() })
    };
    match &field.node.shape {
        Shape::List(_) => {
            let items = reader.list(field, "components").unwrap_or_default();
            items.iter().filter_map(|item| named(item, reader)).collect()
        }
        _ => named(field, reader).into_iter().collect(),
    }
}

fn together(fields: &mut Fields<'_>, reader: &mut Reader) -> Vec<(Place, Vec<Named>)> {
    let Some(field) = fields.get("together") else { return Vec::new() };
    let items = reader.list(&field, "groups").unwrap_or_default();
    let mut groups = Vec::new();
    for item in &items {
        let Some(mut fields) = reader.map(item) else { continue };
        let members = fields.need("components", "`components: [orders, billing]`", reader);
        if let Some(atomic) = fields.get("atomic")
            && reader.word(&atomic, &[("true", true), ("false", false)]) == Some(true)
        {
            reader.bad(FaultKind::NotBuilt, &atomic, "`false`");
            reader.hint(
                "several databases change authority one after another: no component loses an \
                 acknowledged write, but between two cutovers a read across them may see one \
                 moved and the other not",
            );
        }
        fields.done(&[], reader);
        let Some(members) = members else { continue };
        let names = names(&members, reader);
        if names.len() < 2 {
            reader.bad(FaultKind::WrongValue, &members, "two components or more");
        }
        groups.push((item.place(), names));
    }
    groups
}

/// What the rules make of the phases.
pub(super) struct Built {
    pub(super) together: Vec<Vec<usize>>,
    pub(super) phases: Vec<ProgramPhase>,
}

pub(super) fn built_step(draft: &StepDraft, legs: Vec<Leg>) -> ProgramStep {
    ProgramStep { kind: draft.kind, legs, at_once: draft.at_once, own: draft.own.clone() }
}

/// Whether a text says that it is a program; everything else is read as a plan.
#[must_use]
pub fn is_program(text: &str) -> bool {
    let Some(root) = node::build(text, &mut Reader::default()) else { return false };
    let Shape::Map(entries) = &root.shape else { return false };
    let kind = entries.iter().find(|entry| entry.key == "kind").map(|entry| &entry.value.shape);
    matches!(kind, Some(Shape::Text(text)) if text == "Program")
}
