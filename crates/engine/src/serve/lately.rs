//! What happened lately in a daemon's life.

use std::collections::VecDeque;

use changeover_types::WallMs;
use tokio::sync::broadcast;

use crate::protocol::{Event, EventKind};

/// How many events are kept for a watcher that comes late.
const EVENTS_KEPT: usize = 1000;

/// Events that are known already, and those that come.
pub(crate) type Watched = (Vec<Event>, broadcast::Receiver<Event>);

/// The last events, numbered within the daemon's life.
#[derive(Debug)]
pub(crate) struct Lately {
    recent: VecDeque<Event>,
    number: u64,
    watchers: broadcast::Sender<Event>,
}

impl Lately {
    pub(crate) fn new() -> Lately {
        let (watchers, _) = broadcast::channel(EVENTS_KEPT);
        Lately { recent: VecDeque::new(), number: 0, watchers }
    }

    /// Tells one, at this step; gives its number.
    pub(crate) fn tell(
        &mut self,
        at: WallMs,
        step: Option<String>,
        (kind, text, data): (EventKind, String, serde_json::Value),
    ) -> u64 {
        self.number += 1;
        let event = Event { number: self.number, at, kind, step, text, data };
        tracing::info!(kind = ?event.kind, "{}", event.text);
        self.recent.push_back(event.clone());
        if self.recent.len() > EVENTS_KEPT {
            self.recent.pop_front();
        }
        // Nobody may be watching.
        self.watchers.send(event).ok();
        self.number
    }

    /// The text of the last one.
    pub(crate) fn last(&self) -> Option<&str> {
        self.recent.back().map(|event| event.text.as_str())
    }

    /// The events after `number` that are still known, and all that come.
    pub(crate) fn watch(&self, after: Option<u64>) -> Watched {
        let receiver = self.watchers.subscribe();
        let known = after.map_or_else(Vec::new, |after| {
            self.recent.iter().filter(|event| event.number > after).cloned().collect()
        });
        (known, receiver)
    }
}
