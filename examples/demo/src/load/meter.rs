//! Counts and latencies, in total and by the second in which a request was due.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Outcome;
use super::mix::Job;

/// How many messages of failures are kept.
const KEPT_MESSAGES: usize = 20;

/// Latencies up to a minute, in microseconds, three digits.
fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 60_000_000, 3) {
        Ok(histogram) => histogram,
        Err(e) => unreachable!("constant bounds: {e}"),
    }
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    /// Of the failed ones, those that v2 answered.
    pub(crate) failed_by_v2: u64,
    pub(crate) indeterminate: u64,
    pub(crate) reads: Histogram<u64>,
    pub(crate) writes: Histogram<u64>,
    pub(crate) seconds: Vec<Second>,
    /// The first failures, in words.
    pub(crate) messages: Vec<String>,
}

/// One second of the load.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Second {
    pub(crate) second: u64,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) indeterminate: u64,
    pub(crate) by_v1: u64,
    pub(crate) by_v2: u64,
    pub(crate) max_ms: f64,
    pub(crate) write_max_ms: f64,
}

impl Default for Meter {
    fn default() -> Self {
        Meter {
            ok: 0,
            failed: 0,
            failed_by_v2: 0,
            indeterminate: 0,
            reads: histogram(),
            writes: histogram(),
            seconds: Vec::new(),
            messages: Vec::new(),
        }
    }
}

impl Meter {
    /// Enters one request; `took` is counted from when it was due.
    pub(super) fn note(
        &mut self,
        second: u64,
        job: &Job,
        outcome: &Outcome,
        took: Duration,
        version: Option<String>,
    ) {
        let index = usize::try_from(second).unwrap_or(usize::MAX);
        while self.seconds.len() <= index {
            let next = Second { second: self.seconds.len() as u64, ..Second::default() };
            self.seconds.push(next);
        }
        let here = &mut self.seconds[index];
        match outcome {
            Outcome::Ok => {
                self.ok += 1;
                here.ok += 1;
            }
            Outcome::Failed(why) => {
                self.failed += 1;
                self.failed_by_v2 += u64::from(version.as_deref() == Some("v2"));
                here.failed += 1;
                keep(&mut self.messages, second, "failed", why);
            }
            Outcome::Indeterminate(why) => {
                self.indeterminate += 1;
                here.indeterminate += 1;
                keep(&mut self.messages, second, "unknown", why);
            }
        }
        match version.as_deref() {
            Some("v1") => here.by_v1 += 1,
            Some("v2") => here.by_v2 += 1,
            _ => {}
        }
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let took_ms = took.as_secs_f64() * 1000.0;
        here.max_ms = here.max_ms.max(took_ms);
        if job.what.is_write() {
            here.write_max_ms = here.write_max_ms.max(took_ms);
            self.writes.saturating_record(took_us);
        } else {
            self.reads.saturating_record(took_us);
        }
    }

    /// All requests.
    pub(crate) fn requests(&self) -> u64 {
        self.ok + self.failed + self.indeterminate
    }
}

fn keep(messages: &mut Vec<String>, second: u64, what: &str, why: &str) {
    if messages.len() < KEPT_MESSAGES {
        messages.push(format!("second {second}, {what}: {why}"));
    }
}
