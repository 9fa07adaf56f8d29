//! Exit codes: an interface, so they stand in one place and in `--help`.

use std::process::ExitCode;

use changeover_engine::protocol::RunState;

/// Success, or nothing to do.
pub(crate) const OK: u8 = 0;
/// Something did not work.
pub(crate) const ERROR: u8 = 1;
/// With `--detailed-exitcode`: `apply` would do something.
pub(crate) const PENDING: u8 = 2;
/// A plan or an assessment found what --fail-on names.
pub(crate) const FINDINGS: u8 = 2;
/// A check failed and everything went back cleanly.
pub(crate) const ROLLED_BACK: u8 = 3;
/// The run waits for an approval, and nobody wanted to wait along.
pub(crate) const WAITING: u8 = 4;
/// The run waits for its operator, or is done and has alarms.
pub(crate) const STUCK: u8 = 5;
/// The plan changed since its run began, or what a saved plan relies on.
pub(crate) const STALE: u8 = 6;
/// The command line makes no sense. Not clap's 2, which means "changes pending" elsewhere.
pub(crate) const USAGE: u8 = 64;
/// Left by Ctrl-C while the run goes on, as shells know it.
pub(crate) const DETACHED: u8 = 130;

/// For `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    success, or nothing to do
  1    error
  2    plan or assess found what --fail-on names; with plan --detailed-exitcode: changes are pending
  3    a check failed and everything went back cleanly
  4    the run waits for an approval (with --no-wait)
  5    the run waits for its operator; of status: all steps are done, and a guard is bad
  6    the plan changed since its run began; a saved plan was used, expired or its facts changed
  7    another process holds the migration, or it was fenced off
  64   usage
  130  left by Ctrl-C; the run goes on";

/// Shows clap's message; help and version are no errors.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // A closed terminal leaves nobody to tell.
    error.print().ok();
    ExitCode::from(if error.use_stderr() { USAGE } else { OK })
}

/// What `status` makes of the state.
pub(crate) fn of_status(state: &RunState) -> u8 {
    match state {
        RunState::Done { alarms } if !alarms.is_empty() => STUCK,
        _ => OK,
    }
}

/// What `apply` makes of the state in which a run came to rest.
pub(crate) fn of_apply(state: &RunState) -> u8 {
    match state {
        RunState::Done { .. } | RunState::Finished | RunState::Resting { .. } => OK,
        RunState::RolledBack { .. } => ROLLED_BACK,
        RunState::Waiting { .. } => WAITING,
        RunState::Paused { .. } | RunState::Failed { .. } => STUCK,
        _ => ERROR,
    }
}
