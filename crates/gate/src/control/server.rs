//! The gate's end of the control socket.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use changeover_routing::{PROTOCOL_VERSION, Request, Response};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Fault, LONGEST_ORDER_BYTES, SocketFile, read_line};
use crate::state::Shared;

/// More connections than this are closed at once: one run and a few onlookers need far fewer.
const MOST_CONNECTIONS: usize = 64;

/// The bound control socket. Its lock is held until it is dropped.
#[derive(Debug)]
pub struct Control {
    listener: std::os::unix::net::UnixListener,
    file: SocketFile,
    _lock: File,
}

/// The control socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ControlBindError {
    /// Another gate has it.
    #[error(
        "another gate already serves the control socket {}: stop that one first, or use it",
        path.display()
    )]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Control {
    /// Takes the lock beside `path`, removes a dead gate's socket, and listens (mode 0600).
    ///
    /// # Errors
    /// If another gate holds the lock, or the system refuses.
    pub fn bind(path: &Path) -> Result<Control, ControlBindError> {
        let fail = |doing, at: &Path| {
            let path = at.to_owned();
            move |source| ControlBindError::Io { doing, path, source }
        };
        let lock_path = path.with_extension("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(fail("open the lock file", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ControlBindError::Taken { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => {
                return Err(fail("lock", &lock_path)(error));
            }
        }
        // We hold the lock, so whatever socket lies here belongs to a gate that is dead.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fail("remove the dead control socket", path)(error));
            }
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(path)
            .map_err(fail("listen on the control socket", path))?;
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(fail("restrict the control socket", path))?;
        listener.set_nonblocking(true).map_err(fail("set up the control socket", path))?;
        Ok(Control { listener, file: SocketFile::bound(path.to_owned()), _lock: lock })
    }

    /// Answers orders until `stop`; then removes the socket.
    ///
    /// # Errors
    /// If the runtime cannot take the socket over.
    pub async fn serve(self, shared: Arc<Shared>, stop: CancellationToken) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < MOST_CONNECTIONS => {
                        connections.spawn(converse(stream, Arc::clone(&shared)));
                    }
                    Ok(_) => tracing::warn!("too many control connections: one was closed"),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a control connection");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                },
            }
        }
        connections.shutdown().await;
        if let Err(error) = self.file.remove() {
            let path = self.file.path().display();
            tracing::warn!(%error, %path, "cannot remove the control socket");
        }
        Ok(())
    }
}

async fn converse(stream: UnixStream, shared: Arc<Shared>) {
    if let Err(error) = answer_lines(stream, &shared).await {
        tracing::debug!(%error, "a control connection ended");
    }
}

async fn answer_lines(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut reader = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        let error = match read_line(&mut reader, &mut line, LONGEST_ORDER_BYTES).await {
            Ok(false) => return Ok(()),
            Ok(true) => match parse(&line) {
                Ok(request) => {
                    let answer = shared.obey(&request.order);
                    let response = Response { v: PROTOCOL_VERSION, id: request.id, answer };
                    write.write_all(&to_line(&response)?).await?;
                    continue;
                }
                Err(error) => error,
            },
            Err(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
            Err(error) => return Err(error),
        };
        tracing::warn!(%error, "a control connection sent something that is no order");
        write.write_all(&to_line(&Fault { v: PROTOCOL_VERSION, error })?).await?;
        return write.shutdown().await;
    }
}

fn parse(line: &[u8]) -> Result<Request, String> {
    /// Enough to tell another version from nonsense.
    #[derive(serde::Deserialize)]
    struct Versioned {
        v: u32,
    }
    let version: Versioned = serde_json::from_slice(line)
        .map_err(|e| format!("not an order of the control protocol: {e}"))?;
    if version.v != PROTOCOL_VERSION {
        return Err(format!(
            "the order is of protocol version {}, this gate speaks {PROTOCOL_VERSION}: use the \
             same release for the run and the gate",
            version.v
        ));
    }
    serde_json::from_slice(line).map_err(|e| format!("not an order of the control protocol: {e}"))
}

fn to_line(value: &impl serde::Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
