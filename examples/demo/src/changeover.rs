//! Calling the `changeover` binary as its user would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::children;
use crate::reaper::Reaper;
use crate::stage;
use crate::summary::RunNumbers;

/// The binary, the plan, and the environment the plan's references need.
#[derive(Debug)]
pub(crate) struct Changeover {
    pub(crate) program: PathBuf,
    pub(crate) plan: PathBuf,
    pub(crate) blue: String,
    pub(crate) green: String,
    pub(crate) state: PathBuf,
}

impl Changeover {
    /// `changeover VERB PLAN …` in the demo's environment.
    pub(crate) fn command(&self, verb: &str, reaper: &Reaper) -> Command {
        let mut command = children::command(&self.program, reaper.folder());
        command
            .arg(verb)
            .arg(&self.plan)
            .env("BLUE_DATABASE_URL", &self.blue)
            .env("GREEN_DATABASE_URL", &self.green)
            .env("XDG_STATE_HOME", &self.state);
        command
    }

    /// Starts the gate.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn gate(&self, log: &Path, reaper: &Reaper) -> Result<Child, String> {
        children::start(self.command("gate", reaper), log)
    }

    /// Runs a verb with its progress on our terminal.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn watch(&self, verb: &str, reaper: &Reaper) -> Result<(), String> {
        let mut command = self.command(verb, reaper);
        if verb == "rollback" {
            command.arg("--yes");
        }
        let status = command
            .stdout(Stdio::inherit())
            .stderr(Stdio::inherit())
            .status()
            .map_err(|e| format!("running changeover {verb}: {e}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`changeover {verb}` ended with {status}"))
        }
    }

    /// The run's own numbers, from `changeover status --json`.
    ///
    /// # Errors
    /// If the run does not answer, or the numbers are not in its answer.
    pub(crate) fn numbers(&self, reaper: &Reaper) -> Result<RunNumbers, String> {
        let mut command = self.command("status", reaper);
        let text = stage::ran(command.arg("--json"), "changeover status --json")?;
        let values: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let number = |name: &str| {
            values
                .iter()
                .find_map(|value| find(value, name))
                .ok_or_else(|| format!("`changeover status --json` has no `{name}`: {text}"))
        };
        Ok(RunNumbers {
            write_pause_ms_max: number("write_pause_ms_max")?.ceil() as u64,
            copy_seconds: number("copy_seconds")?,
        })
    }

    /// Keeps the run's files (not its sockets) for reading after the demo.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub(crate) fn keep_state(&self, to: &Path) -> Result<(), String> {
        let said = |e: std::io::Error| format!("keeping the run's files: {e}");
        let from = self.state.join("changeover").join("shop");
        let to = to.join("state");
        fs::create_dir_all(&to).map_err(said)?;
        let Ok(entries) = fs::read_dir(&from) else { return Ok(()) };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::copy(entry.path(), to.join(entry.file_name())).map_err(said)?;
            }
        }
        Ok(())
    }
}

/// The first number under this name, however deep.
fn find(value: &Value, name: &str) -> Option<f64> {
    match value {
        Value::Object(fields) => fields
            .get(name)
            .and_then(Value::as_f64)
            .or_else(|| fields.values().find_map(|inner| find(inner, name))),
        Value::Array(items) => items.iter().find_map(|inner| find(inner, name)),
        _ => None,
    }
}
