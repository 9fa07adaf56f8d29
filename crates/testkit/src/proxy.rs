//! A TCP proxy whose connections can die without a word, as behind a firewall that has forgotten
//! them: they stay open, and never move another byte. New ones work.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Between two looks whether a dead connection may be closed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A proxy on a free port; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

type Act = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// Connections with a number below this are dead.
    dead: AtomicU64,
    next: AtomicU64,
    awaited: Mutex<Option<(Vec<u8>, Act)>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("dead", &self.dead).finish_non_exhaustive()
    }
}

/// One connection, as both of its directions know it.
struct Line {
    number: u64,
    shared: Arc<Shared>,
    asked: AtomicBool,
}

impl Proxy {
    /// Starts one before the server on this port of the machine.
    ///
    /// # Errors
    /// If no port can be bound.
    pub fn start(server: u16) -> io::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) {
                    carry(client, upstream, &accepting).ok();
                }
            }
        });
        Ok(Proxy { port, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The present connections never move another byte.
    pub fn freeze(&self) {
        self.freezer()();
    }

    /// What freezes the connections that are there when it is called.
    pub fn freezer(&self) -> impl Fn() + Send + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.dead.store(shared.next.load(Ordering::SeqCst), Ordering::SeqCst)
    }

    /// Does `act` once, as soon as the server has answered a message that holds `bytes`.
    pub fn once_answered(&self, bytes: &[u8], act: impl FnOnce() + Send + 'static) {
        *self.shared.awaited() = Some((bytes.to_vec(), Box::new(act)));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // The listener hears of it with its next connection.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

impl Shared {
    fn awaited(&self) -> std::sync::MutexGuard<'_, Option<(Vec<u8>, Act)>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Ends only with the proxy if the connection is dead by now.
    fn lives(&self) -> bool {
        while self.number < self.shared.dead.load(Ordering::SeqCst) {
            if self.shared.over.load(Ordering::SeqCst) {
                return false;
            }
            thread::sleep(LOOK_EVERY);
        }
        true
    }

    fn sent(&self, bytes: &[u8]) {
        let awaited = self.shared.awaited();
        let hit = awaited.as_ref().is_some_and(|(wanted, _)| {
            bytes.windows(wanted.len()).any(|window| window == wanted.as_slice())
        });
        if hit {
            self.asked.store(true, Ordering::SeqCst);
        }
    }

    fn answered(&self) {
        if self.asked.swap(false, Ordering::SeqCst)
            && let Some((_, act)) = self.shared.awaited().take()
        {
            act();
        }
    }
}

fn carry(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let number = shared.next.fetch_add(1, Ordering::SeqCst);
    let asked = AtomicBool::new(false);
    let line = Arc::new(Line { number, shared: Arc::clone(shared), asked });
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (up, down) = (Arc::clone(&line), line);
    let (from, into) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || pump(from, into, &up, Line::sent));
    thread::spawn(move || pump(server, client, &down, |line, _| line.answered()));
    Ok(())
}

/// Moves bytes until one end closes; `seen` is told of each piece that was moved, `sent` before its
/// answer can come.
fn pump(mut from: TcpStream, mut into: TcpStream, line: &Line, seen: impl Fn(&Line, &[u8])) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if !line.lives() {
            return;
        }
        if read == 0 {
            into.shutdown(Shutdown::Write).ok();
            return;
        }
        let bytes = &buffer[..read];
        seen(line, bytes);
        if into.write_all(bytes).is_err() {
            from.shutdown(Shutdown::Read).ok();
            return;
        }
    }
}
