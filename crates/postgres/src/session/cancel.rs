//! Asking a server to stop what a session of ours does.

use bytes::{Bytes, BytesMut};
use changeover_pgwire::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect;
use crate::config::ConnectConfig;
use crate::error::{Error, Result};

/// What is needed to cancel a session's statement from outside, also while the session is busy.
#[derive(Clone)]
pub struct Canceller {
    pub(super) config: ConnectConfig,
    pub(super) pid: u32,
    pub(super) key: Bytes,
}

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Canceller {{ side: {}, pid: {} }}", self.config.side, self.pid)
    }
}

impl Canceller {
    /// Sends the request and waits until the server has taken it. Whether anything was cancelled
    /// only the session itself learns, as SQLSTATE 57014.
    ///
    /// # Errors
    /// [`Connect`](crate::error::ErrorKind::Connect) if the server cannot be reached in time.
    pub async fn cancel(&self) -> Result<()> {
        let side = self.config.side;
        let doing = format!("cancelling a statement at {}", self.config.redacted());
        let request = async {
            let mut socket = connect::dial(&self.config).await?;
            let mut out = BytesMut::new();
            frontend::cancel_request(&mut out, self.pid, &self.key);
            socket.write_all(&out).await?;
            // The server closes once it has signalled the session.
            let mut rest = [0; 64];
            while socket.read(&mut rest).await? > 0 {}
            Ok::<(), std::io::Error>(())
        };
        match tokio::time::timeout(self.config.connect_timeout, request).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::connect(side, doing).with_source(error)),
            Err(_) => Err(Error::connect(
                side,
                format!("{doing}: no answer within {:?}", self.config.connect_timeout),
            )),
        }
    }
}
