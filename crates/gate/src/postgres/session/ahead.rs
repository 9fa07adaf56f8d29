//! What a session makes ready before it is held: a connection to the other side, and what its state
//! is. The first time a server is asked for a session's state costs it several times what every
//! later time does, and a connection more than both.

use std::sync::Arc;

use super::super::server::Server;
use super::{Opened, Session};
use crate::state::Part;

impl Session {
    /// Takes part in the round that is announced, once.
    pub(super) fn join_round(&mut self) {
        let Some(round) = self.gate.shared.ahead().round() else {
            self.part = None;
            return;
        };
        if !self.part.as_ref().is_some_and(|part| part.is_in(&round)) {
            self.part = Some(Part::new(round));
        }
    }

    /// Connects to the other side, if it is not connected there.
    pub(super) fn warm_up(&mut self) {
        if self.warm.is_some() {
            self.part.iter_mut().for_each(Part::connected);
            return;
        }
        if self.warming.is_some() {
            return;
        }
        let config = Arc::clone(&self.gate.config);
        let counters = Arc::clone(&self.gate.counters);
        let parameters = self.client.parameters.clone();
        let user = self.client.user.clone();
        let side = self.server.side.other();
        self.warming = Some(Box::pin(async move {
            let permit = Arc::clone(&config.registry.asking).acquire_owned().await;
            let password = config.password_of(&user);
            let opened =
                Server::connect(&config, side, &parameters, password, Some(&counters)).await;
            (opened, permit.ok())
        }));
    }

    /// The connection is there. While clients are served, its place in the queue is good for reading
    /// the session's state as well, if the session is at rest.
    pub(super) fn take_warm(&mut self, (opened, permit): Opened) {
        match opened {
            Ok(server) => {
                self.warm = Some(server);
                self.part.iter_mut().for_each(Part::connected);
                self.turn_to_ask = permit.filter(|_| self.part.is_some());
            }
            Err(fault) => {
                let why = fault.for_client().message;
                tracing::debug!(why, "no connection ahead of the move");
                self.part.iter_mut().for_each(|part| part.refused(why.clone()));
            }
        }
    }

    /// Closes it again.
    pub(super) fn cool_down(&mut self) {
        self.warming = None;
        self.turn_to_ask = None;
        if let Some(mut server) = self.warm.take() {
            server.say_farewell();
        }
    }
}
