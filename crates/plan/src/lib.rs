//! The plan document: parse, check, explain (L1).
//!
//! A plan is the one file an operator writes, so a mistake in it must be told where it stands,
//! what was found and what was expected, and all mistakes at once. [`parse`] turns text into a
//! [`Plan`] or [`Faults`]; it touches no file ([`includes`] says which ones to bring along).
//! Reading order: [`Plan`] (what others use), `node` (YAML with positions), `reader` (typed access
//! that collects faults), `read` (one module per section), `rules` (what contradicts), [`explain`]
//! (what will happen), [`estimate`] (how long it takes), [`document`] (all of it for a change
//! board).

pub mod cost;
pub mod document;
pub mod estimate;
pub mod rehearsal;
pub mod saved;

mod address;
mod answers;
mod canary;
mod changes;
mod contradictions;
mod defaults;
mod digest;
mod explain;
mod fault;
pub mod json_path;
mod model;
mod node;
mod outside;
mod program;
mod read;
mod reader;
mod routes;
mod rules;
mod schema;
mod template;
mod units;
mod window;

pub use address::inline_url;
pub use answers::{Answers, answers, answers_template};
pub use canary::{BlueGreen, Canary, Phased};
pub use changes::{Changes, changes};
pub use contradictions::{Contradiction, contradictions};
pub use digest::fingerprint;
pub use explain::{ExplainedStep, Reversible, explain};
pub use fault::{Fault, FaultKind, Faults};
pub use model::checks::{
    AccessLog, Exec, Expect, HttpExpect, HttpRequest, JsonExpect, Limits, Load, LoadRequest,
    LogFormat, Mirror, OnFail, ProfilePart, Smoke, SmokeRequest, SmokeSql, SmokeTcp, StatusRange,
    Text, TextExpect, Traffic,
};
pub use model::{
    AfterDone, Against, Approve, ClientAuth, Data, Deadline, Entrance, Environment, GateUser,
    Gates, Guard, HttpGate, HttpLimits, HttpSide, Limit, Measure, Objectives, OnNoData, Opening,
    Outcome, Phase, PlacedStep, Plan, PostgresGate, PostgresLimits, PostgresSide, Reaction,
    Rehearsal, SecretRef, Standbys, Step, StepKind, Tablespaces, Unmovable, Window,
};
pub use outside::{Outside, WhenStuck};
pub use program::{
    Component, ExplainedProgramStep, Leg, OnComponentFail, Own, PlacedProgramStep, Program,
    ProgramPhase, ProgramStep, ProgramStepKind, Unloaded, explain_program, is_program,
    parse_program,
};
pub use reader::include::{Includes, includes};
pub use routes::HttpRoute;
pub use schema::{program_schema, schema};
pub use template::{TemplateKind, template};
pub use units::{duration as read_duration, show_duration, show_percentage};
pub use window::show_instant;

/// Reads the text of a plan. `file` is only used to say where a fault is.
///
/// # Errors
/// With every fault that was found, in the order of the file.
pub fn parse(file: &str, text: &str) -> Result<Plan, Faults> {
    parse_with(file, text, Includes::new())
}

/// [`parse`] for a plan that names files of its own: `files` holds the text of each, or why it
/// cannot be read, by the name that [`includes`] gives it.
///
/// # Errors
/// As [`parse`]; faults in such a file say its name.
pub fn parse_with(file: &str, text: &str, files: Includes) -> Result<Plan, Faults> {
    let mut reader = reader::Reader::with(files);
    let root = node::build(text, &mut reader);
    let plan = root.as_ref().and_then(|root| read::plan(root, &mut reader));
    match plan {
        Some(plan) if reader.is_clean() => Ok(plan),
        _ => Err(reader.into_faults(file, text)),
    }
}
