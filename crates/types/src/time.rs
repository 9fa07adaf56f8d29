//! Two kinds of time. Durable machines see wall-clock milliseconds as recorded inputs; hot
//! machines see a monotonic tick. They never convert into each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Monotonic time of one process, in microseconds since an arbitrary start. Never stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// This tick, later by `duration` (saturating).
    #[must_use]
    pub fn after(self, duration: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to this tick; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock milliseconds since the Unix epoch, as read by the shell and recorded in the journal.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct WallMs(pub u64);

impl WallMs {
    /// Milliseconds from `earlier` to this instant; zero if the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: WallMs) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
