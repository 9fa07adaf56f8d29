//! The load: a constant rate of requests, sent when they are due whether or not earlier ones were
//! answered (open loop), so that a stall is seen by every request that falls into it.

mod client;
mod ledger;
mod meter;
mod mix;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub(crate) use ledger::{Count, Ledger};
pub(crate) use meter::{Meter, Second};

use client::{Client, Reply, SendError};
use mix::{Job, Mix};

/// After this a request counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(20);

/// More requests than this at once and new ones fail: the service is not keeping up at all.
const MOST_IN_FLIGHT: usize = 20_000;

/// What became of one request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Answered as it should be.
    Ok,
    /// Refused, wrong, or unanswered; if it was a write, it was certainly not made.
    Failed(String),
    /// A write that may or may not have been made.
    Indeterminate(String),
}

/// Everything the load knows at its end.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) ledger: Ledger,
    pub(crate) meter: Meter,
}

/// A running load.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<OnceLock<Instant>>,
    thread: JoinHandle<Result<Record, String>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    mix: Mix,
    record: Mutex<Record>,
}

impl Shared {
    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// Starts it.
    #[must_use]
    pub(crate) fn start(to: SocketAddr, rate: u32) -> Load {
        let (start, stop) = (Instant::now(), Arc::new(OnceLock::new()));
        let shared = Arc::new(Shared {
            client: Client::new(to),
            mix: Mix::default(),
            record: Mutex::new(Record { ledger: Ledger::default(), meter: Meter::default() }),
        });
        let (for_thread, stop_too) = (shared.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| format!("starting the load: {e}"))?;
            runtime.block_on(generate(for_thread, start, stop_too, rate))
        });
        Load { stop, thread, shared }
    }

    /// Acknowledged writes so far.
    #[must_use]
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.record().ledger.acknowledged()
    }

    /// Requests answered so far.
    #[must_use]
    pub(crate) fn answered(&self) -> u64 {
        self.shared.record().meter.ok
    }

    /// Sends what is due up to now and no more, waits for what is under way, and gives back the record.
    ///
    /// # Errors
    /// If the load itself broke.
    pub(crate) fn finish(self) -> Result<Record, String> {
        self.stop.get_or_init(Instant::now);
        self.thread.join().map_err(|_| "the load's thread panicked".to_owned())?
    }
}

async fn generate(
    shared: Arc<Shared>,
    start: Instant,
    stop: Arc<OnceLock<Instant>>,
    rate: u32,
) -> Result<Record, String> {
    let period = Duration::from_secs(1) / rate.max(1);
    let mut running = tokio::task::JoinSet::new();
    let mut number = 0_u32;
    loop {
        let due = start + period * number;
        number += 1;
        tokio::time::sleep_until(due.into()).await;
        // A request that was due is sent, however late we are: leaving it out would hide a stall.
        if stop.get().is_some_and(|stop| due > *stop) {
            break;
        }
        while running.try_join_next().is_some() {}
        let job = shared.mix.next();
        let second = due.duration_since(start).as_secs();
        if running.len() >= MOST_IN_FLIGHT {
            let why = Outcome::Failed("too many requests under way".to_owned());
            shared.record().meter.note(second, &job, &why, due.elapsed(), None);
            continue;
        }
        running.spawn(one(shared.clone(), job, due, second));
    }
    while running.join_next().await.is_some() {}
    let mut held = shared.record();
    Ok(Record { ledger: std::mem::take(&mut held.ledger), meter: std::mem::take(&mut held.meter) })
}

async fn one(shared: Arc<Shared>, job: Job, due: Instant, second: u64) {
    let request = shared.mix.request(&job);
    let sent = tokio::time::timeout(PATIENCE, shared.client.send(request)).await;
    let reply =
        sent.unwrap_or_else(|_| Err(SendError::Broken(format!("no answer in {PATIENCE:?}"))));
    let version = reply.as_ref().ok().and_then(|r| r.version.clone());
    let outcome = judge(&job, &reply);
    if let (Outcome::Ok, Ok(reply)) = (&outcome, &reply) {
        shared.mix.learn(&job, reply);
    }
    let mut held = shared.record();
    held.ledger.note(&job.what, &outcome);
    held.meter.note(second, &job, &outcome, due.elapsed(), version);
}

fn judge(job: &Job, reply: &Result<Reply, SendError>) -> Outcome {
    let write = job.what.is_write();
    match reply {
        Ok(reply) if reply.status.is_success() => Outcome::Ok,
        Ok(reply) => {
            let why = format!("{} answered {}: {}", job.what, reply.status, reply.text());
            if write && reply.outcome_unknown {
                Outcome::Indeterminate(why)
            } else {
                Outcome::Failed(why)
            }
        }
        Err(SendError::NotSent(why)) => Outcome::Failed(format!("{}: not sent: {why}", job.what)),
        Err(SendError::Broken(why)) if write => {
            Outcome::Indeterminate(format!("{}: {why}", job.what))
        }
        Err(SendError::Broken(why)) => Outcome::Failed(format!("{}: {why}", job.what)),
    }
}
