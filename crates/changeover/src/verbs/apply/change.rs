//! Takes up a plan that has changed since its run began, where nothing rests on what changed: the
//! daemon is stopped, the change is journalled, and the daemon that comes next is of the new plan.

use std::fs;
use std::time::Duration;

use changeover_engine::Report;
use changeover_engine::client::{Client, ClientError};
use changeover_engine::protocol::Ask;
use changeover_run::{DataStage, Who};
use tokio::time::{Instant, sleep};

use crate::migration::{Journalled, Planned};
use crate::{exit, follow};

/// A daemon that was told to stop is gone within this.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// What changed.
///
/// # Errors
/// With exit code 6 if something rests on what changed, or the daemon cannot be stopped just now.
pub(super) fn take_up(
    planned: &Planned,
    journalled: &Journalled,
    asker: Option<String>,
) -> Result<Vec<String>, Report> {
    let text = fs::read_to_string(&planned.path)
        .map_err(|e| Report::new("CO0010", "the plan cannot be read again").because(&e))?;
    // Looked at before anything is stopped.
    let known = changeover_engine::plan_of_record(&planned.state_dir)?;
    if let Some((digest, known)) = &known {
        changeover_engine::free_changes(&planned.path, (digest, known), &planned.plan)?;
    }
    follow::block_on(stop(planned, journalled))?;
    let who = Who { user: changeover_engine::operator(), name: asker };
    changeover_engine::change_plan(&planned.state_dir, &planned.path, &planned.plan, &text, who)
}

/// Stops the daemon, unless what it does would be lost by it.
async fn stop(planned: &Planned, journalled: &Journalled) -> Result<(), Report> {
    let not_now = |why: &str| {
        Report::new("CO0033", "the plan has changed, and cannot be taken up just now")
            .cause(why)
            .exit(exit::STALE)
    };
    let mut daemon = match changeover_engine::find_daemon(&planned.state_dir).await {
        Ok(daemon) => daemon,
        Err(ClientError::NotRunning { .. }) => return Ok(()),
        Err(error) => return Err(error.report()),
    };
    if journalled.state.data == DataStage::Copying {
        return Err(not_now(
            "the copy is under way, and would have to begin again: apply the change \
                            when it is done",
        ));
    }
    if journalled.state.cutover.attempt.is_some() {
        return Err(not_now("authority is changing hands: apply the change when that is over"));
    }
    match daemon.request(Ask::Shutdown).await {
        Ok(_) | Err(ClientError::NotRunning { .. }) => {}
        Err(error) => return Err(error.report()),
    }
    let deadline = Instant::now() + GONE_WITHIN;
    while !matches!(Client::connect(&planned.state_dir).await, Err(ClientError::NotRunning { .. }))
    {
        if Instant::now() > deadline {
            return Err(not_now("its daemon does not stop; see run.log in the state folder"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
