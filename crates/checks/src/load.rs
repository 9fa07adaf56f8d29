//! Many requests, each at its time, whether or not earlier ones were answered.
//!
//! Workers, one connection each, take the next number of the schedule in turn, wait until it is due,
//! send, and count the latency *from when it was due*: if all workers wait for a stalled server,
//! what they send afterwards is late, is counted as late, and its waiting is part of its latency.
//! Nothing is left out: a request that could not be sent at all is counted as failed.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use changeover_plan::StatusRange;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::expect::meets;
use crate::figures::{Figures, Went};
use crate::http::{Answer, Ask, Broken, Connection};
use crate::schedule::Schedule;

/// A request that leaves later than this after it was due is late.
const LATE: Duration = Duration::from_millis(20);
/// How often it is told how it goes.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// What is sent, when and where.
#[derive(Debug)]
pub struct Load {
    /// When.
    pub schedule: Schedule,
    /// What: the request of number n is `asks[order[n]]`; without an order they come in turn.
    pub order: Vec<usize>,
    /// The different requests; never empty.
    pub asks: Vec<Question>,
    /// Where: `host:port`, one for each connection in turn; never empty.
    pub addresses: Vec<String>,
    /// How many connections.
    pub connections: usize,
    /// How long an answer may take, from the sending on.
    pub within: Duration,
}

/// A request of a load.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is sent.
    pub ask: Ask,
    /// Method and path, without a query: it may hold what no journal should.
    pub name: String,
    /// Any other status is a failure.
    pub status: Vec<StatusRange>,
}

/// How far a load is.
#[derive(Debug)]
pub struct Progress {
    /// Since its beginning.
    pub elapsed: Duration,
    /// Requests that came to an end, a second, lately.
    pub rate: f64,
    /// Requests that should have been sent by now.
    pub due: u64,
    /// What was measured so far.
    pub figures: Figures,
}

struct Shared {
    load: Load,
    begun: Instant,
    next: AtomicU64,
    figures: Mutex<Figures>,
}

impl Shared {
    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends everything. Dropping the future stops at once.
pub async fn run(load: Load, mut show: impl FnMut(&Progress)) -> Figures {
    let (connections, lasts) = (load.connections.max(1), load.schedule.lasts());
    let shared = Arc::new(Shared {
        load,
        begun: Instant::now(),
        next: AtomicU64::new(0),
        figures: Mutex::default(),
    });
    let mut workers = JoinSet::new();
    for number in 0..connections {
        workers.spawn(work(Arc::clone(&shared), number));
    }
    let watching = async {
        let mut before = (shared.begun, 0);
        loop {
            sleep(SHOW_EVERY).await;
            let (now, figures) = (Instant::now(), shared.figures().clone());
            let seconds = now.duration_since(before.0).as_secs_f64();
            let rate = (figures.done - before.1) as f64 / seconds.max(0.001);
            before = (now, figures.done);
            let elapsed = now.duration_since(shared.begun);
            let due = shared.load.schedule.due_by(elapsed.min(lasts));
            show(&Progress { elapsed, rate, due, figures });
        }
    };
    let joining = async { while workers.join_next().await.is_some() {} };
    first(joining, watching).await;
    shared.figures().clone()
}

/// Waits for the first; the second goes on meanwhile.
async fn first(awaited: impl Future<Output = ()>, meanwhile: impl Future<Output = ()>) {
    tokio::select! {
        () = awaited => {}
        () = meanwhile => {}
    }
}

async fn work(shared: Arc<Shared>, number: usize) {
    let load = &shared.load;
    let address = &load.addresses[number % load.addresses.len()];
    // Whoever waited for a connection until then will not be served any more.
    let over = shared.begun + load.schedule.lasts() + load.within;
    let mut connection = None;
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(due) = load.schedule.due(number) else { return };
        let due = shared.begun + due;
        let now = Instant::now();
        if now > over {
            shared.figures().count_unsent(now.duration_since(due));
            continue;
        }
        sleep_until(due).await;
        let late = due.elapsed() > LATE;
        let question = load.question(number);
        let sent = send(&mut connection, &question.ask, address);
        let failure = match timeout(load.within, sent).await {
            Ok(Ok(answer)) => question.judge(&answer),
            Ok(Err(broken)) => Some(format!("{} {}", question.name, kind(&broken))),
            Err(_) => {
                let within = load.within.as_millis();
                Some(format!("{} without an answer within {within} ms", question.name))
            }
        };
        if failure.is_some() && !connection.as_ref().is_some_and(Connection::is_open) {
            connection = None;
        }
        shared.figures().count(Went { latency: due.elapsed(), late, failure });
    }
}

impl Load {
    fn question(&self, number: u64) -> &Question {
        let number = usize::try_from(number).unwrap_or(0);
        let which = self.order.get(number).copied().unwrap_or(number);
        &self.asks[which % self.asks.len()]
    }
}

impl Question {
    fn judge(&self, answer: &Answer) -> Option<String> {
        let status = answer.status.as_u16();
        (!meets(&self.status, status)).then(|| format!("{} answered {status}", self.name))
    }
}

/// Asks on the connection, or on a new one. A connection that an earlier answer came on may just be
/// closed by its server: then what may be repeated is asked once more.
async fn send(
    connection: &mut Option<Connection>,
    ask: &Ask,
    address: &str,
) -> Result<Answer, Broken> {
    // Taken out, so that a question that is dropped half-way leaves no connection behind.
    if let Some(mut open) = connection.take().filter(Connection::is_open) {
        match open.ask(ask, address, 0, true).await {
            Ok(answer) => {
                *connection = Some(open);
                return Ok(answer);
            }
            Err(broken) if !ask.method.is_safe() => return Err(broken),
            Err(_) => {}
        }
    }
    let mut open = Connection::open(address).await?;
    let answer = open.ask(ask, address, 0, true).await?;
    *connection = Some(open);
    Ok(answer)
}

fn kind(broken: &Broken) -> String {
    match broken {
        Broken::Connect(error) => format!("without a connection ({:?})", error.kind()),
        Broken::Request => "could not be written".to_owned(),
        Broken::Http(_) => "broken off".to_owned(),
    }
}
