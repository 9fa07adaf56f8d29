//! Composition: config → build → supervise; performs the effects the cores ask for (L3).
//!
//! Reading order: [`run_daemon`] (a supervisor and its child), `daemon` (one loop: decide,
//! journal, perform), `effects` (what performing means), `relays` (what runs beside it),
//! [`protocol`] and [`client`] (a verb's view of it all).

pub mod assess;
pub mod client;
pub mod preflight;
pub mod protocol;
pub mod rehearsal;

mod board;
mod clock;
mod config;
mod daemon;
mod databases;
mod declared;
mod effects;
mod facts;
mod gates;
mod guards;
mod http;
mod measure;
mod owned;
mod plan_change;
mod program;
mod record;
mod relays;
mod report;
mod resolver;
mod secrets;
mod serve;
mod settings;
mod start;
mod supervisor;
mod words;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use changeover_journal::Record;
use changeover_plan::Plan;
use changeover_run::{Input, State};

pub use clock::now;
pub use config::PLAN_PATH_FILE;
pub use effects::GUARD_VERB;
pub use facts::{facts, fresh_id, operator, tools};
pub use measure::measure;
pub use plan_change::{change_plan, free_changes, plan_of_record};
pub use preflight::preflight;
pub use program::{
    ComponentFiles, ProgramFiles, gates_of_program, journalled_program, shared_databases,
};
pub use report::Report;
pub use settings::{make_state_dir, state_dir};
pub use start::{Begin, ensure_daemon, find_daemon};

/// The state that a journal's records make, for a verb that finds no daemon.
///
/// # Errors
/// If a record was written by another version of the program.
pub fn journalled(records: &[Record]) -> Result<State, Report> {
    Ok(record::rebuild(records)?.0)
}

/// Runs the gate of a plan in this process until it is told to stop.
///
/// # Errors
/// If the plan has no gate, a secret cannot be had, an address is taken, or a gate of this
/// migration runs already.
pub fn gate(plan: &Plan, plan_path: &Path, state_dir: &Path) -> Result<(), Report> {
    settings::make_state_dir(state_dir)?;
    start::log_to_stderr();
    let config = settings::gate(plan, plan_path, state_dir)?;
    let pid = state_dir.join("gate.pid");
    supervisor::write_pid(&pid);
    resolver::keep(plan_path, state_dir);
    tracing::info!(plan = %plan_path.display(), migration = %plan.name, "a gate begins");
    let outcome = changeover_gate::process::run(config)
        .map_err(|e| Report::new("CO0140", "the gate cannot run").because(&e));
    supervisor::remove_pid(&pid);
    outcome
}

/// Runs the daemon: in the first process a supervisor that starts the daemon proper again when it
/// dies, in its child that daemon.
///
/// # Errors
/// If the plan or the journal cannot be used, or the daemon dies again and again.
pub fn run_daemon(plan_path: &Path, state_dir: &Path, begin: Begin<'_>) -> Result<(), Report> {
    supervised(state_dir, || Ok(daemon::run(read_config(plan_path, state_dir, begin)?)))
}

/// The same for a program: its daemon starts, orders and follows those of its components. A program
/// that begins now rests at the end of the phase `until`.
///
/// # Errors
/// If the journal cannot be used, or the daemon dies again and again.
pub fn run_program_daemon(files: ProgramFiles, until: Option<String>) -> Result<(), Report> {
    let state_dir = files.state_dir.clone();
    supervised(&state_dir, || Ok(program::run(files, until)))
}

fn supervised<F>(state_dir: &Path, daemon: impl FnOnce() -> Result<F, Report>) -> Result<(), Report>
where
    F: Future<Output = Result<(), Report>>,
{
    settings::make_state_dir(state_dir)?;
    start::log_to_stderr();
    if std::env::var_os(supervisor::WORKER_VARIABLE).is_none() {
        return supervisor::supervise(state_dir);
    }
    let daemon = daemon()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Report::new("CO0141", "the daemon's runtime cannot start").because(&e))?;
    match runtime.block_on(daemon) {
        Ok(()) => Ok(()),
        Err(report) if report.exit == 1 => Err(report),
        // A held journal or a changed plan: starting again would find the same.
        Err(report) => {
            start::complain(&report);
            std::process::exit(i32::from(report.exit));
        }
    }
}

/// Reads a plan's text together with the files that it names; relative ones start at the plan's
/// folder. `shown` is how faults name the plan.
///
/// # Errors
/// With all of its faults.
pub fn parse_plan(shown: &str, path: &Path, text: &str) -> Result<Plan, changeover_plan::Faults> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let read = |name: String| {
        let text = fs::read_to_string(folder.join(&name)).map_err(|e| e.to_string());
        (name, text)
    };
    let files = changeover_plan::includes(text).into_iter().map(read).collect();
    changeover_plan::parse_with(shown, text, files)
}

fn read_config(
    plan_path: &Path,
    state_dir: &Path,
    begin: Begin<'_>,
) -> Result<config::Config, Report> {
    let fault =
        || Report::new("CO0142", format!("the plan {} cannot be used", plan_path.display()));
    let plan_text = fs::read_to_string(plan_path).map_err(|e| fault().because(&e))?;
    let plan = parse_plan(&plan_path.display().to_string(), plan_path, &plan_text)
        .map_err(|faults| fault().cause(faults.to_string()))?;
    Ok(config::Config {
        plan: Arc::new(plan),
        plan_text,
        plan_path: plan_path.to_owned(),
        state_dir: state_dir.to_owned(),
        first: match begin {
            Begin::ToTheEnd => None,
            Begin::Until(phase) => Some(Input::GoOnUntil { phase: phase.to_owned(), by: None }),
            Begin::AtRest => Some(Input::Rest),
        },
    })
}
