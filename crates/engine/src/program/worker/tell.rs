//! Gives a component an order.

use std::time::Duration;

use changeover_journal::{JournalError, Reader};
use changeover_run::Mode;
use changeover_run::program::Order;
use tokio::time::{Instant, sleep};

use super::Desk;
use crate::client::ClientError;
use crate::program::ComponentFiles;
use crate::protocol::{Answer, Ask};
use crate::report::chain;
use crate::start::Begin;
use crate::{Report, ensure_daemon};

/// So many daemons in a row that die before they answer, and the order is given up.
const SILENT_DEATHS_MAX: u32 = 10;
/// Between two of them.
const DEATH_PAUSE: Duration = Duration::from_millis(200);
/// The daemon of an aborted run stays a moment, so that whoever watches sees the end.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// Gives the order to the component's daemon, which is started if it is gone; a run that begins
/// with it knows its bound before its first step. Once it returns, the component's journal has it.
///
/// # Errors
/// If the daemon cannot be started, or refuses.
pub(super) async fn tell(
    desk: &Desk,
    component: usize,
    order: &Order,
    appliers: &[String],
) -> Result<(), Report> {
    let (Some(files), Some(plan)) =
        (desk.components.get(component), desk.program.components.get(component))
    else {
        return Err(Report::new("CO0171", "there is no such component"));
    };
    let phase = match order {
        Order::Advance { steps, .. } if *steps < plan.steps() => plan.phase_ending_at(*steps),
        _ => None,
    };
    let (begin, ask) = match (order, phase) {
        (Order::Advance { .. }, Some(phase)) => {
            (Begin::Until(phase), Ask::Until { phase: phase.to_owned() })
        }
        (Order::Advance { .. }, None) => (Begin::ToTheEnd, Ask::Retry),
        (Order::Halt, _) => (Begin::AtRest, Ask::Rest),
        (Order::RollBack { why }, _) => {
            (Begin::AtRest, Ask::Rollback { why: format!("the program goes back: {why}") })
        }
        (Order::Abort, _) => (Begin::AtRest, Ask::Abort { lost: false }),
        (Order::Finish, _) => (Begin::AtRest, Ask::Finish { confirm: plan.plan.name.to_string() }),
    };
    match mode(files)? {
        Some(Mode::Aborted) if matches!(order, Order::Advance { .. }) => put_aside(files).await?,
        // Over: nothing can be ordered, and what it came to is read back.
        Some(mode) if mode.is_over() => return Ok(()),
        _ => {}
    }
    if matches!(order, Order::Advance { .. }) {
        introduce(desk, component, begin, appliers).await?;
    }
    give(files, begin, None, ask).await
}

/// Tells a component that asks for approvals who applied: they may not be who approves. Each may be
/// told twice.
///
/// # Errors
/// As [`tell`].
pub(super) async fn introduce(
    desk: &Desk,
    component: usize,
    begin: Begin<'_>,
    appliers: &[String],
) -> Result<(), Report> {
    let (Some(files), Some(plan)) =
        (desk.components.get(component), desk.program.components.get(component))
    else {
        return Ok(());
    };
    if plan.plan.phases.iter().all(|phase| phase.entrance.approve.is_none()) {
        return Ok(());
    }
    for name in appliers {
        give(files, begin, Some(name.clone()), Ask::Apply).await?;
    }
    Ok(())
}

async fn give(
    files: &ComponentFiles,
    begin: Begin<'_>,
    name: Option<String>,
    ask: Ask,
) -> Result<(), Report> {
    let mut deaths = 0;
    loop {
        let daemon = ensure_daemon(&files.plan, &files.state_dir, begin).await?;
        let mut daemon = daemon.named(name.clone());
        match daemon.request(ask.clone()).await {
            Ok(Answer::Refused(fault)) => {
                let mut report = Report::new("CO0172", fault.headline);
                report.chain = fault.chain;
                return Err(report);
            }
            Ok(_) => return Ok(()),
            Err(ClientError::NotRunning { .. }) if deaths < SILENT_DEATHS_MAX => deaths += 1,
            Err(error) => return Err(error.report()),
        }
        sleep(DEATH_PAUSE).await;
    }
}

/// What the component's run is about, by its journal; `None` if it has none.
pub(super) fn mode(files: &ComponentFiles) -> Result<Option<Mode>, Report> {
    Ok(state(files)?.map(|state| state.mode))
}

/// Where the component's run stands by its journal; `None` if it has none.
pub(super) fn state(files: &ComponentFiles) -> Result<Option<changeover_run::State>, Report> {
    let fault = |e: &JournalError| {
        Report::new("CO0173", "the component's journal cannot be read").cause(chain(e))
    };
    let reader = match Reader::open(&files.state_dir) {
        Ok(reader) => reader,
        Err(JournalError::Absent { .. }) => return Ok(None),
        Err(error) => return Err(fault(&error)),
    };
    let records = reader.read_all().map_err(|e| fault(&e))?;
    crate::journalled(&records).map(Some)
}

/// The journal of an aborted run makes room for a new one.
async fn put_aside(files: &ComponentFiles) -> Result<(), Report> {
    let deadline = Instant::now() + LEAVES_WITHIN;
    loop {
        match changeover_journal::archive(&files.state_dir) {
            Ok(_) => return Ok(()),
            Err(JournalError::Held { .. }) if Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(error) => {
                let headline = "the journal of the component's aborted run cannot be put aside";
                return Err(Report::new("CO0174", headline).because(&error));
            }
        }
    }
}
