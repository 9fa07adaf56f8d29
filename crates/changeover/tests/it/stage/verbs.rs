//! Verbs as a shell would run them, but never for longer than the patience of a test.

use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{PATIENCE, Stage};

/// A verb that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output, line by line.
    pub(crate) lines: Vec<Value>,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Ran {
    /// The last line of a type.
    pub(crate) fn last(&self, kind: &str) -> Option<&Value> {
        self.lines.iter().rev().find(|line| line["type"] == kind)
    }

    /// The error's headline, causes and hints in one text.
    pub(crate) fn error(&self) -> String {
        self.last("error").map(ToString::to_string).unwrap_or_default() + &self.stderr
    }
}

/// A verb that is running.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
    begun: Instant,
    what: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let what = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().map(|pipe| std::thread::spawn(move || read(pipe)));
        let err = child.stderr.take().map(|pipe| std::thread::spawn(move || read(pipe)));
        Running { child, out, err, begun: Instant::now(), what }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, at most `patience`.
    pub(crate) fn end(mut self, patience: Duration) -> Result<Ran, String> {
        let ended = super::until(patience, || self.child.try_wait().unwrap());
        let took = self.begun.elapsed();
        if ended.is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        let text = |thread: Option<JoinHandle<String>>| {
            thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
        };
        let (stdout, stderr) = (text(self.out.take()), text(self.err.take()));
        let Some(status) = ended else {
            return Err(format!("{} did not end within {patience:?}: {stdout}{stderr}", self.what));
        };
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.into())))
            .collect();
        Ok(Ran { code: status.code(), lines, stderr, took })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read(mut pipe: impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Stage {
    /// Starts a verb on the plan. `environment` is for the daemon that it may start.
    pub(crate) fn begin(&self, verb: &str, more: &[&str], environment: &[(&str, &str)]) -> Running {
        let plan = self.plan.display().to_string();
        let mut args = vec![verb, &plan];
        args.extend(more);
        let mut command = self.command(&args);
        command.envs(environment.iter().copied());
        Running::start(command)
    }

    /// Runs a verb on the plan to its end.
    pub(crate) fn verb(&self, verb: &str) -> Ran {
        self.begin(verb, &[], &[])
            .end(PATIENCE)
            .unwrap_or_else(|e| panic!("{e}\n{}", self.report()))
    }

    /// Runs a verb that must end with this code.
    pub(crate) fn expect(&self, verb: &str, code: i32) -> Ran {
        let ran = self.verb(verb);
        assert_eq!(ran.code, Some(code), "`{verb}` of {} said:\n{}", self.report(), ran.error());
        ran
    }

    /// The status as the daemon gives it (which is started if it is gone).
    pub(crate) fn status(&self) -> Value {
        let ran = self.expect("status", 0);
        let found = ran.last("status").or_else(|| ran.last("journal")).cloned();
        found.unwrap_or_else(|| panic!("`status` said {:?}", ran.lines))
    }

    /// Waits until the status's state is so.
    pub(crate) fn wait_for_state(&self, is: &str) -> Value {
        let found = super::until(PATIENCE, || {
            let status = self.status();
            (status["state"]["is"] == is).then_some(status)
        });
        found.unwrap_or_else(|| panic!("waited in vain for {is}; {}", self.report()))
    }
}
