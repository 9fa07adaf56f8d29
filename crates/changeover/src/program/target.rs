//! Which program a verb is about, and its daemon.

use std::path::{Path, PathBuf};

use changeover_engine::client::{Client, ClientError};
use changeover_engine::protocol::{Answer, Ask, ProgramStatus};
use changeover_engine::{Begin, Report};
use changeover_journal::{Meta, Reader};
use changeover_plan::is_program;
use changeover_types::MigrationName;

use super::{Programmed, read};
use crate::cli::Global;
use crate::migration::{DEATH_PAUSE, SILENT_DEATHS_MAX, refusal};

/// A program that may have been begun.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: MigrationName,
    /// Its state folder.
    pub(crate) state_dir: PathBuf,
    /// The program's file, if it was given: then the daemon can be started again.
    pub(crate) programmed: Option<Programmed>,
    /// Where a program that begins now is to rest.
    pub(crate) until: Option<String>,
}

/// Finds a program by its file or its name; `None` if it is something else.
///
/// # Errors
/// With the faults of a file that is a program.
pub(crate) fn find(given: &Path, global: &Global) -> Result<Option<Target>, Report> {
    if given.exists() {
        return Ok(read(given, global)?.map(Target::of));
    }
    let name = given.to_str().and_then(|text| MigrationName::new(text).ok());
    let Some(name) = name else { return Ok(None) };
    let state_dir = changeover_engine::state_dir(global.state_dir.as_deref(), &name)?;
    let meta = meta(&state_dir);
    let is_one = meta.is_some_and(|meta| is_program(&meta.plan_text));
    Ok(is_one.then_some(Target { name, state_dir, programmed: None, until: None }))
}

/// What the journal in a folder is about, if it can be read.
pub(super) fn meta(state_dir: &Path) -> Option<Meta> {
    Reader::open(state_dir).and_then(|reader| reader.meta()).ok().flatten()
}

impl Target {
    pub(super) fn of(programmed: Programmed) -> Target {
        Target {
            name: programmed.files.program.name.clone(),
            state_dir: programmed.files.state_dir.clone(),
            programmed: Some(programmed),
            until: None,
        }
    }

    /// How to name it in a command that is proposed to the user.
    pub(crate) fn words(&self) -> String {
        match &self.programmed {
            Some(programmed) => programmed.path.display().to_string(),
            None => self.name.to_string(),
        }
    }

    /// Connects to the daemon; starts it again if it is gone and the file is known.
    ///
    /// # Errors
    /// If it neither runs nor can be started.
    pub(super) async fn daemon(&self) -> Result<Client, Report> {
        match (Client::connect(&self.state_dir).await, &self.programmed) {
            (Ok(client), _) => Ok(client),
            (Err(ClientError::NotRunning { .. }), Some(it)) => {
                let begin = self.until.as_deref().map_or(Begin::ToTheEnd, Begin::Until);
                changeover_engine::ensure_daemon(&it.path, &self.state_dir, begin).await
            }
            (Err(ClientError::NotRunning { .. }), None) => {
                Err(Report::new("CO0023", format!("the daemon of {} is gone", self.name))
                    .hint("give the program's file to start it again: changeover apply PROGRAM"))
            }
            (Err(error), _) => Err(error.report()),
        }
    }

    /// Asks the daemon. One that dies before it answers leaves its successor to answer.
    async fn ask(&self, name: Option<String>, ask: Ask) -> Result<Answer, Report> {
        let mut deaths = 0;
        loop {
            match self.daemon().await?.named(name.clone()).request(ask.clone()).await {
                Err(ClientError::NotRunning { .. }) if deaths < SILENT_DEATHS_MAX => deaths += 1,
                outcome => return outcome.map_err(|e| e.report()),
            }
            tokio::time::sleep(DEATH_PAUSE).await;
        }
    }

    /// Where the program stands, as its daemon says.
    ///
    /// # Errors
    /// If the daemon cannot be asked.
    pub(super) async fn status(&self) -> Result<ProgramStatus, Report> {
        match self.ask(None, Ask::Status).await? {
            Answer::Program(status) => Ok(*status),
            _ => Err(out_of_protocol("status")),
        }
    }

    /// The number of the daemon's last event, 0 if none runs.
    ///
    /// # Errors
    /// If the daemon cannot be asked.
    pub(super) async fn last_event(&self) -> Result<u64, Report> {
        let asked = async { Client::connect(&self.state_dir).await?.request(Ask::Status).await };
        match asked.await {
            Ok(Answer::Program(status)) => Ok(status.last_event),
            Ok(_) => Err(out_of_protocol("status")),
            Err(ClientError::NotRunning { .. }) => Ok(0),
            Err(error) => Err(error.report()),
        }
    }

    /// Asks the daemon for something that it accepts or refuses.
    ///
    /// # Errors
    /// With the refusal, or why the daemon could not be asked.
    pub(super) async fn order(&self, ask: Ask) -> Result<(), Report> {
        self.order_as(None, ask).await
    }

    /// The same, in somebody's name.
    ///
    /// # Errors
    /// As [`Target::order`].
    pub(super) async fn order_as(&self, name: Option<String>, ask: Ask) -> Result<(), Report> {
        let verb = ask.verb();
        match self.ask(name, ask).await? {
            Answer::Refused(fault) => Err(refusal(fault)),
            Answer::Accepted => Ok(()),
            _ => Err(out_of_protocol(verb)),
        }
    }

    /// Stops the daemon; whether there was one.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub(super) async fn stop(&self) -> Result<bool, Report> {
        let mut daemon = match changeover_engine::find_daemon(&self.state_dir).await {
            Ok(daemon) => daemon,
            Err(ClientError::NotRunning { .. }) => return Ok(false),
            Err(error) => return Err(error.report()),
        };
        match daemon.request(Ask::Shutdown).await {
            // It may be gone before its answer.
            Ok(Answer::Accepted) | Err(ClientError::NotRunning { .. }) => Ok(true),
            Ok(Answer::Refused(fault)) => Err(refusal(fault)),
            Ok(_) => Err(out_of_protocol("stop")),
            Err(error) => Err(error.report()),
        }
    }
}

fn out_of_protocol(verb: &str) -> Report {
    Report::new("CO0012", format!("the daemon answered `{verb}` out of protocol"))
}
