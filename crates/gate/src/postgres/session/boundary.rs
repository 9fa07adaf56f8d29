//! What a session does at a safe boundary: have its state read, and go to the other side.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use changeover_pgwire::reply;
use changeover_routing::HoldView;
use changeover_types::Side;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::super::admit::fatal;
use super::super::capture::{Captured, capture};
use super::super::code;
use super::super::replay::{DescribedByName, ReplayFault, replay};
use super::super::server::{Server, ServerFault};
use super::super::types::numbers_for;
use super::{End, Session};

/// A client is held so long while its new server cannot be reached.
const MOVE_TIME: Duration = Duration::from_secs(30);

/// A server that does not say by then how a session stands is taken for dead: others wait.
pub(super) const CAPTURE_TIME: Duration = Duration::from_secs(10);

/// Between two tries to reach it.
pub(super) const TRY_AGAIN: Duration = Duration::from_millis(100);

impl Session {
    /// Reads the session's state off its server, and whether it can be moved at all; ahead of a hold
    /// that is announced as well, when it is at rest.
    pub(super) async fn read_state(&mut self) -> Result<(), End> {
        let config = Arc::clone(&self.gate.config);
        // It may hold a permit, and is not polled while we wait for one.
        self.warming = None;
        self.being_read();
        let permit = match self.turn_to_ask.take() {
            Some(permit) => Some(permit),
            None => Arc::clone(&config.registry.asking).acquire_owned().await.ok(),
        };
        self.refresh();
        let ahead = self.view == HoldView::Open && self.authority == Some(self.server.side);
        if ahead && self.part.is_none() {
            self.work = None;
            return Ok(());
        }
        // Code that was deployed just before the hold may ask for a setting that nobody else names.
        let of_code = code::settings(&config, self.server.side, self.held_since).await;
        let read_by = self.read_by.take();
        if read_by.is_none() || read_by.as_ref() != of_code.as_ref().ok() {
            match self.ask_state(of_code.as_deref().ok()).await {
                Ok(()) => self.read_by = of_code.as_ref().ok().cloned(),
                // The server is well and does not answer this: the session stays as it is.
                Err(ServerFault::Said(error)) if !error.is_fatal() => {
                    let pin = format!("its state cannot be read: {}", error.message);
                    self.captured = Captured { pins: BTreeSet::from([pin]), ..Captured::default() };
                }
                Err(fault) => return Err(fault.into()),
            }
        } else {
            self.read_by = read_by;
        }
        if ahead {
            // It may speak before the hold: until then it stays among the unread.
            return Ok(());
        }
        if let Err(fault) = of_code {
            let pin = format!("the database's code cannot be read: {}", fault.for_client().message);
            self.captured.pins.insert(pin);
        }
        drop(permit);
        self.pinned = !self.captured.pins.is_empty();
        // Listed by itself before it leaves the list of those that are unread.
        self.show();
        if std::mem::take(&mut self.unread) {
            config.registry.was_read();
        }
        Ok(())
    }

    /// Asks the server for the session's state; for custom settings by the names that the database's
    /// code has, too.
    async fn ask_state(&mut self, of_code: Option<&BTreeSet<String>>) -> Result<(), ServerFault> {
        let noticed = self.tracker.noticed();
        let too_many = noticed.is_none();
        let mut watched: BTreeSet<String> =
            self.gate.config.watch_settings.iter().cloned().collect();
        watched.extend(noticed.into_iter().chain(of_code).flatten().cloned());
        let mut aside = BytesMut::new();
        let side = self.server.side;
        let question = capture(&mut self.server, &self.client.user, &watched, &mut aside);
        let captured = timeout(CAPTURE_TIME, question).await;
        // Whatever came in between goes the way of all messages from the server.
        aside.unsplit(self.server.wire.rx.split());
        self.down.rx = aside;
        self.captured = captured.map_err(|_| ServerFault::Late(side, CAPTURE_TIME))??;
        let held = std::mem::take(&mut self.captured.statements);
        self.tracker.statements_mut().retain_named(|name| held.contains(name));
        if self.tracker.statements().lost() {
            self.captured.pins.insert("a prepared statement too long to keep".to_owned());
        }
        if too_many {
            self.captured.pins.insert("too many custom settings".to_owned());
        }
        Ok(())
    }

    /// Listed by itself while its turn is waited for, so that a hold can say whom it waits for.
    fn being_read(&mut self) {
        if self.view != HoldView::Open {
            let (label, shared) = (&self.client.label, &self.gate.shared);
            let work = self.work.get_or_insert_with(|| shared.begin_work(label.clone()));
            work.set_state("being looked at");
        }
    }

