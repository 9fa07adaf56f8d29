//! The end of a migration: everything of ours goes, but the seal of the side that lost authority.

use std::time::Duration;

use changeover_postgres::copy;
use changeover_postgres::error::{Error, ErrorKind};
use changeover_postgres::retire::{self, AbortOptions, Retired};
use changeover_postgres::schema;
use changeover_postgres::session::Session;
use changeover_run::{Input, Next, State};
use changeover_types::Side;
use tokio::time::{Instant, sleep};

use super::Effects;
use super::copying::LEFT_OVER;
use super::data::schema_archive;
use crate::protocol::EventKind;
use crate::report::chain;

/// What is in use is tried again for so long: it may be a statement of ours that was broken off,
/// whose session ends when the server notices.
const IN_USE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(500);

impl Effects {
    pub(super) async fn retire_aborted(&mut self, state: &State) -> Input {
        // Two that were begun at the same moment: only one of them has the databases.
        if let Some(doubt) = self.witness().another_lives(state).await {
            let next = Next::Status;
            return Input::Failed { why: format!("nothing is removed: {doubt}"), next };
        }
        self.retire("removing everything of ours", true).await
    }

    pub(super) async fn retire_finished(&mut self) -> Input {
        self.retire("ending the way back", false).await
    }

    async fn retire(&mut self, doing: &str, abort: bool) -> Input {
        if !self.plan.moves_data() {
            return Input::Done;
        }
        let next = if abort { Next::Abort } else { Next::Finish };
        self.relays.stop().await;
        let begun = Instant::now();
        loop {
            let retired = match self.retire_both(abort).await {
                Ok(retired) => retired,
                // Our own broken-off work may hold its locks for a moment yet.
                Err(e) if e.kind() == ErrorKind::Refused && begun.elapsed() < IN_USE => {
                    sleep(AGAIN).await;
                    continue;
                }
                Err(e) => {
                    let why = format!("{doing}: {}", chain(&e));
                    return Input::Failed { why, next };
                }
            };
            let complete = retired.iter().all(Retired::is_complete);
            if !complete && begun.elapsed() < IN_USE {
                sleep(AGAIN).await;
                continue;
            }
            for left in retired.iter().flat_map(|retired| &retired.left) {
                let text = format!("stays: {} ({})", left.what, left.why);
                self.board.say(EventKind::Warning, text);
            }
            if complete {
                return Input::Done;
            }
            let left = retired.iter().flat_map(|retired| &retired.left).filter(|left| !left.kept);
            let left: Vec<&str> = left.map(|left| left.what.as_str()).collect();
            let why = format!("{doing}: these are in use: {}", left.join(", "));
            return Input::Failed { why, next };
        }
    }

    /// Each side for itself: a target that is gone must not leave a slot behind on the source,
    /// whose disk it would fill.
    async fn retire_both(&mut self, abort: bool) -> Result<Vec<Retired>, Error> {
        let mut retired = Vec::new();
        let mut fault = None;
        for side in [Side::Target, Side::Source] {
            match self.retire_one(side, abort).await {
                Ok(one) => retired.push(one),
                Err(e) => {
                    fault.get_or_insert(e);
                }
            }
        }
        fault.map_or(Ok(retired), Err)
    }

    async fn retire_one(&mut self, side: Side, abort: bool) -> Result<Retired, Error> {
        let moved = self.moved().await?;
        let databases = self.databases().map_err(|r| Error::local(side, r.headline))?;
        let config = databases.of(side).clone();
        let scope = moved.scope.on(side);
        if !abort {
            return retire::finish(&config, &scope).await;
        }
        let mut left = Vec::new();
        if side == Side::Target {
            // While the seal stands: a write that is acknowledged must not be dropped.
            retire::check_abort(&config, &scope).await?;
            let mut session = Session::connect(&config, "changeover look").await?;
            schema::end_left_over(&mut session, &self.plan.name, LEFT_OVER).await?;
            copy::end_former(&mut session, &self.plan.name).await?;
            session.close().await;
            let archive = self.state_dir.join(schema_archive(&self.run_id));
            left.extend(schema::drop_restored(&config, &archive).await?);
            left.extend(self.remove_placed(&config).await?);
        }
        let mut retired = retire::abort(&config, &scope, AbortOptions::default()).await?;
        retired.left.extend(left);
        Ok(retired)
    }
}
