//! The control socket: one JSON object a line, several connections at once.
//!
//! [`Control`] is the gate's end, [`ControlClient`] the run's. A line that is too long or not an
//! order of this protocol is answered with a line that says so, and the connection is closed: the
//! two ends no longer agree, and going on would guess.

mod client;
mod server;
mod socket_file;

pub use client::{ControlClient, ControlError};
pub use server::{Control, ControlBindError};
pub use socket_file::SocketFile;

use serde::{Deserialize, Serialize};

/// An order is far shorter; whoever sends more is not a run.
const LONGEST_ORDER_BYTES: usize = 64 * 1024;

/// A status with its full list of open work, or the metrics with full histograms, fit many times.
const LONGEST_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// What the gate sends instead of a response when a line was not an order.
#[derive(Serialize, Deserialize)]
struct Fault {
    /// The protocol's version.
    v: u32,
    /// What was wrong.
    error: String,
}

/// Reads one line of at most `limit` bytes into `line`, without its end. False at the end of the
/// stream; a line that is too long or cut short is an error.
async fn read_line(
    reader: &mut (impl tokio::io::AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    limit: usize,
) -> std::io::Result<bool> {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt};
    line.clear();
    let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = reader.take(cap).read_until(b'\n', line).await?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(true);
    }
    if read == 0 {
        return Ok(false);
    }
    let fault = if line.len() > limit {
        format!("a line is longer than {limit} bytes")
    } else {
        "a line was cut short".to_owned()
    };
    Err(std::io::Error::new(std::io::ErrorKind::InvalidData, fault))
}
