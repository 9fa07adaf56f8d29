//! Follows a component: its daemon is kept alive, and every change of where it stands is told.

use std::time::Duration;

use changeover_run::program::{Input, Is, Seen};
use changeover_run::{Mode, State};
use tokio::time::sleep;

use super::{Desk, Line, tell, unreachable};
use crate::client::{ClientError, Seen as FromDaemon, Watch};
use crate::program::ComponentFiles;
use crate::protocol::{RunState, RunStatus};
use crate::start::Begin;
use crate::{Report, ensure_daemon};

/// So many failures in a row, and the component counts as unreachable; it is tried on.
const FAILURES_MAX: u32 = 5;
/// Between two of them.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);

/// Follows until it is dropped, or the component's run is over.
pub(super) async fn follow(desk: &Desk, component: usize, appliers: &[String], line: &Line) {
    let Some(files) = desk.components.get(component) else { return };
    let mut last = None;
    let mut last_event = None;
    let mut failures = 0;
    loop {
        match ended(files) {
            Ok(Some(seen)) => return line.say(Input::Seen { component, seen }).await,
            Ok(None) => {}
            Err(report) => line.say(unreachable(component, None, &report)).await,
        }
        let connected = async {
            tell::introduce(desk, component, Begin::AtRest, appliers).await?;
            connect(files, last_event).await
        };
        let error = match connected.await {
            Ok(mut watch) => {
                one_life(&mut watch, desk, line, &mut last, &mut last_event, &mut failures).await
            }
            Err(report) => report,
        };
        // Events are numbered within one daemon's life.
        last_event = None;
        failures += 1;
        if failures == FAILURES_MAX {
            last = None;
            line.say(unreachable(component, None, &error)).await;
        }
        sleep(FAILURE_PAUSE).await;
    }
}

async fn connect(files: &ComponentFiles, after: Option<u64>) -> Result<Watch, Report> {
    let daemon = ensure_daemon(&files.plan, &files.state_dir, Begin::AtRest).await?;
    daemon.watch(after).await.map_err(|e| e.report())
}

/// What the journal of a run that is over says, for its daemon leaves.
fn ended(files: &ComponentFiles) -> Result<Option<Seen>, Report> {
    let over = |state: &State| match state.mode {
        Mode::Aborted => Some(Is::Aborted),
        Mode::Finished => Some(Is::Finished),
        _ => None,
    };
    Ok(tell::state(files)?.and_then(|state| {
        Some(Seen {
            is: over(&state)?,
            steps_done: state.at,
            target_permille: state.highest_permille(),
            authority: state.cutover.authority,
        })
    }))
}

async fn one_life(
    watch: &mut Watch,
    desk: &Desk,
    line: &Line,
    last: &mut Option<Seen>,
    last_event: &mut Option<u64>,
    failures: &mut u32,
) -> Report {
    let component = line.component;
    loop {
        match watch.next().await {
            Ok(FromDaemon::Status(status)) => {
                *failures = 0;
                desk.board.show_component(component, &status);
                let seen = seen(&status);
                if last.as_ref() != Some(&seen) {
                    *last = Some(seen.clone());
                    line.say(Input::Seen { component, seen }).await;
                }
            }
            Ok(FromDaemon::Event(event)) => {
                *last_event = Some(event.number);
                desk.board.repeat(component, &event);
            }
            Ok(FromDaemon::Refused(fault)) => return Report::new("CO0175", fault.headline),
            Ok(FromDaemon::Program(_)) => {
                return Report::new("CO0176", "the component's daemon is that of a program");
            }
            Err(error @ ClientError::NotRunning { .. }) => {
                desk.board.gone(component);
                return error.report();
            }
            Err(error) => return error.report(),
        }
    }
}

/// A daemon's status as far as a program decides on it.
fn seen(status: &RunStatus) -> Seen {
    let is = match &status.state {
        // What it waits for, a person, a time or a guard, it goes on by itself after.
        RunState::Running | RunState::Waiting { .. } => Is::Running,
        RunState::Resting { .. } => Is::Resting,
        // A person stopped it and will resume it: it has not failed.
        RunState::Paused { .. } if status.control.paused_by.is_some() => Is::Running,
        RunState::Paused { reason, next_command } | RunState::Failed { reason, next_command } => {
            Is::Paused { why: reason.clone(), next: *next_command }
        }
        RunState::Done { .. } => Is::Done,
        RunState::RollingBack { why } => Is::RollingBack { why: why.clone() },
        RunState::RolledBack { why } => Is::RolledBack { why: why.clone() },
        RunState::Aborting => Is::Aborting,
        RunState::Aborted => Is::Aborted,
        RunState::Finishing => Is::Finishing,
        RunState::Finished => Is::Finished,
    };
    Seen {
        is,
        steps_done: status.steps_done,
        target_permille: status.highest_permille(),
        authority: status.authority,
    }
}
