//! Starting the daemon from a verb.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError};
use crate::supervisor::{self, OUR_VARIABLES, WORKER_VARIABLE};
use crate::{Report, settings};

/// A daemon opens its journal and its socket within this, or does not come up.
const UP_WITHIN: Duration = Duration::from_secs(15);

/// The exit code of a daemon that finds the journal held by another.
const HELD: i32 = 7;

/// How much of the log is shown when it does not.
const LOG_TAIL_BYTES: u64 = 2000;

/// How far a run goes that begins with its daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin<'a> {
    /// To its end.
    ToTheEnd,
    /// To the end of this phase.
    Until(&'a str),
    /// Nowhere.
    AtRest,
}

/// Attaches to the daemon of a migration if there is one; waits for one that its supervisor is just
/// starting again.
///
/// # Errors
/// [`ClientError::NotRunning`] if there is none, others if it does not answer.
pub async fn find_daemon(state_dir: &Path) -> Result<Client, ClientError> {
    let deadline = Instant::now() + UP_WITHIN;
    loop {
        let coming_back = supervisor::is_alive(state_dir) && Instant::now() <= deadline;
        match Client::connect(state_dir).await {
            Err(ClientError::NotRunning { .. }) if coming_back => {
                sleep(Duration::from_millis(20)).await;
            }
            found => return found,
        }
    }
}

/// Attaches to the daemon of a migration; starts it, detached from this terminal, if it is gone.
///
/// # Errors
/// If it cannot be started or does not answer.
pub async fn ensure_daemon(
    plan_path: &Path,
    state_dir: &Path,
    begin: Begin<'_>,
) -> Result<Client, Report> {
    match Client::connect(state_dir).await {
        Ok(client) => return Ok(client),
        Err(ClientError::NotRunning { .. }) => {}
        Err(error) => return Err(error.report()),
    }
    settings::make_state_dir(state_dir)?;
    let mut child = spawn(plan_path, state_dir, begin)?;
    let deadline = Instant::now() + UP_WITHIN;
    loop {
        match Client::connect(state_dir).await {
            Ok(client) => return Ok(client),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.report()),
        }
        let ended = child.try_wait().ok().flatten();
        // Another daemon held the journal: one that does not listen yet, or one that is dying. The
        // first is found by the next look, the second leaves the journal to our next child.
        let held = ended.is_some_and(|status| status.code() == Some(HELD));
        if held && Instant::now() <= deadline {
            child = spawn(plan_path, state_dir, begin)?;
        } else if ended.is_some() || Instant::now() > deadline {
            let log = state_dir.join("run.log");
            return Err(Report::new("CO0143", "the daemon does not come up")
                .cause(tail(&log))
                .hint(format!("the whole log is {}", log.display())));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

impl Begin<'_> {
    /// For the command line of the daemon.
    fn argument(self) -> Option<String> {
        match self {
            Begin::ToTheEnd => None,
            Begin::Until(phase) => Some(format!("--until={phase}")),
            Begin::AtRest => Some("--at-rest".to_owned()),
        }
    }
}

pub(crate) fn spawn(plan_path: &Path, state_dir: &Path, begin: Begin<'_>) -> Result<Child, Report> {
    let fault =
        |e: &std::io::Error| Report::new("CO0144", "the daemon cannot be started").because(e);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(state_dir.join("run.log"))
        .map_err(|e| fault(&e))?;
    let parent = state_dir.parent().unwrap_or(state_dir);
    let program = std::env::current_exe().map_err(|e| fault(&e))?;
    let mut command = Command::new(program);
    // A program's daemon starts those of its components: they are no workers of its supervisor, and
    // a crash that a test asked for is not theirs.
    if std::env::var_os(WORKER_VARIABLE).is_some() {
        OUR_VARIABLES.iter().for_each(|name| {
            command.env_remove(name);
        });
    }
    command
        .arg("run")
        .arg(plan_path)
        .arg("--state-dir")
        .arg(parent)
        .args(begin.argument())
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone().map_err(|e| fault(&e))?))
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(|e| fault(&e))
}

fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|e| format!("and its log cannot be read: {e}"))
}

/// Sends the program's own log to standard error; for the daemon that is `run.log`.
pub(crate) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CHANGEOVER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second call in one process (tests) keeps the first subscriber.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init()
        .ok();
}

/// A report on standard error, when no verb is there to render it.
pub(crate) fn complain(report: &Report) {
    let mut text = format!("{}: {}\n", report.code, report.headline);
    for cause in &report.chain {
        text.push_str(&format!("  because {cause}\n"));
    }
    std::io::stderr().write_all(text.as_bytes()).ok();
}
