//! From the tree to the plan: one module per section.

pub(crate) mod answers;
mod approve;
mod ask;
mod canary;
mod cost;
mod data;
mod environment;
mod gates;
mod guards;
mod load;
mod mirror;
mod on_fail;
mod outside;
mod phases;
mod rehearsal;
mod routes;
mod run;
mod smoke;
mod steps;
mod window;

use std::time::Duration;

use changeover_types::{MigrationName, Side};

use crate::defaults;
use crate::digest::digest;
use crate::fault::{FaultKind, Place};
use crate::model::{Entrance, Environment, Gates, Guard, Objectives, Phase, Plan, Step};
use crate::node::Node;
use crate::reader::{Field, Fields, Reader};
use crate::{rules, units};

pub(crate) use phases::entrance;
pub(crate) use steps::soak;

/// Keys of the design that wait for later issues.
const UNBUILT: &[&str] = &["kpis", "notify", "terraform", "windows", "rollback", "approvals"];
const UNBUILT_OBJECTIVES: &[&str] = &[];

/// The plan as far as it could be read, with the places that rules speak about.
pub(crate) struct Draft {
    pub(crate) objectives: Objectives,
    pub(crate) source: EnvironmentDraft,
    pub(crate) target: EnvironmentDraft,
    pub(crate) gates: GatesDraft,
    /// Where `data` is, if it is there.
    pub(crate) data: Option<Place>,
    pub(crate) guards: Vec<GuardDraft>,
    /// `None` if the plan leaves the phases to us.
    pub(crate) phases: Option<Vec<PhaseDraft>>,
}

/// An environment and the places of its parts' keys.
pub(crate) struct EnvironmentDraft {
    pub(crate) place: Place,
    pub(crate) http: Option<Place>,
    pub(crate) postgres: Option<Place>,
    /// `None` where a part could not be read.
    pub(crate) value: Environment,
}

/// The gates and the places of their keys.
pub(crate) struct GatesDraft {
    pub(crate) place: Place,
    pub(crate) http: Option<Place>,
    pub(crate) postgres: Option<Place>,
    pub(crate) value: Gates,
}

/// A phase and the places of its steps.
pub(crate) struct PhaseDraft {
    pub(crate) name: String,
    pub(crate) entrance: Entrance,
    pub(crate) steps: Vec<StepDraft>,
}

/// A guard, and where it is.
pub(crate) struct GuardDraft {
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) guard: Guard,
}

/// A step, where it is, and its path in the file.
pub(crate) struct StepDraft {
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) step: Step,
}

/// Reads the whole plan; `None` where a fault leaves nothing to build one from.
pub(crate) fn plan(root: &Node, reader: &mut Reader) -> Option<Plan> {
    let root_field = Field { node: root, path: String::new() };
    let mut fields = reader.map(&root_field)?;
    header(&mut fields, reader);
    let identity = metadata(&mut fields, reader);
    let cost = cost::read(&mut fields, reader);
    let objectives = objectives(&mut fields, reader);
    let rehearsal = rehearsal::read(&mut fields, reader);
    let source = environment::read(&mut fields, Side::Source, reader);
    let target = environment::read(&mut fields, Side::Target, reader);
    let gates = gates::read(&mut fields, reader);
    let (data_place, data) = data::read(&mut fields, reader);
    let guards = guards::read(&mut fields, reader);
    let after_done = guards::after_done(&mut fields, reader);
    let phases = phases::read(&mut fields, &objectives, reader);
    let answers = answers::sections(&mut fields, reader);
    fields.done(UNBUILT, reader);

    let draft = Draft {
        objectives,
        source: source?,
        target: target?,
        gates,
        data: data_place,
        guards,
        phases,
    };
    rules::check(&draft, reader);
    let (name, owner, ticket) = identity?;
    let (source, target, gates) = (draft.source.value, draft.target.value, draft.gates.value);
    let phases = match draft.phases {
        Some(phases) => phases.into_iter().map(undraft).collect(),
        None => defaults::phases(&source, &target, &gates),
    };
    let sides = [("source", &source), ("target", &target)];
    let rehearsal = rehearsal::check(rehearsal, &sides, reader);
    let (objectives, digest) = (
        draft.objectives,
        digest(root, reader.included.iter().filter_map(|it| it.root.as_deref())),
    );
    let mut guards: Vec<Guard> = draft.guards.into_iter().map(|draft| draft.guard).collect();
    if gates.http.is_some() {
        guards.extend(guards::of_objectives(&objectives));
    }
    Some(Plan {
        name,
        owner,
        ticket,
        objectives,
        source,
        target,
        gates,
        data,
        answers,
        guards,
        after_done,
        phases,
        rehearsal,
        cost,
        digest,
    })
}

