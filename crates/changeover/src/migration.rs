//! Which migration a verb is about, and what its journal says when no daemon can be asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use changeover_engine::client::{Client, ClientError};
use changeover_engine::protocol::{Answer, Ask, RunState, RunStatus};
use changeover_engine::{Begin, Report};
use changeover_journal::{JournalError, Meta, Reader, Record, Seq};
use changeover_plan::Plan;
use changeover_run as run;
use changeover_types::MigrationName;

use crate::cli::Global;

/// So many daemons in a row that die without a word, and a verb gives up.
pub(crate) const SILENT_DEATHS_MAX: u32 = 10;
/// Between two of them.
pub(crate) const DEATH_PAUSE: Duration = Duration::from_millis(200);

/// A plan, read from its file.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The file, absolute: the daemon has another working directory.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) plan: Plan,
    /// The migration's state folder.
    pub(crate) state_dir: PathBuf,
}

/// Reads a plan and finds its state folder.
///
/// # Errors
/// With all of the plan's faults, or why it cannot be read.
pub(crate) fn read_plan(file: &Path, global: &Global) -> Result<Planned, Report> {
    let path = file.canonicalize().map_err(|e| {
        Report::new("CO0010", format!("the plan {} cannot be read", file.display()))
            .because(&e)
            .hint("`changeover init` writes a new one")
    })?;
    let text = fs::read_to_string(&path).map_err(|e| {
        Report::new("CO0010", format!("the plan {} cannot be read", file.display())).because(&e)
    })?;
    let plan = changeover_engine::parse_plan(&file.display().to_string(), &path, &text).map_err(
        |faults| {
            let count = faults.0.len();
            let word = if count == 1 { "one fault" } else { "several faults" };
            let mut report =
                Report::new("CO0011", format!("the plan {} has {word} ({count})", file.display()));
            report.chain = faults.0.iter().map(ToString::to_string).collect();
            report
        },
    )?;
    let state_dir = state_dir(global, &plan.name)?;
    Ok(Planned { path, plan, state_dir })
}

fn state_dir(global: &Global, name: &MigrationName) -> Result<PathBuf, Report> {
    changeover_engine::state_dir(global.state_dir.as_deref(), name)
}

/// A migration that may have been begun.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: MigrationName,
    /// Its state folder.
    pub(crate) state_dir: PathBuf,
    /// The plan's file, if it was given: then the daemon can be started again.
    pub(crate) plan: Option<Planned>,
    /// Where a run that begins now is to rest.
    pub(crate) until: Option<String>,
    /// The name that whoever asks goes by.
    pub(crate) asker: Option<String>,
}

impl Target {
    /// How to name it in a command that is proposed to the user.
    pub(crate) fn words(&self) -> String {
        match &self.plan {
            Some(planned) => planned.path.display().to_string(),
            None => self.name.to_string(),
        }
    }

    /// Connects to the daemon; starts it again if it is gone and the plan is known.
    ///
    /// # Errors
    /// If it neither runs nor can be started.
    pub(crate) async fn daemon(&self) -> Result<Client, Report> {
        match (Client::connect(&self.state_dir).await, &self.plan) {
            (Ok(client), _) => Ok(client),
            (Err(ClientError::NotRunning { .. }), Some(planned)) => {
                let begin = self.until.as_deref().map_or(Begin::ToTheEnd, Begin::Until);
                changeover_engine::ensure_daemon(&planned.path, &planned.state_dir, begin).await
            }
            (Err(ClientError::NotRunning { .. }), None) => {
                Err(Report::new("CO0023", format!("the daemon of {} is gone", self.name))
                    .hint("give the plan's file to start it again: changeover apply PLAN"))
            }
            (Err(error), _) => Err(error.report()),
        }
    }

