//! A command of the user's: run with a deadline, its output in a bounded log, its exit code and its
//! JUnit read.

mod log;
mod results;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use changeover_types::CheckCase;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::guard;
use log::Log;

/// How long the guard may take to end a command that does not end by itself.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A command and what surrounds it.
#[derive(Clone, Debug)]
pub struct Exec {
    /// What starts the guard: a program of ours and the words that make it one (see [`guard`]).
    pub guard: Vec<OsString>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// What is added to its environment. May be secret.
    pub env: Vec<(String, String)>,
    /// What is taken out of its environment.
    pub without: Vec<&'static str>,
    /// How long it may take.
    pub within: Duration,
    /// Where its output goes.
    pub log: PathBuf,
    /// Where it leaves its JUnit, as a pattern that starts at `folder`.
    pub junit: Option<String>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    With(i32),
    TooLate,
}

impl Exec {
    /// Runs the command to its end. Dropping the future ends the command, its children included.
    pub async fn run(&self) -> Vec<CheckCase> {
        let begun = Instant::now();
        let (dated, ended) = match Log::create(&self.log).and_then(|log| Ok((log.begun()?, log))) {
            Ok((dated, log)) => (Some(dated), self.execute(log).await),
            Err(e) => (None, Err(e)),
        };
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let log = self.log.display();
        let failures = match ended {
            Ok(Ended::With(0)) => vec![],
            Ok(Ended::With(code)) if code == i32::from(guard::CANNOT_START) => {
                vec![format!("cannot be started (exit code {code}); see {log}")]
            }
            Ok(Ended::With(code)) => vec![format!("ended with exit code {code}; see {log}")],
            Ok(Ended::TooLate) => {
                let within = self.within.as_secs_f64();
                vec![format!("was not done within {within} s and was ended; see {log}")]
            }
            Err(e) => vec![format!("cannot be run: {e}")],
        };
        let name = self.command.first().cloned().unwrap_or_default();
        let mut cases = vec![CheckCase { name, took_ms, failures, skipped: false }];
        if let Some((pattern, dated)) = self.junit.as_ref().zip(dated) {
            cases.extend(results::read(&self.folder, pattern, dated));
        }
        cases
    }

    async fn execute(&self, mut log: Log) -> io::Result<Ended> {
        let mut child = self.start()?;
        let pipe = child.stdin.take();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let mut writing = std::pin::pin!(log.take(out, err));
        let mut written = false;
        let mut late = std::pin::pin!(tokio::time::sleep(self.within));
        let ended = loop {
            tokio::select! {
                status = child.wait() => break Ended::With(status?.code().unwrap_or(255)),
                outcome = &mut writing, if !written => {
                    outcome?;
                    written = true;
                }
                () = &mut late => {
                    // The guard ends the command when the pipe closes.
                    drop(pipe);
                    timeout(END_WITHIN, child.wait()).await.ok();
                    break Ended::TooLate;
                }
            }
        };
        if !written {
            // What is still in the pipes; a process that outlived even the guard must not keep us.
            if let Ok(outcome) = timeout(Duration::from_secs(1), writing).await {
                outcome?;
            }
        }
        Ok(ended)
    }

    fn start(&self) -> io::Result<Child> {
        let missing = || io::Error::other("there is no guard to run it");
        let (program, words) = self.guard.split_first().ok_or_else(missing)?;
        let mut command = Command::new(program);
        command
            .args(words)
            .args(&self.command)
            .current_dir(&self.folder)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.without.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.spawn()
    }
}
