//! The end of a migration: everything of ours goes, but the seal of the side that lost authority.

use changeover_postgres::error::Error;
use changeover_postgres::retire::{self, AbortOptions, Retired};
use changeover_run::Input;
use changeover_types::Side;

use super::Effects;
use crate::protocol::EventKind;
use crate::report::chain;

impl Effects {
    pub(super) async fn retire_aborted(&mut self) -> Input {
        self.retire("removing everything of ours", true).await
    }

    pub(super) async fn retire_finished(&mut self) -> Input {
        self.retire("ending the way back", false).await
    }

    async fn retire(&mut self, doing: &str, abort: bool) -> Input {
        if !self.plan.moves_data() {
            return Input::Done;
        }
        let next = if abort { "changeover abort" } else { "changeover finish" };
        self.relays.stop().await;
        match self.retire_both(abort).await {
            Ok(retired) => {
                for left in retired.iter().flat_map(|retired| &retired.left) {
                    let text = format!("stays: {} ({})", left.what, left.why);
                    self.board.say(EventKind::Warning, text);
                }
                if retired.iter().all(Retired::is_complete) {
                    return Input::Done;
                }
                let why = format!("{doing}: something is in use, see the events");
                Input::Failed { why, next: next.to_owned() }
            }
            Err(e) => {
                Input::Failed { why: format!("{doing}: {}", chain(&e)), next: next.to_owned() }
            }
        }
    }

    async fn retire_both(&mut self, abort: bool) -> Result<Vec<Retired>, Error> {
        let moved = self.moved().await?;
        let mut retired = Vec::new();
        for side in [Side::Target, Side::Source] {
            let databases = self.databases().map_err(|r| Error::local(side, r.headline))?;
            let config = databases.of(side).clone();
            let scope = moved.scope.on(side);
            retired.push(if abort {
                retire::abort(&config, &scope, AbortOptions::default()).await?
            } else {
                retire::finish(&config, &scope).await?
            });
        }
        Ok(retired)
    }
}
