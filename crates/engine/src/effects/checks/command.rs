//! A command of the user's.

use std::ffi::OsString;
use std::path::Path;

use changeover_checks::exec::Exec as Running;
use changeover_plan::Exec;

use super::Found;
use crate::effects::Effects;
use crate::supervisor;

/// The hidden verb that makes our program a command's guard.
pub const GUARD_VERB: &str = "guard-command";

/// What starts a command's guard; the command's words follow.
pub(crate) fn keeper() -> Result<Vec<OsString>, String> {
    let own = std::env::current_exe().map_err(|e| format!("our own program: {e}"))?;
    Ok(vec![own.into_os_string(), OsString::from(GUARD_VERB), OsString::from("--")])
}

impl Effects {
    pub(super) async fn run_command(&self, exec: &Exec, path: &str) -> Result<Found, String> {
        let guard = keeper()?;
        let folder = self.plan_path.parent().unwrap_or(Path::new("."));
        let log = format!("{}.log", path.replace('/', "-"));
        let running = Running {
            guard,
            command: exec.command.clone(),
            folder: folder.to_owned(),
            env: self.texts(&exec.env, "environment variable")?,
            without: supervisor::OUR_VARIABLES.to_vec(),
            within: exec.within,
            log: self.state_dir.join("checks").join(log),
            junit: exec.junit.clone(),
        };
        let cases = running.run().await;
        let failed = cases.iter().filter(|case| !case.failures.is_empty()).count();
        let tests = cases.len().saturating_sub(1);
        let summary = match (failed, exec.junit.is_some()) {
            (0, true) => format!("exit code 0, {tests} tests without a failure"),
            (0, false) => "exit code 0".to_owned(),
            (failed, true) => format!("{failed} failures among the command and its {tests} tests"),
            (_, false) => "the command failed".to_owned(),
        };
        let numbers = [("tests", tests), ("failed", failed)];
        let numbers = numbers.map(|(name, n)| (name.to_owned(), n as u64)).into();
        Ok(Found { summary, cases, numbers })
    }
}
