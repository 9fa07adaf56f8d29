//! Looks that a person's word or a rollback is bound to: the catalogue, and the way back.

use std::time::Duration;

use changeover_postgres::digest::Fingerprint;
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::session::Session;
use changeover_run::{Input, State};
use changeover_types::Side;
use tokio::time::{Instant, sleep, timeout};

use super::data::{failed, selection};
use super::{Effects, application};
use crate::http;
use crate::protocol::EventKind;
use crate::report::chain;

/// How often the catalogue is looked at while people are waited for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// An upstream that is well answers within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long the relay of the way back may take to be live, after a restart of ours.
const RELAY_WITHIN: Duration = Duration::from_secs(15);

impl Effects {
    /// The source's catalogue as it is now.
    pub(super) async fn look_at_facts(&mut self) -> Input {
        match self.patiently(async |this| this.catalogue().await).await {
            Ok(catalogue) => Input::Catalogue { catalogue },
            Err(e) => failed("looking at what is to be approved", &e),
        }
    }

    /// Waits until the source's catalogue is another. A look that fails changes nothing: the last
    /// look, before the phase opens, must succeed.
    pub(super) async fn watch_facts(&mut self, state: &State) -> Input {
        loop {
            sleep(LOOK_EVERY).await;
            match self.catalogue().await {
                Ok(catalogue) if catalogue != state.control.catalogue => {
                    return Input::Catalogue { catalogue };
                }
                Ok(_) => {}
                Err(e) => tracing::warn!("looking at the catalogue: {}", chain(&e)),
            }
        }
    }

    /// What the tables are; where their rows lie may change. `None` without a database.
    async fn catalogue(&self) -> PgResult<Option<String>> {
        let Some(databases) = &self.databases else { return Ok(None) };
        let selection = selection(&self.plan)?;
        let source = databases.of(Side::Source);
        let look = async {
            let mut session = Session::connect(source, &application(&self.plan.name)).await?;
            let found = Fingerprint::read(&mut session, &selection).await?;
            session.close().await;
            Ok(Some(found.catalog))
        };
        timeout(LOOK_WITHIN, look).await.unwrap_or_else(|_| {
            let what = format!("no answer within {} s", LOOK_WITHIN.as_secs());
            Err(changeover_postgres::error::Error::timeout(Side::Source, what))
        })
    }

    /// Before the run goes back by itself: at least half of the source's upstreams must answer,
    /// and what was written on the target must reach the source.
    pub(super) async fn check_way_back(&mut self, authority: Side) -> Input {
        if let Err(why) = self.source_answers().await {
            return not_ready(why);
        }
        if authority == Side::Target && self.databases.is_some() {
            let begun = Instant::now();
            while !self.relays.is_live(Side::Source) {
                if begun.elapsed() > RELAY_WITHIN {
                    return not_ready("the relay back to the source is not running".to_owned());
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        Input::Done
    }

    async fn source_answers(&self) -> Result<(), String> {
        let Some(source) = &self.plan.source.http else { return Ok(()) };
        let mut faults = Vec::new();
        for upstream in &source.upstreams {
            match timeout(ANSWER_WITHIN, http::get(upstream, "/")).await {
                Ok(Ok(answer)) if answer.status < 500 => {}
                Ok(Ok(answer)) => faults.push(format!("{upstream} answers {}", answer.status)),
                Ok(Err(why)) => faults.push(format!("{upstream}: {why}")),
                Err(_) => faults.push(format!("{upstream}: no answer within 5 s")),
            }
        }
        let text = format!("upstreams of the source are not well: {}", faults.join("; "));
        if faults.len() * 2 > source.upstreams.len() {
            return Err(text);
        }
        if !faults.is_empty() {
            self.board.say(EventKind::Warning, text);
        }
        Ok(())
    }
}

fn not_ready(why: String) -> Input {
    Input::Failed {
        why: format!("the way back is not ready, so the traffic stays where it is: {why}"),
        next: "changeover rollback".to_owned(),
    }
}
