//! Our own writes during a rehearsal: one row after the other, to whichever side takes them.

use std::convert::Infallible;
use std::time::Duration;

use changeover_postgres::config::ConnectConfig;
use changeover_postgres::error::{Error, Result as PgResult};
use changeover_postgres::session::Session;
use changeover_types::Side;
use tokio::time::{Instant, sleep};

use super::APPLICATION;

/// What is written. In the second database before the move begins, so that it moves too.
pub(super) const TABLE: &str = "CREATE SCHEMA changeover_rehearsal; \
  CREATE TABLE changeover_rehearsal.load (id bigint PRIMARY KEY, at timestamptz DEFAULT now())";

/// Between two writes.
const PACE: Duration = Duration::from_millis(10);
/// After a refusal, before the other side is tried.
const TURN: Duration = Duration::from_millis(5);

/// A small load of writes that remembers what was acknowledged.
///
/// It knows nothing of the run: it writes, and when it is refused it tries the other side. So it
/// sees what an application without a gate would see.
#[derive(Debug)]
pub struct Load {
    sides: [ConnectConfig; 2],
    at: usize,
    /// Rows 1 to this were acknowledged.
    acknowledged: u64,
    last: Option<Instant>,
    longest: Duration,
}

impl Load {
    pub(super) fn new(source: ConnectConfig, target: ConnectConfig) -> Load {
        let sides = [source, target];
        Load { sides, at: 0, acknowledged: 0, last: None, longest: Duration::ZERO }
    }

    /// Writes until it is dropped; may be called again.
    pub async fn run(&mut self) -> Infallible {
        let mut session: Option<Session> = None;
        // What passed between two runs is no pause of anybody's.
        self.last = None;
        loop {
            match self.write(&mut session).await {
                Ok(()) => {
                    self.acknowledged += 1;
                    let now = Instant::now();
                    let since = self.last.map_or(Duration::ZERO, |last| now - last);
                    self.longest = self.longest.max(since);
                    self.last = Some(now);
                    sleep(PACE).await;
                }
                Err(_) => {
                    session = None;
                    self.at = 1 - self.at;
                    sleep(TURN).await;
                }
            }
        }
    }

    /// A row that was written without an acknowledgement is written again under the same number.
    async fn write(&self, session: &mut Option<Session>) -> PgResult<()> {
        let open = match session {
            Some(open) => open,
            None => session.insert(Session::connect(&self.sides[self.at], APPLICATION).await?),
        };
        let sql = format!(
            "INSERT INTO changeover_rehearsal.load VALUES ({}) ON CONFLICT DO NOTHING",
            self.acknowledged + 1
        );
        open.execute(&sql).await.map(drop)
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The longest time between two acknowledged writes of one run.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        self.longest
    }

    /// How many acknowledged writes a side does not have.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn missing(&self, side: Side) -> Result<u64, Error> {
        let config = &self.sides[usize::from(side == Side::Target)];
        let mut session = Session::connect(config, APPLICATION).await?;
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM changeover_rehearsal.load WHERE id <= {}",
            self.acknowledged
        );
        let there: u64 = session.query_one(&sql).await?.parse(0)?;
        Ok(self.acknowledged.saturating_sub(there))
    }
}
