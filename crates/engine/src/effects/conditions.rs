//! The look that a person's word is bound to: the catalogue.

use std::time::Duration;

use changeover_postgres::digest::Fingerprint;
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::session::Session;
use changeover_run::{Input, State};
use changeover_types::Side;
use tokio::time::{sleep, timeout};

use super::data::failed;
use super::{Effects, application};
use crate::declared::selection;
use crate::report::chain;

/// How often the catalogue is looked at while people are waited for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

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
}
