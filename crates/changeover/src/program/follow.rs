//! Stays with a program until it rests: shows what happens, and starts its daemon again if it dies.

use std::pin::pin;
use std::time::Instant;

use changeover_engine::Report;
use changeover_engine::client::{ClientError, Seen, Watch};
use changeover_engine::protocol::{Ask, ProgramStatus, RunState};
use changeover_run::Mode;

use super::{Target, status, view};
use crate::exit;
use crate::migration::{DEATH_PAUSE, SILENT_DEATHS_MAX, refusal};
use crate::output::Output;
use crate::progress::{LINE_EVERY, Progress};

/// Orders something of the daemon, follows the program until it rests, and shows where it rests.
///
/// # Errors
/// With the daemon's refusal, or why it cannot be asked.
pub(super) fn order(
    target: &Target,
    ask: Ask,
    output: &Output,
    code: impl Fn(&RunState) -> u8,
) -> Result<u8, Report> {
    crate::follow::block_on(async {
        let after = target.last_event().await?;
        target.order(ask).await?;
        rest(target, output, Some(after), code).await
    })
}

/// Orders something that is done when it is accepted, and shows where the program stands then.
///
/// # Errors
/// With the daemon's refusal, or why it cannot be asked.
pub(super) fn order_and_show(
    target: &Target,
    ask: Ask,
    name: Option<String>,
    output: &Output,
) -> Result<u8, Report> {
    crate::follow::block_on(async {
        target.order_as(name, ask).await?;
        let status = target.status().await?;
        Ok(show(target, Some((status.state.clone(), Some(Box::new(status)))), output, |_| exit::OK))
    })
}

/// Follows the program until it rests and shows where.
///
/// # Errors
/// If the daemon cannot be asked or dies again and again.
pub(super) async fn rest(
    target: &Target,
    output: &Output,
    after: Option<u64>,
    code: impl Fn(&RunState) -> u8,
) -> Result<u8, Report> {
    let followed = until(target, output, after, |status| status.state.is_resting()).await?;
    Ok(show(target, followed, output, code))
}

/// Follows the program until `enough` says so; `None` if the user left.
///
/// # Errors
/// If the daemon cannot be asked or dies again and again.
pub(super) async fn until(
    target: &Target,
    output: &Output,
    after: Option<u64>,
    enough: impl Fn(&ProgramStatus) -> bool,
) -> Result<Option<Rested>, Report> {
    let mut progress = Progress::new(output);
    let followed = {
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let mut followed = pin!(watch(target, output, &mut progress, after, enough));
        tokio::select! {
            outcome = &mut followed => Some(outcome?),
            signal = &mut interrupted => match signal {
                Ok(()) => None,
                // Without a handler, Ctrl-C just ends us, which leaves the program as well.
                Err(_) => Some(followed.await?),
            },
        }
    };
    progress.clear();
    Ok(followed)
}

/// Shows where it came to rest, and gives the exit code.
pub(super) fn show(
    target: &Target,
    followed: Option<Rested>,
    output: &Output,
    code: impl Fn(&RunState) -> u8,
) -> u8 {
    let Some((state, status)) = followed else {
        farewell(target, output);
        return exit::DETACHED;
    };
    let code = code(&state);
    let result = serde_json::json!({"state": state, "status": status, "exit": code});
    output.emit("result", &result);
    match &status {
        Some(status) => output.line(view::status(status)),
        None => output.line(format!("{}: {}", target.name, crate::view::state(&state))),
    }
    if matches!(state, RunState::Done { .. }) {
        output.line(format!(
            "\nall components have moved and every way back is open\n  \
             take back  changeover rollback {0}\n  \
             end it     changeover finish {0}",
            target.words()
        ));
    }
    code
}

fn farewell(target: &Target, output: &Output) {
    let words = target.words();
    output.note(format!(
        "\nleft; the program goes on in its daemon\n  \
         watch     changeover status {words} --watch\n  \
         take back changeover rollback {words}"
    ));
    output.emit("left", &serde_json::json!({"name": target.name.as_str()}));
}

/// Where a program came to rest; its daemon's last status, unless it is gone.
pub(super) type Rested = (RunState, Option<Box<ProgramStatus>>);

async fn watch(
    target: &Target,
    output: &Output,
    progress: &mut Progress<'_>,
    after: Option<u64>,
    enough: impl Fn(&ProgramStatus) -> bool,
) -> Result<Rested, Report> {
    let mut last_event = after;
    let mut deaths = 0;
    loop {
        let mut watch = target.daemon().await?.watch(last_event).await.map_err(|e| e.report())?;
        let error =
            match one_life(&mut watch, output, progress, &enough, &mut last_event, &mut deaths)
                .await
            {
                Ok(rested) => return Ok(rested),
                Err(End::Report(report)) => return Err(report),
                Err(End::Gone(error)) => error,
            };
        // A daemon whose program is over leaves; the journal says so.
        let journalled = status::journalled(target)?;
        match journalled.map(|(_, state)| state.mode) {
            Some(Mode::Aborted) => return Ok((RunState::Aborted, None)),
            Some(Mode::Finished) => return Ok((RunState::Finished, None)),
            _ => {}
        }
        deaths += 1;
        // Events are numbered within one daemon's life.
        last_event = None;
        if deaths > SILENT_DEATHS_MAX {
            return Err(error.report());
        }
        progress.note("the program's daemon is gone; starting it again");
        tokio::time::sleep(DEATH_PAUSE).await;
    }
}

/// Why a watch ended before the program rested.
enum End {
    Gone(ClientError),
    Report(Report),
}

async fn one_life(
    watch: &mut Watch,
    output: &Output,
    progress: &mut Progress<'_>,
    enough: &impl Fn(&ProgramStatus) -> bool,
    last_event: &mut Option<u64>,
    deaths: &mut u32,
) -> Result<Rested, End> {
    let mut last_line: Option<(Instant, String)> = None;
    loop {
        match watch.next().await {
            Ok(Seen::Event(event)) => {
                *deaths = 0;
                *last_event = Some(event.number);
                progress.event(&event);
            }
            Ok(Seen::Program(status)) => {
                output.emit("status", &status);
                if enough(&status) {
                    return Ok((status.state.clone(), Some(status)));
                }
                let line = view::activity(&status);
                let due = last_line
                    .as_ref()
                    .is_none_or(|(at, last)| at.elapsed() >= LINE_EVERY && *last != line);
                if due {
                    progress.note(&format!("  {line}"));
                    last_line = Some((Instant::now(), line));
                }
            }
            Ok(Seen::Status(_)) => {
                let headline = "the daemon in the program's folder is that of a plan";
                return Err(End::Report(Report::new("CO0012", headline)));
            }
            Ok(Seen::Refused(fault)) => return Err(End::Report(refusal(fault))),
            Err(error @ ClientError::NotRunning { .. }) => return Err(End::Gone(error)),
            Err(error) => return Err(End::Report(error.report())),
        }
    }
}
