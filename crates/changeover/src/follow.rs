//! Stays with a run until it rests: shows what happens, and starts the daemon again if it dies.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use changeover_engine::Report;
use changeover_engine::client::{ClientError, Seen, Watch};
use changeover_engine::protocol::{RunState, RunStatus};

use crate::migration::{self, DEATH_PAUSE, SILENT_DEATHS_MAX, Target};
use crate::output::Output;
use crate::progress::Progress;

/// How long the last events may take to arrive.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(200);

/// How it ended.
#[derive(Debug)]
pub(crate) enum Followed {
    /// The run rests in this state; the daemon's last status, unless it is gone.
    Rested(RunState, Option<Box<RunStatus>>),
    /// The user pressed Ctrl-C; the run goes on.
    Left,
}

/// Follows until `enough` says so of a status, or Ctrl-C. Shows the events after number `after` of
/// the daemon's life, or those from now on.
///
/// # Errors
/// If the daemon dies again and again or cannot be asked.
pub(crate) async fn until(
    target: &Target,
    output: &Output,
    after: Option<u64>,
    enough: impl Fn(&RunStatus) -> bool,
) -> Result<Followed, Report> {
    let mut progress = Progress::new(output);
    let outcome = {
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let mut followed = pin!(watch(target, &mut progress, after, enough));
        tokio::select! {
            outcome = &mut followed => outcome,
            signal = &mut interrupted => match signal {
                Ok(()) => Ok(Followed::Left),
                // Without a handler, Ctrl-C just ends us, which leaves the run as well.
                Err(_) => followed.await,
            },
        }
    };
    progress.clear();
    outcome
}

async fn watch(
    target: &Target,
    progress: &mut Progress<'_>,
    after: Option<u64>,
    enough: impl Fn(&RunStatus) -> bool,
) -> Result<Followed, Report> {
    let mut last_event = after;
    let mut deaths = 0;
    loop {
        let outcome = match connect(target, last_event).await {
            Ok(mut watch) => {
                one_life(&mut watch, progress, &enough, &mut last_event, &mut deaths).await
            }
            Err(end) => Err(end),
        };
        let error = match outcome {
            Ok(followed) => return Ok(followed),
            Err(End::Report(report)) => return Err(report),
            Err(End::Gone(error)) => error,
        };
        // A daemon whose run is over leaves; the journal says so.
        if let Some(journalled) = migration::journalled(&target.state_dir)?
            && journalled.state.mode.is_over()
        {
            return Ok(Followed::Rested(journalled.run_state(), None));
        }
        deaths += 1;
        // Events are numbered within one daemon's life.
        last_event = None;
        if deaths > SILENT_DEATHS_MAX {
            return Err(error.report());
        }
        progress.note("the daemon is gone; starting it again");
        tokio::time::sleep(DEATH_PAUSE).await;
    }
}

/// Why a watch ended before the run rested.
enum End {
    Gone(ClientError),
    Report(Report),
}

impl From<Report> for End {
    fn from(report: Report) -> End {
        End::Report(report)
    }
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> End {
        match error {
            ClientError::NotRunning { .. } => End::Gone(error),
            _ => End::Report(error.report()),
        }
    }
}

async fn connect(target: &Target, after: Option<u64>) -> Result<Watch, End> {
    Ok(target.daemon().await?.watch(after).await?)
}

async fn one_life(
    watch: &mut Watch,
    progress: &mut Progress<'_>,
    enough: &impl Fn(&RunStatus) -> bool,
    last_event: &mut Option<u64>,
    deaths: &mut u32,
) -> Result<Followed, End> {
    loop {
        match watch.next().await? {
            Seen::Event(event) => {
                *deaths = 0;
                *last_event = Some(event.number);
                progress.event(&event);
            }
            Seen::Status(status) => {
                progress.status(&status);
                if enough(&status) {
                    last_words(watch, progress).await;
                    return Ok(Followed::Rested(status.state.clone(), Some(status)));
                }
            }
            Seen::Program(_) => {
                let headline = "the daemon in the migration's folder is that of a program";
                return Err(Report::new("CO0012", headline).into());
            }
            Seen::Refused(fault) => return Err(migration::refusal(fault).into()),
        }
    }
}

/// Events that were under way when the status was made.
async fn last_words(watch: &mut Watch, progress: &mut Progress<'_>) {
    while let Ok(Ok(Seen::Event(event))) =
        tokio::time::timeout(LAST_WORDS_WITHIN, watch.next()).await
    {
        progress.event(&event);
    }
}

/// What to tell somebody who leaves.
pub(crate) fn farewell(target: &Target, output: &Output) {
    let words = target.words();
    output.note(format!(
        "\nleft; the run goes on in its daemon\n  \
         watch     changeover status {words} --watch\n  \
         pause     changeover pause {words}\n  \
         take back changeover rollback {words}   (changeover abort {words} before the cutover)"
    ));
    output.emit("left", &serde_json::json!({"name": target.name.as_str()}));
}

/// Runs a verb's conversation with the daemon.
///
/// # Errors
/// Those of the conversation, or that no runtime can be had.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Report::new("CO0017", "no runtime can be started").because(&e))?
        .block_on(future)
}
