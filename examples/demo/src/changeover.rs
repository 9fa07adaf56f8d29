//! Calling the `changeover` binary as its user would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::children;
use crate::reaper::Reaper;
use crate::stage;
use crate::summary::RunNumbers;

/// How long a verb may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// How often the run is asked where it stands.
const LOOK_EVERY: Duration = Duration::from_millis(200);

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
    /// Where the run keeps its files.
    fn state_dir(&self) -> PathBuf {
        self.state.join("changeover").join("shop")
    }

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

    /// Runs a verb with its progress on our terminal, and asks the run for its status meanwhile.
    ///
    /// # Errors
    /// If it ends otherwise than with `code`, or does not end.
    pub(crate) fn watch(
        &self,
        verb: &str,
        options: &[&str],
        code: i32,
        seen: &mut Seen,
        reaper: &Reaper,
    ) -> Result<(), String> {
        let said = |e: std::io::Error| format!("running changeover {verb}: {e}");
        let mut command = self.command(verb, reaper);
        command.args(options);
        let mut child =
            command.stdout(Stdio::inherit()).stderr(Stdio::inherit()).spawn().map_err(said)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().map_err(said)? {
                if status.code() != Some(code) {
                    return Err(format!(
                        "`changeover {verb}` ended with {status}, where {code} was expected"
                    ));
                }
                seen.look(&self.status(reaper)?);
                return Ok(());
            }
            if Instant::now() > deadline {
                child.kill().map_err(said)?;
                child.wait().map_err(said)?;
                return Err(format!("`changeover {verb}` did not end within {PATIENCE:?}"));
            }
            // Before the run listens there is no status, which is no fault.
            if self.state_dir().join("run.sock").exists()
                && let Ok(status) = self.status(reaper)
            {
                seen.look(&status);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// `changeover status --json`: the last object with a `steps_done` in it.
    fn status(&self, reaper: &Reaper) -> Result<Value, String> {
        let mut command = self.command("status", reaper);
        let text = stage::ran(command.arg("--json"), "changeover status --json")?;
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter_map(|value: Value| holder_of("steps_done", &value).cloned())
            .next_back()
            .ok_or_else(|| format!("`changeover status --json` has no status in it: {text}"))
    }

    /// Keeps the run's files (not its sockets) for reading after the demo.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub(crate) fn keep_state(&self, to: &Path) -> Result<(), String> {
        let said = |e: std::io::Error| format!("keeping the run's files: {e}");
        let from = self.state_dir();
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

/// What the statuses told so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    copying_since: Option<Instant>,
    copied_within: Option<Duration>,
    write_pause_ms_max: Option<u64>,
    rolled_back: Option<String>,
}

impl Seen {
    /// Takes in one status.
    fn look(&mut self, status: &Value) {
        let replicating = status["step"].as_str().is_some_and(|step| step.ends_with("/replicate"));
        if replicating {
            self.copying_since.get_or_insert_with(Instant::now);
        } else if let (Some(since), None) = (self.copying_since, self.copied_within) {
            self.copied_within = Some(since.elapsed());
        }
        let pause = status["cutover"]["write_pause_ms_max"].as_u64();
        self.write_pause_ms_max = self.write_pause_ms_max.max(pause);
        if status["state"]["is"] == "rolled-back" {
            self.rolled_back = status["state"]["why"].as_str().map(str::to_owned);
        }
    }

    /// Why the run went back, if it did.
    #[must_use]
    pub(crate) fn rolled_back(&self) -> Option<&str> {
        self.rolled_back.as_deref()
    }

    /// The numbers for the summary; one the run never told is absent.
    #[must_use]
    pub(crate) fn numbers(&self) -> RunNumbers {
        RunNumbers {
            write_pause_ms_max: self.write_pause_ms_max,
            copy_seconds: self.copied_within.map(|time| time.as_secs_f64()),
        }
    }
}

/// The object that has this field, however deep.
fn holder_of<'a>(field: &str, value: &'a Value) -> Option<&'a Value> {
    match value {
        Value::Object(fields) if fields.contains_key(field) => Some(value),
        Value::Object(fields) => fields.values().find_map(|inner| holder_of(field, inner)),
        Value::Array(items) => items.iter().find_map(|inner| holder_of(field, inner)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_longest_pause_of_move_and_rollback_counts() {
        let mut seen = Seen::default();
        seen.look(&json!({"step": "copy/replicate", "steps_done": 0}));
        assert_eq!(seen.numbers().write_pause_ms_max, None);
        seen.look(&json!({"step": "copy/verify", "cutover": {"write_pause_ms_max": null}}));
        assert_eq!(seen.numbers().write_pause_ms_max, None);
        seen.look(&json!({"step": null, "cutover": {"write_pause_ms_max": 61}}));
        seen.look(&json!({"step": null, "cutover": {"write_pause_ms_max": 40}}));
        assert_eq!(seen.numbers().write_pause_ms_max, Some(61));
    }

    #[test]
    fn the_status_is_found_inside_its_envelope() {
        let line = json!({"v": 1, "id": 1, "answer": {"is": "status", "steps_done": 3}});
        assert_eq!(holder_of("steps_done", &line).unwrap()["steps_done"], 3);
        assert!(holder_of("steps_done", &json!({"v": 1})).is_none());
    }
}
