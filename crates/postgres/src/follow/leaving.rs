//! A sender that is being shut down.
//!
//! It waits until all it has sent is confirmed, and asks for that again as soon as it was answered.
//! What is pending here may need longer than the shutdown may: a table that is locked, a hold of the
//! relay. Then we leave, and what was not confirmed is sent again when the server is back.

use std::time::Duration;

use changeover_relay::Stream;
use changeover_types::Side;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};

/// How long what is pending may take while the sender waits for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Requests that follow each other within this belong together. A server that is not shut down asks
/// once in half of its `wal_sender_timeout` at most.
const APART: Duration = Duration::from_millis(250);

/// So many requests in a row are more than any `wal_sender_timeout` explains.
const MANY: u32 = 20;

/// Requests for an answer that came close upon each other.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    row: Option<Row>,
}

#[derive(Debug)]
struct Row {
    first: Instant,
    last: Instant,
    count: u32,
}

impl Leaving {
    /// The sender asked for an answer; true if it has been waiting for one thing for too long.
    pub(super) fn asked(&mut self, now: Instant) -> bool {
        let row = match &mut self.row {
            Some(row) if now.duration_since(row.last) <= APART => row,
            none => none.insert(Row { first: now, last: now, count: 0 }),
        };
        row.last = now;
        row.count = row.count.saturating_add(1);
        row.count >= MANY && now.duration_since(row.first) >= PATIENCE
    }
}

pub(super) fn let_go(from: Side, stream: Stream) -> Error {
    Error::new(
        ErrorKind::Io,
        from,
        format!(
            "following the {stream} stream: the server is shutting down and waits for changes that \
             cannot be applied at the moment; they are sent again when it is back"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks every `millis` for `seconds`; whether we would have left.
    fn leaves(millis: u64, seconds: u64) -> bool {
        let (mut leaving, begun) = (Leaving::default(), Instant::now());
        let asked = (0..seconds * 1_000 / millis).map(|n| Duration::from_millis(n * millis));
        let mut left = false;
        for at in asked {
            left = leaving.asked(begun + at);
        }
        left
    }

    #[tokio::test]
    async fn only_a_server_that_asks_on_and_on_is_left() {
        assert!(leaves(1, 4), "a shutdown");
        assert!(leaves(100, 4), "a shutdown over a long line");
        assert!(!leaves(1, 2), "what is pending gets its time");
        assert!(!leaves(600, 120), "a wal_sender_timeout of about a second");
        assert!(!leaves(30_000, 600), "the usual wal_sender_timeout");
    }
}
