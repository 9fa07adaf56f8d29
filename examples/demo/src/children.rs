//! Starting our own programs, so that they die with us.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::reaper::MARK;

/// A program that stands beside this one.
///
/// # Errors
/// If it was not built.
pub(crate) fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| format!("finding this program: {e}"))?;
    let path = own.with_file_name(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is not there; build it: cargo build --release --workspace", path.display()))
    }
}

/// A command that carries the demo's mark and is killed when the calling thread ends: only the
/// main thread may start it.
pub(crate) fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).env(MARK, folder).stdin(Stdio::null());
    command
}

/// Starts a long-lived child whose output goes to a file.
///
/// # Errors
/// If the file or the child cannot be made.
pub(crate) fn start(mut command: Command, log: &Path) -> Result<Child, String> {
    let said = |e: std::io::Error| format!("starting {command:?}: {e}", command = log.display());
    let file = File::create(log).map_err(said)?;
    let copy = file.try_clone().map_err(said)?;
    command.stdout(file).stderr(copy).spawn().map_err(said)
}