    fn unmovable(&self) -> End {
        let pins: Vec<&str> = self.captured.pins.iter().map(String::as_str).collect();
        let why = format!(
            "terminating connection: the database moves to another server, and this session has \
             state that cannot be moved ({}); reconnect",
            pins.join(", ")
        );
        End::Tell(fatal("57P01", why))
    }

    /// Goes to `side`: connects, makes the state anew, tells the client what differs.
    pub(super) async fn relocate(&mut self, side: Side) -> Result<(), End> {
        let config = Arc::clone(&self.gate.config);
        let deadline = Instant::now() + MOVE_TIME;
        // One that nobody waits for lets those go first that somebody waits for.
        // A connection that is being opened has its own place in that queue.
        let permit = if self.up.rx.is_empty() && self.warming.is_none() {
            tokio::select! {
                permit = config.registry.asking.acquire() => permit.ok(),
                _ = self.stream.readable() => None,
            }
        } else {
            None
        };
        if self.pinned || !self.captured.pins.is_empty() {
            return Err(self.unmovable());
        }
        let moved = loop {
            match timeout_at(deadline, self.rebuild(side)).await {
                Ok(Ok(moved)) => break moved,
                Ok(Err(ReplayFault::Server(fault))) if fault.may_pass() => {
                    tracing::info!(%side, fault = %fault.for_client(), "a session waits to move");
                    self.refresh();
                    if self.authority != Some(side) || self.view == HoldView::Unsure {
                        // It does not go there any more.
                        return Ok(());
                    }
                    if Instant::now() + TRY_AGAIN >= deadline {
                        return Err(not_reached(side, &fault));
                    }
                    sleep(TRY_AGAIN).await;
                }
                Ok(Err(ReplayFault::Server(fault))) => return Err(not_reached(side, &fault)),
                Ok(Err(ReplayFault::Refused(why))) => {
                    let why =
                        format!("this session could not be moved to {side}: {why}; reconnect");
                    return Err(End::Tell(fatal("57P01", why)));
                }
                Err(_) => return Err(not_reached(side, &ServerFault::Late(side, MOVE_TIME))),
            }
        };
        drop(permit);
        self.adopt(moved);
        Ok(())
    }

    async fn rebuild(&mut self, side: Side) -> Result<(Server, DescribedByName), ReplayFault> {
        let config = &self.gate.config;
        let numbers = numbers_for(config, side).await?;
        let opened = match (self.warm.take(), self.warming.take()) {
            (Some(server), _) if server.side == side => Some(Ok(server)),
            (None, Some(opening)) => Some(opening.await.0),
            _ => None,
        };
        let state = (&self.captured, self.tracker.statements());
        if let Some(Ok(mut server)) = opened.filter(|o| o.as_ref().is_ok_and(|s| s.side == side)) {
            server.numbers.clone_from(&numbers);
            match replay(&mut server, state.0, state.1).await {
                // It may have died while it waited; a fresh one is tried.
                Err(ReplayFault::Server(fault)) => {
                    tracing::info!(%side, fault = %fault.for_client(), "a warm connection was dead");
                }
                Err(refused) => return Err(refused),
                Ok(described) => return Ok((server, described)),
            }
        }
        let password = config.password_of(&self.client.user);
        let parameters = &self.client.parameters;
        let counters = Some(&self.gate.counters);
        let mut server = Server::connect(config, side, parameters, password, counters).await?;
        server.numbers = numbers;
        let described = replay(&mut server, state.0, state.1).await?;
        Ok((server, described))
    }

    fn adopt(&mut self, (server, mut described): (Server, DescribedByName)) {
        let mut old = std::mem::replace(&mut self.server, server);
        old.say_farewell();
        self.forget_results();
        for statement in self.tracker.statements_mut().iter_mut() {
            (statement.meaning, statement.described) =
                described.remove(statement.name()).unwrap_or_default();
        }
        self.last_was_error = false;
        for (name, value) in &self.server.parameters {
            if self.tracker.parameters().get(name) != Some(value) {
                reply::parameter_status(&mut self.inject, name, value);
                self.tracker.tell(name, value);
            }
        }
        self.down.rx = self.server.wire.rx.split();
        self.adopt_backend();
        self.gate.counters.postgres(self.server.side).moved_in.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(to = %self.server.side, from_pid = old.pid, to_pid = self.server.pid, "moved");
    }
}

fn not_reached(side: Side, fault: &ServerFault) -> End {
    let why = format!(
        "terminating connection: the database moved to {side}, which could not be reached: {}; \
         reconnect",
        fault.for_client().message
    );
    End::Tell(fatal("57P01", why))
}
