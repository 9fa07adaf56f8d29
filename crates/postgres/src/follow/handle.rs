//! Steers a follower.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use changeover_relay::Stream;
use changeover_types::Lsn;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::status::{FollowState, FollowStatus};
use crate::error::{Error, Result};

/// An order to a follower.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    /// See [`changeover_relay::Relay::hold_before`].
    Hold { limit: Option<Lsn>, ticket: u64 },
    /// End at the next boundary.
    Stop,
}

/// Steers a follower, and shows where it is. May be cloned.
#[derive(Clone, Debug)]
pub struct FollowHandle {
    orders: mpsc::Sender<Control>,
    status: watch::Receiver<FollowStatus>,
    tickets: Arc<AtomicU64>,
    stream: Stream,
}

impl FollowHandle {
    pub(super) fn new(
        orders: mpsc::Sender<Control>,
        status: watch::Receiver<FollowStatus>,
        stream: Stream,
    ) -> Self {
        FollowHandle { orders, status, tickets: Arc::default(), stream }
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

    /// Pauses at the next boundary between batches. Gives the commit LSN of the last transaction
    /// that was applied. Paused until [`FollowHandle::resume`].
    ///
    /// # Errors
    /// As [`FollowHandle::wait_until`]; it is not paused then.
    pub async fn pause(&self, within: Duration) -> Result<Lsn> {
        self.hold_before(Lsn::ZERO, within).await
    }

    /// Goes on to just before the first transaction that commits at or behind `limit`, and stays
    /// there. Gives the commit LSN of the last transaction applied. Something must be committed
    /// behind `limit` for this to be known: write a heartbeat.
    ///
    /// # Errors
    /// As [`FollowHandle::wait_until`]; it is not held then. `Refused` if it was past the limit.
    pub async fn hold_before(&self, limit: Lsn, within: Duration) -> Result<Lsn> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed) + 1;
        self.order(Control::Hold { limit: Some(limit), ticket }).await?;
        let reached = self
            .wait_until(within, "it holds", |status| {
                matches!(status.state, FollowState::Failed(_) | FollowState::Stopped)
                    || status.held.is_some_and(|held| held.ticket == ticket)
            })
            .await;
        let position = match reached.map(|status| (status.held, status.state)) {
            Ok((Some(held), _)) if held.ticket == ticket => held.position,
            Ok((_, state)) => {
                return Err(Error::local(
                    self.stream.into(),
                    format!("holding the {} stream: it is {state}", self.stream),
                ));
            }
            Err(error) => {
                self.resume().await?;
                return Err(error);
            }
        };
        if limit > Lsn::ZERO && position >= limit {
            self.resume().await?;
            return Err(Error::refused(
                self.stream.into(),
                format!(
                    "holding the {} stream before {limit}: it was at {position} already",
                    self.stream
                ),
            ));
        }
        Ok(position)
    }

    /// Ends a hold.
    ///
    /// # Errors
    /// `Local` if the follower ended.
    pub async fn resume(&self) -> Result<()> {
        self.order(Control::Hold { limit: None, ticket: 0 }).await
    }

    /// Ends the follower at the next boundary.
    pub async fn stop(&self) {
        // One that has ended needs no order.
        self.order(Control::Stop).await.ok();
    }

    async fn order(&self, order: Control) -> Result<()> {
        self.orders.send(order).await.map_err(|_| {
            Error::local(
                self.stream.into(),
                format!("steering the {} stream: its follower has ended", self.stream),
            )
        })
    }
}
