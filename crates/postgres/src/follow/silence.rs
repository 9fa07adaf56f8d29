//! Connections that have died without a word: a firewall that forgot them, a balancer that hangs.
//!
//! A sender that is alive answers when it is asked for a sign of life, at least once in half of the
//! `wal_sender_timeout` that its session is given. A receiver that works may take any time; whether
//! it does is asked of its server through another session.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use changeover_relay::Stream;
use changeover_types::Side;
use tokio::time::{Instant, timeout};

use super::FollowConfig;
use crate::config::ConnectConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;

/// A sender that says nothing for this long is asked for a sign of life.
const ASK_AFTER: Duration = Duration::from_secs(3);

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A sender that was asked and is silent for this long is worth a word to people.
pub(super) const SILENT: Duration = Duration::from_secs(8);

/// How long a silence may last before the stream is made anew. It grows when that brought nothing:
/// a server may be busy with a huge transaction that it does not send.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(960));

/// How long a server works for us before it is asked whether it does.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How long such a look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// So many looks in a row may find no answer.
const LOOKS: u32 = 4;

/// When the sender was heard, and asked.
#[derive(Debug)]
pub(super) struct Silence {
    heard: Instant,
    asked: Option<Instant>,
}

impl Silence {
    pub(super) fn new(now: Instant) -> Silence {
        Silence { heard: now, asked: None }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        (self.heard, self.asked) = (now, None);
    }

    pub(super) fn since(&self) -> Instant {
        self.heard
    }

    /// Whether the sender is to be asked for a sign of life now.
    pub(super) fn must_ask(&mut self, now: Instant) -> bool {
        let due = now.duration_since(self.heard) >= ASK_AFTER
            && self.asked.is_none_or(|asked| now.duration_since(asked) >= ASK_EVERY);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// Whether it has been silent for `limit` although it was asked.
    pub(super) fn is_dead(&self, now: Instant, limit: Duration) -> bool {
        self.asked.is_some() && now.duration_since(self.heard) >= limit
    }
}

/// How long a silence may last.
#[derive(Debug)]
pub(super) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Patience(PATIENCE.0)
    }
}

impl Patience {
    /// A quarter of it while somebody waits for what comes.
    pub(super) fn limit(&self, hurried: bool) -> Duration {
        if hurried { self.0 / 4 } else { self.0 }
    }

    /// It was not enough, or in vain.
    pub(super) fn used_up(&mut self) {
        self.0 = (self.0 * 2).min(PATIENCE.1);
    }
}

pub(super) fn dead(from: Side, stream: Stream, silent: Duration) -> Error {
    let text = format!("following the {stream} stream: the {from} said nothing for {silent:?}");
    Error::new(ErrorKind::Io, from, text)
}

pub(super) fn no_start(config: &FollowConfig) -> Error {
    let text = format!(
        "opening both ends of the {} stream: no answer within {:?}",
        config.stream,
        super::START_WITHIN
    );
    Error::timeout(config.from.side, text)
}

/// Does `work` of the session that is served by process `pid`, and ends when that process has been
/// waiting for us while we wait for it.
///
/// # Errors
/// Those of `work`; `Io` when the connection is dead.
pub(super) async fn attended<T>(
    config: &ConnectConfig,
    pid: u32,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = pin!(work);
    let mut in_vain = 0;
    loop {
        if let Ok(done) = timeout(LOOK_EVERY, &mut work).await {
            return done;
        }
        let looked = tokio::select! {
            biased;
            done = &mut work => return done,
            looked = timeout(LOOK_WITHIN, works(config, pid)) => looked,
        };
        let (why, last) = match looked {
            Ok(Ok(true)) => {
                in_vain = 0;
                continue;
            }
            Ok(Ok(false)) => ("its process waits for us while we wait for it".to_owned(), true),
            Ok(Err(error)) => (error.to_string(), false),
            Err(_) => (format!("it does not answer within {LOOK_WITHIN:?}"), false),
        };
        in_vain += 1;
        if last || in_vain >= LOOKS {
            let side = config.side;
            let text = format!("a session on the {side} is dead: {why}");
            return Err(Error::new(ErrorKind::Io, side, text));
        }
    }
}

/// Whether the process does something for us, as far as the server says. One that has just become
/// idle may have sent its answer.
async fn works(config: &ConnectConfig, pid: u32) -> Result<bool> {
    let mut session = Session::connect(config, "changeover look").await?;
    let row = session
        .query_opt(&format!(
            "SELECT coalesce(state NOT LIKE 'idle%', true) \
             OR state_change > pg_catalog.clock_timestamp() - interval '5 s' \
             FROM pg_catalog.pg_stat_activity WHERE pid = {pid}"
        ))
        .await?;
    session.close().await;
    Ok(row.is_some_and(|row| row.get(0) == Some("t")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_sender_is_asked_and_then_given_up() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut silence = Silence::new(begun);
        assert!(!silence.must_ask(at(2)));
        assert!(!silence.is_dead(at(100), PATIENCE.0), "it was never asked");
        assert!(silence.must_ask(at(3)));
        assert!(!silence.must_ask(at(3)), "once a second");
        assert!(silence.must_ask(at(4)));
        assert!(!silence.is_dead(at(59), PATIENCE.0));
        assert!(silence.is_dead(at(60), PATIENCE.0));
        silence.heard(at(60));
        assert!(!silence.is_dead(at(120), PATIENCE.0), "asked anew first");
    }

    #[test]
    fn patience_grows_while_it_brings_nothing_and_has_an_end() {
        let mut patience = Patience::default();
        assert_eq!(patience.limit(true).as_secs(), 15);
        let mut used = Vec::new();
        for _ in 0..6 {
            used.push(patience.limit(false).as_secs());
            patience.used_up();
        }
        assert_eq!(used, [60, 120, 240, 480, 960, 960]);
    }
}
