//! Steers a follower.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use changeover_relay::Stream;
use changeover_types::Lsn;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::silence::SILENT;
use super::status::{FollowState, FollowStatus};
use crate::error::{Error, Result};

/// A follower shall end at the next boundary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop;

/// See [`changeover_relay::Relay::hold_before`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HoldOrder {
    pub(super) limit: Lsn,
    pub(super) ticket: u64,
}

/// The hold that is wanted, if one is.
type Holds = watch::Sender<Option<HoldOrder>>;

/// Keeps a follower where it is. It goes on when this is dropped, wherever that happens, unless
/// somebody else holds it by then.
#[derive(Debug)]
#[must_use = "the follower goes on as soon as this is dropped"]
pub struct Hold {
    holds: Arc<Holds>,
    ticket: u64,
    position: Lsn,
}

impl Hold {
    /// Commit LSN of the last transaction that was applied.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.position
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.send_if_modified(|order| {
            let ours = order.is_some_and(|order| order.ticket == self.ticket);
            if ours {
                *order = None;
            }
            ours
        });
    }
}

/// How many wait for what the follower brings.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiters(Arc<AtomicU64>);

impl Waiters {
    pub(super) fn are_there(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Somebody waits for what the follower brings, until this is dropped: a sender that is silent
/// meanwhile is given up sooner.
#[derive(Debug)]
#[must_use = "nobody waits any more as soon as this is dropped"]
pub struct Hurry(Waiters);

impl Drop for Hurry {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Steers a follower, and shows where it is. May be cloned.
#[derive(Clone, Debug)]
pub struct FollowHandle {
    stops: mpsc::Sender<Stop>,
    holds: Arc<Holds>,
    status: watch::Receiver<FollowStatus>,
    tickets: Arc<AtomicU64>,
    waiters: Waiters,
    stream: Stream,
}

impl FollowHandle {
    pub(super) fn new(
        stops: mpsc::Sender<Stop>,
        holds: Holds,
        status: watch::Receiver<FollowStatus>,
        waiters: Waiters,
        stream: Stream,
    ) -> Self {
        let (holds, tickets) = (Arc::new(holds), Arc::default());
        FollowHandle { stops, holds, status, tickets, waiters, stream }
    }

    /// Where it is now.
    #[must_use]
    pub fn status(&self) -> FollowStatus {
        self.status.borrow().clone()
    }

    /// To wait for changes of the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<FollowStatus> {
        self.status.clone()
    }

    /// Waits until the status is as wished.
    ///
    /// # Errors
    /// `Timeout`, or `Local` if the follower ended.
    pub async fn wait_until(
        &self,
        within: Duration,
        what: &str,
        wished: impl FnMut(&FollowStatus) -> bool,
    ) -> Result<FollowStatus> {
        let mut status = self.status.clone();
        let into = self.stream.into();
        let doing = || format!("waiting for the {} stream until {what}", self.stream);
        match timeout(within, status.wait_for(wished)).await {
            Ok(Ok(status)) => Ok(status.clone()),
            Ok(Err(_)) => Err(Error::local(into, format!("{}: the follower has ended", doing()))),
            Err(_) => {
                let state = self.status.borrow().state.clone();
                Err(Error::timeout(into, format!("{}: not within {within:?} ({state})", doing())))
            }
        }
    }

    /// For how long the sender has not been heard, if that is longer than a living one's silence.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        let status = self.status.borrow();
        let following = status.state == FollowState::Following;
        let silent = status.heard.filter(|_| following).map(|heard| heard.elapsed());
        silent.filter(|silent| *silent >= SILENT)
    }

    /// Says that somebody waits for what comes through the stream.
    pub fn hurry(&self) -> Hurry {
        self.waiters.0.fetch_add(1, Ordering::Relaxed);
        Hurry(self.waiters.clone())
    }

    /// Pauses at the next boundary between batches, until what is given is dropped.
    ///
    /// # Errors
    /// As [`FollowHandle::wait_until`]; it is not paused then.
    pub async fn pause(&self, within: Duration) -> Result<Hold> {
        self.hold_before(Lsn::ZERO, within).await
    }

    /// Goes on to just before the first transaction that commits at or behind `limit`, and stays
    /// there until what is given is dropped. Something must be committed behind `limit` for this to
    /// be known: write a heartbeat. It takes the place of a hold that there is. May be dropped.
    ///
    /// # Errors
    /// As [`FollowHandle::wait_until`]; it is not held then. `Refused` if it was past the limit.
    pub async fn hold_before(&self, limit: Lsn, within: Duration) -> Result<Hold> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed) + 1;
        let mut hold = Hold { holds: Arc::clone(&self.holds), ticket, position: Lsn::ZERO };
        self.holds.send_replace(Some(HoldOrder { limit, ticket }));
        let status = self
            .wait_until(within, "it holds", |status| {
                matches!(status.state, FollowState::Failed(_) | FollowState::Stopped)
                    || status.held.is_some_and(|held| held.ticket == ticket)
            })
            .await?;
        hold.position = match status.held {
            Some(held) if held.ticket == ticket => held.position,
            _ => {
                return Err(Error::local(
                    self.stream.into(),
                    format!("holding the {} stream: it is {}", self.stream, status.state),
                ));
            }
        };
        if limit > Lsn::ZERO && hold.position >= limit {
            return Err(Error::refused(
                self.stream.into(),
                format!(
                    "holding the {} stream before {limit}: it was at {} already",
                    self.stream, hold.position
                ),
            ));
        }
        Ok(hold)
    }

    /// Ends the follower at the next boundary.
    pub async fn stop(&self) {
        // One that has ended needs no order.
        self.stops.send(Stop).await.ok();
    }
}
