//! A TCP proxy that breaks connections where it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The COMMIT reached the server, its answer reaches nobody.
    AfterCommit,
    /// The COMMIT was passed on, and the connection is gone in the same instant.
    WithCommit,
}

pub(super) struct Proxy {
    pub(super) port: u16,
    /// Cuts the next COMMIT of a session that wrote `trigger` before.
    pub(super) armed: Arc<AtomicBool>,
    pub(super) cuts: Arc<AtomicUsize>,
    all: broadcast::Sender<()>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

impl Proxy {
    pub(super) async fn start(server: u16, cut: Cut, trigger: &'static [u8]) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (armed, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (all, _) = broadcast::channel(1);
        let (seen, counted, breaks) = (armed.clone(), cuts.clone(), all.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)).await else {
                    continue;
                };
                let (seen, counted) = (seen.clone(), counted.clone());
                let mut broken = breaks.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(client, upstream, cut, trigger, &seen, &counted) => {}
                        _ = broken.recv() => {}
                    }
                });
            }
        });
        Proxy { port, armed, cuts, all, task }
    }

    /// Breaks every connection there is.
    pub(super) fn break_all(&self) {
        self.all.send(()).ok();
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    cut: Cut,
    trigger: &[u8],
    armed: &AtomicBool,
    cuts: &AtomicUsize,
) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut triggered = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let bytes = &up[..count];
                triggered |= holds(bytes, trigger);
                if server.write_all(bytes).await.is_err() {
                    return;
                }
                let hit = triggered && holds(bytes, b"COMMIT\0");
                if hit && armed.swap(false, Ordering::SeqCst) {
                    if cut == Cut::AfterCommit {
                        // The answer shows that it is done; nobody else will see it.
                        server.read_u8().await.ok();
                    }
                    cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