    /// Asks the daemon. One that dies before it answers leaves its successor to answer: every order
    /// may be given twice.
    ///
    /// # Errors
    /// If the daemon neither runs nor can be started, dies again and again, or is silent.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, Report> {
        self.ask_as(self.asker.clone(), ask).await
    }

    async fn ask_as(&self, name: Option<String>, ask: Ask) -> Result<Answer, Report> {
        let mut deaths = 0;
        loop {
            let mut daemon = self.daemon().await?.named(name.clone());
            match daemon.request(ask.clone()).await {
                Err(ClientError::NotRunning { .. }) if deaths < SILENT_DEATHS_MAX => deaths += 1,
                outcome => return outcome.map_err(|e| e.report()),
            }
            tokio::time::sleep(DEATH_PAUSE).await;
        }
    }

    /// Where the run stands, as its daemon says.
    ///
    /// # Errors
    /// As [`Target::ask`].
    pub(crate) async fn status(&self) -> Result<RunStatus, Report> {
        match self.ask(Ask::Status).await? {
            Answer::Status(status) => Ok(*status),
            _ => Err(out_of_protocol("status")),
        }
    }

    /// The number of the daemon's last event, 0 if none runs: whoever watches from there misses
    /// none, also of a daemon that is only started now.
    ///
    /// # Errors
    /// If the daemon cannot be asked.
    pub(crate) async fn last_event(&self) -> Result<u64, Report> {
        let status = async { Client::connect(&self.state_dir).await?.status().await };
        match status.await {
            Ok(status) => Ok(status.last_event),
            // It is as gone when it dies before it answers.
            Err(ClientError::NotRunning { .. }) => Ok(0),
            Err(error) => Err(error.report()),
        }
    }

    /// Asks the daemon for something that it accepts or refuses.
    ///
    /// # Errors
    /// With the daemon's refusal, or why it could not be asked.
    pub(crate) async fn order(&self, ask: Ask) -> Result<(), Report> {
        self.order_as(self.asker.clone(), ask).await
    }

    /// The same, in somebody's name.
    ///
    /// # Errors
    /// As [`Target::order`].
    pub(crate) async fn order_as(&self, name: Option<String>, ask: Ask) -> Result<(), Report> {
        let verb = ask.verb();
        match self.ask_as(name, ask).await? {
            Answer::Refused(fault) => Err(refusal(fault)),
            Answer::Accepted => Ok(()),
            Answer::Status(_) | Answer::Program(_) | Answer::Event(_) => Err(out_of_protocol(verb)),
        }
    }
}

fn out_of_protocol(verb: &str) -> Report {
    Report::new("CO0012", format!("the daemon answered `{verb}` out of protocol"))
}

/// The daemon's refusal as ours.
pub(crate) fn refusal(fault: changeover_engine::protocol::Fault) -> Report {
    let mut report = Report::new("CO0013", fault.headline).exit(fault.exit.max(1));
    report.chain = fault.chain;
    report.hints = fault.hints;
    report
}

/// Finds a migration by its plan's file or by its name.
///
/// # Errors
/// If it is neither a readable plan nor the name of a migration.
pub(crate) fn find(given: &Path, global: &Global) -> Result<Target, Report> {
    if given.exists() {
        let planned = read_plan(given, global)?;
        return Ok(Target {
            name: planned.plan.name.clone(),
            state_dir: planned.state_dir.clone(),
            plan: Some(planned),
            until: None,
            asker: global.name.clone(),
        });
    }
    let unknown = || {
        Report::new("CO0014", format!("there is no plan and no migration {}", given.display()))
            .hint("give the plan's file, or the name that its metadata has")
    };
    let name = given.to_str().and_then(|text| MigrationName::new(text).ok()).ok_or_else(unknown)?;
    let state_dir = state_dir(global, &name)?;
    if !state_dir.exists() {
        return Err(unknown().cause(format!("{} does not exist", state_dir.display())));
    }
    Ok(Target { name, state_dir, plan: None, until: None, asker: global.name.clone() })
}

/// What the journal says.
#[derive(Debug)]
pub(crate) struct Journalled {
    /// What it is about.
    pub(crate) meta: Meta,
    /// Where the run stands.
    pub(crate) state: run::State,
    /// How many records there are.
    pub(crate) records: usize,
}

impl Journalled {
    /// The digest of the plan that counts.
    pub(crate) fn plan_digest(&self) -> &str {
        self.state.plan_digest.as_deref().unwrap_or(&self.meta.plan_digest)
    }

    /// The same words as the daemon's.
    pub(crate) fn run_state(&self) -> RunState {
        RunState::from(&self.state)
    }
}

/// Reads the journal without its daemon; `None` if nothing was begun.
///
/// # Errors
/// If the journal is damaged or of another version.
pub(crate) fn journalled(state_dir: &Path) -> Result<Option<Journalled>, Report> {
    let reader = match Reader::open(state_dir) {
        Ok(reader) => reader,
        Err(JournalError::Absent { .. }) => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    let Some(meta) = reader.meta().map_err(|e| unreadable(&e))? else { return Ok(None) };
    let records = reader.read_all().map_err(|e| unreadable(&e))?;
    let state = changeover_engine::journalled(&records)?;
    Ok(Some(Journalled { meta, state, records: records.len() }))
}

/// What the journal is about and its records after a number.
///
/// # Errors
/// If there is none, or it is damaged or of another version.
pub(crate) fn records(state_dir: &Path, after: Seq) -> Result<(Option<Meta>, Vec<Record>), Report> {
    let reader = Reader::open(state_dir).map_err(|e| unreadable(&e))?;
    let meta = reader.meta().map_err(|e| unreadable(&e))?;
    Ok((meta, reader.read_after(after).map_err(|e| unreadable(&e))?))
}

fn unreadable(error: &JournalError) -> Report {
    Report::new("CO0016", "the migration's journal cannot be read").because(error)
}
