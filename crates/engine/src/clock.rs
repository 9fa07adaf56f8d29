//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use changeover_types::WallMs;

/// Wall-clock milliseconds.
#[must_use]
pub fn now() -> WallMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
