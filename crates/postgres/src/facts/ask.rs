//! One question after another, each with a deadline; an answer or why there is none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use changeover_assess::Fact;
use changeover_types::WallMs;
use serde::de::DeserializeOwned;

use crate::catalog::json;
use crate::config::ConnectConfig;
use crate::error::{Error, Result as PgResult};
use crate::session::Session;

/// An answer, or why there is none.
pub(super) type Answer<T> = Result<T, String>;

/// Asks one server.
pub(super) struct Asker {
    session: Session,
    statement: Duration,
    /// Why nothing more can be asked.
    lost: Option<String>,
}

impl Asker {
    pub(super) fn new(session: Session, statement: Duration) -> Self {
        Asker { session, statement, lost: None }
    }

    pub(super) fn config(&self) -> &ConnectConfig {
        self.session.config()
    }

    pub(super) fn major(&self) -> u32 {
        self.session.server_version()
    }

    /// The server ends a statement that takes too long; a network that is silent is ended here,
    /// a little later, so that the server's own words are heard where it has any.
    pub(super) async fn within<T>(
        &mut self,
        limit: Duration,
        with: impl AsyncFnOnce(&mut Session) -> PgResult<T>,
    ) -> Answer<T> {
        if let Some(why) = &self.lost {
            return Err(why.clone());
        }
        let limit = limit + Duration::from_secs(2);
        match tokio::time::timeout(limit, with(&mut self.session)).await {
            Ok(answer) => answer.map_err(|e| words(&e)),
            Err(_) => {
                let why = format!("the server did not answer within {} s", limit.as_secs());
                // What answers later would be taken for the answer to another question.
                self.lost = Some(why.clone());
                Err(why)
            }
        }
    }

    /// Runs a query of one cell that holds JSON.
    pub(super) async fn json<T: DeserializeOwned>(&mut self, sql: &str) -> Answer<T> {
        let limit = self.statement;
        self.within(limit, async |session| json(session, sql).await).await
    }

    /// The same as a fact; `topic` is what was read.
    pub(super) async fn read<T: DeserializeOwned>(&mut self, topic: &str, sql: &str) -> Fact<T> {
        let answer = self.json(sql).await;
        self.fact(topic, answer)
    }

    /// An answer as a fact of this server.
    pub(super) fn fact<T>(&self, topic: &str, answer: Answer<T>) -> Fact<T> {
        let source = format!("{topic} of {}", self.config().redacted());
        match answer {
            Ok(value) => Fact::known(value, source, now()),
            Err(why) => Fact::unknown(why, source, now()),
        }
    }
}

/// A part of an answer that has a reason of its own.
pub(super) fn flat<S, T: Clone>(
    answer: &Answer<S>,
    part: impl FnOnce(&S) -> &Answer<T>,
) -> Answer<T> {
    part(answer.as_ref().map_err(String::clone)?).clone()
}

/// This machine's clock.
pub(super) fn now() -> WallMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// An error and its sources in one line, outermost first.
pub(super) fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    text
}
