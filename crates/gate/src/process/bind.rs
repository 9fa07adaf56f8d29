//! Sockets and folders, before anything is served.

use std::fs::DirBuilder;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

use super::GateError;

/// Clients that wait to be accepted, per core.
const BACKLOG: i32 = 1024;

/// Makes the state folder, for its owner only.
pub(super) fn state_dir(path: &Path) -> Result<(), GateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| GateError::StateDir { path: path.to_owned(), source })
}

/// One listener per core on the same address.
pub(super) fn listeners(
    what: &'static str,
    address: SocketAddr,
    count: usize,
) -> Result<Vec<TcpListener>, GateError> {
    let fail = |source| GateError::Listen { what, address, source };
    // With SO_REUSEPORT alone we would silently share the address with another gate of this user,
    // so it is first taken without.
    if address.port() != 0 {
        drop(listen(address, false).map_err(fail)?);
    }
    let first = listen(address, true).map_err(fail)?;
    let bound = first.local_addr().map_err(fail)?;
    let mut all = vec![first];
    while all.len() < count {
        all.push(listen(bound, true).map_err(fail)?);
    }
    Ok(all)
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
