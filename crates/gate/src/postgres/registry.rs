//! What the cores of one PostgreSQL gate share: who may cancel what, the types of both servers,
//! and how many sessions are yet to be parked.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use changeover_pgwire::scram::{DEFAULT_ITERATIONS, Verifier};
use changeover_types::Side;
use tokio::sync::{Notify, Semaphore, watch};

use super::code::Code;
use super::config::GateUser;
use super::types::{Published, Types};
use crate::state::{Shared, WorkGuard, WorkLabel};

/// Connections that have not proven themselves yet, over and above the clients allowed. When there is
/// one more, the oldest goes: who only opens connections keeps nobody from logging in.
pub(crate) const STRANGERS: usize = 256;

/// Sessions whose state is read, or which are moved while idle, at a time. More would only make
/// each of them slower: the work is done by the servers' processors.
const AT_A_TIME: usize = 8;

/// A client's (pid, key) as we minted it.
pub(crate) type CancelKey = (u32, [u8; 4]);

/// See the module.
#[derive(Debug)]
pub(crate) struct Registry {
    cancels: Mutex<HashMap<CancelKey, Arc<Peer>>>,
    unread: Mutex<Unread>,
    types: Mutex<[Option<Arc<Types>>; 2]>,
    code: [Code; 2],
    /// What sessions on the side that has authority translate type numbers by.
    pub(crate) published: watch::Sender<Option<Published>>,
    /// Somebody waits for that.
    pub(crate) wanted: Notify,
    clients: AtomicUsize,
    strangers: Mutex<VecDeque<Arc<Notify>>>,
    verifiers: Mutex<HashMap<String, Verifier>>,
    /// Makes the salts of roles that do not exist.
    decoy: [u8; 32],
    /// Bounds what is asked of the servers at a time.
    pub(crate) asking: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Unread {
    sessions: usize,
    guard: Option<WorkGuard>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry {
            cancels: Mutex::default(),
            unread: Mutex::default(),
            types: Mutex::default(),
            code: Default::default(),
            published: watch::Sender::new(None),
            wanted: Notify::new(),
            clients: AtomicUsize::new(0),
            strangers: Mutex::default(),
            verifiers: Mutex::default(),
            decoy: rand::random(),
            asking: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }
}

/// What a cancel request must know of a session.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// A reply is owed, so the server has something to cancel.
    pub(crate) busy: AtomicBool,
    /// The client's work waits for a hold, so we answer ourselves.
    pub(crate) parked: AtomicBool,
    /// A cancel request came for parked work.
    pub(crate) cancelled: AtomicBool,
    /// Wakes the session after the above.
    pub(crate) wake: Notify,
    backend: Mutex<Option<Backend>>,
}

/// The real backend of a session.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) side: Side,
    pub(crate) pid: u32,
    pub(crate) key: Bytes,
}

impl Peer {
    pub(crate) fn set_backend(&self, backend: Option<Backend>) {
        *lock(&self.backend) = backend;
    }

    pub(crate) fn backend(&self) -> Option<Backend> {
        lock(&self.backend).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whatever is kept here is replaced whole, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that has not proven itself yet, while this lives.
#[derive(Debug)]
pub(crate) struct Stranger {
    registry: Arc<Registry>,
    place: Arc<Notify>,
}

impl Stranger {
    /// Resolves when it must go.
    pub(crate) async fn displaced(&self) {
        self.place.notified().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut strangers = lock(&self.registry.strangers);
        strangers.retain(|place| !Arc::ptr_eq(place, &self.place));
    }
}

impl Registry {
    /// Counts a client in, unless there are `most` already.
    pub(crate) fn admit(&self, most: usize) -> bool {
        self.clients
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1))
            .is_ok()
    }

    /// Counts a connection that has not proven itself yet; is notified when it has to go for another.
    pub(crate) fn stranger(self: &Arc<Self>) -> Stranger {
        let place = Arc::new(Notify::new());
        let mut strangers = lock(&self.strangers);
        strangers.push_back(Arc::clone(&place));
        if strangers.len() > STRANGERS
            && let Some(oldest) = strangers.pop_front()
        {
            oldest.notify_one();
        }
        Stranger { registry: Arc::clone(self), place }
    }

    pub(crate) fn leave(&self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// Derives what clients are checked against, once, so that no login is slower than another.
    pub(crate) fn prepare(&self, users: &[GateUser]) {
        let mut verifiers = lock(&self.verifiers);
        for user in users {
            verifiers.entry(user.name.clone()).or_insert_with(|| {
                let salt: [u8; 16] = rand::random();
                Verifier::from_password(user.password.reveal(), &salt, DEFAULT_ITERATIONS)
            });
        }
    }

    /// What a client must match; nothing matches for a role without a stored password.
    pub(crate) fn verifier(&self, user: &str) -> Verifier {
        let known = lock(&self.verifiers).get(user).cloned();
        known.unwrap_or_else(|| Verifier::decoy(&self.decoy, user, DEFAULT_ITERATIONS))
    }

    /// Mints a random (pid, key) that no other session has.
    pub(crate) fn mint(&self) -> (CancelKey, Arc<Peer>) {
        let peer = Arc::new(Peer::default());
        let mut cancels = lock(&self.cancels);
        loop {
            // Some drivers take the pid for a signed number, so it stays positive.
            let key: CancelKey = (rand::random::<u32>() >> 1, rand::random());
            if let std::collections::hash_map::Entry::Vacant(place) = cancels.entry(key) {
                place.insert(Arc::clone(&peer));
                return (key, peer);
            }
        }
    }

    pub(crate) fn forget(&self, key: CancelKey) {
        lock(&self.cancels).remove(&key);
    }

    pub(crate) fn peer(&self, key: CancelKey) -> Option<Arc<Peer>> {
        lock(&self.cancels).get(&key).cloned()
    }

    /// A session begins to speak: until its state has been read at a boundary, a hold is not
    /// complete. Kept as one entry of open work for all of them, so that queries pay nothing.
    pub(crate) fn spoke(&self, shared: &Arc<Shared>, listen: SocketAddr) {
        let mut unread = lock(&self.unread);
        unread.sessions += 1;
        if unread.guard.is_none() {
            let what = Arc::from("sessions whose state is not read yet");
            let label = WorkLabel::Postgres { client: listen, what, server_pid: None };
            unread.guard = Some(shared.begin_work(label));
        }
    }

    /// The counterpart of [`Self::spoke`].
    pub(crate) fn was_read(&self) {
        let mut unread = lock(&self.unread);
        unread.sessions = unread.sessions.saturating_sub(1);
        if unread.sessions == 0 {
            unread.guard = None;
        }
    }

    /// What `side`'s code names.
    pub(super) fn code(&self, side: Side) -> &Code {
        &self.code[usize::from(side == Side::Target)]
    }

    pub(crate) fn types(&self, side: Side) -> Option<Arc<Types>> {
        lock(&self.types)[usize::from(side == Side::Target)].clone()
    }

    pub(crate) fn set_types(&self, side: Side, types: Arc<Types>) {
        lock(&self.types)[usize::from(side == Side::Target)] = Some(types);
    }
}