fn undraft(phase: PhaseDraft) -> Phase {
    let steps = phase.steps.into_iter().map(|draft| draft.step).collect();
    Phase { name: phase.name, entrance: phase.entrance, steps }
}

fn header(fields: &mut Fields<'_>, reader: &mut Reader) {
    let version = "`apiVersion: changeover/v1`";
    if let Some(field) = fields.need("apiVersion", version, reader) {
        reader.word(&field, &[("changeover/v1", ())]);
    }
    if let Some(field) = fields.need("kind", "`kind: Migration`", reader) {
        reader.word(&field, &[("Migration", ())]);
    }
}

pub(crate) type Identity = (MigrationName, Option<String>, Option<String>);

pub(crate) fn metadata(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Identity> {
    let field = fields.need("metadata", "`metadata: {name: …}`", reader)?;
    let mut fields = reader.map(&field)?;
    let expected = "a name of 1 to 40 of a-z, 0-9, _ and -, starting with a letter";
    let name = fields.need("name", expected, reader).and_then(|field| {
        reader.parsed(&field, FaultKind::WrongValue, expected, |t| MigrationName::new(t).ok())
    });
    let mut label = |key: &'static str| {
        let field = fields.get(key)?;
        reader.text(&field, "a text").map(str::to_owned)
    };
    let (owner, ticket) = (label("owner"), label("ticket"));
    fields.done(&[], reader);
    Some((name?, owner, ticket))
}

fn objectives(fields: &mut Fields<'_>, reader: &mut Reader) -> Objectives {
    let mut objectives = defaults::objectives();
    let has_prices = fields.get("cost").is_some();
    let Some(field) = fields.get("objectives") else { return objectives };
    let Some(mut fields) = reader.map(&field) else { return objectives };
    if let Some(field) = fields.get("write_pause") {
        let limits = (Duration::from_millis(50), Duration::from_secs(60));
        if let Some(value) = duration(&field, limits, reader) {
            objectives.write_pause = value;
        }
    }
    if let Some(field) = fields.get("error_rate") {
        objectives.error_rate = percentage(&field, reader);
    }
    if let Some(field) = fields.get("latency_p99") {
        let limits = (Duration::from_millis(1), Duration::from_secs(600));
        objectives.latency_p99 = duration(&field, limits, reader);
    }
    // The only value: anything else would be another program.
    if let Some(field) = fields.get("data_loss") {
        reader.word(&field, &[("none", ())]);
    }
    objectives.cost_ceiling = cost::ceiling(&mut fields, has_prices, reader);
    objectives.deadline = fields.get("deadline").and_then(|field| window::deadline(&field, reader));
    fields.done(UNBUILT_OBJECTIVES, reader);
    objectives
}

/// A duration within limits.
pub(crate) fn duration(
    field: &Field<'_>,
    (least, most): (Duration, Duration),
    reader: &mut Reader,
) -> Option<Duration> {
    let range = format!("{} to {}", units::show_duration(least), units::show_duration(most));
    let expected = format!("a duration from {range}, written like 500ms, 10s, 5m, 24h or 3d");
    let value = reader.parsed(field, FaultKind::WrongUnit, &expected, units::duration)?;
    if (least..=most).contains(&value) {
        return Some(value);
    }
    reader.bad(FaultKind::WrongValue, field, format!("a duration from {range}"));
    None
}

/// A share.
pub(crate) fn percentage(field: &Field<'_>, reader: &mut Reader) -> Option<f64> {
    let expected = "a percentage from 0% to 100%, written like 0.1%";
    reader.parsed(field, FaultKind::WrongUnit, expected, units::percentage)
}
