//! Counters and histograms, kept per core and merged by the reader.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use changeover_routing::{GateMetrics, HttpMetrics, PostgresMetrics, RouteMetrics};
use changeover_types::{RouteName, Side, Tick};
use hdrhistogram::Histogram;

/// Latencies are kept to two significant digits up to this; longer ones count as this.
const HIGHEST_LATENCY_US: u64 = 600_000_000;

/// One core's counters. Only that core writes, so its locks are free but while somebody reads.
#[derive(Debug)]
pub struct CoreCounters {
    http: [Mutex<HttpCounters>; 2],
    /// By the route's place; empty without routes.
    routes: Vec<[RouteCounters; 2]>,
    postgres: [PostgresCounters; 2],
}

/// What a core's PostgreSQL sessions count, for one side.
#[derive(Debug, Default)]
pub struct PostgresCounters {
    /// ReadyForQuery messages forwarded.
    pub answered: AtomicU64,
    /// ErrorResponse messages forwarded.
    pub errors: AtomicU64,
    /// Server connections open now; may be counted in on one core and out on the same only.
    pub servers: AtomicU64,
    /// Sessions moved to this side while they lived.
    pub moved_in: AtomicU64,
}

#[derive(Debug, Default)]
struct RouteCounters {
    requests: AtomicU64,
    errors: AtomicU64,
}

#[derive(Debug)]
struct HttpCounters {
    requests: u64,
    errors: u64,
    clients_failed: u64,
    limited: u64,
    refused: BTreeMap<String, u64>,
    latency_us: Histogram<u64>,
}

fn index(side: Side) -> usize {
    match side {
        Side::Source => 0,
        Side::Target => 1,
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HIGHEST_LATENCY_US, 2)
        .expect("the bounds are constants: 1 <= low, 2 * low <= high, digits <= 5")
}

impl CoreCounters {
    /// `routes` counts the rest in: with one there is nothing to tell apart.
    fn new(routes: usize) -> CoreCounters {
        let http = || {
            Mutex::new(HttpCounters {
                requests: 0,
                errors: 0,
                clients_failed: 0,
                limited: 0,
                refused: BTreeMap::new(),
                latency_us: histogram(),
            })
        };
        let routes = if routes > 1 { routes } else { 0 };
        let routes = (0..routes).map(|_| Default::default()).collect();
        CoreCounters { http: [http(), http()], routes, postgres: Default::default() }
    }

    /// Counts an HTTP request of the route at this place that the side answered or failed.
    pub fn http_request(&self, place: usize, side: Side, latency: Duration, error: bool) {
        if let Some(route) = self.routes.get(place) {
            route[index(side)].requests.fetch_add(1, Ordering::Relaxed);
            route[index(side)].errors.fetch_add(u64::from(error), Ordering::Relaxed);
        }
        let mut http = self.http(side);
        http.requests += 1;
        http.errors += u64::from(error);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        http.latency_us.saturating_record(latency_us.max(1));
    }

    /// Counts an answer that was already counted as begun and that the side then broke off.
    pub fn http_broken_off(&self, place: usize, side: Side) {
        if let Some(route) = self.routes.get(place) {
            route[index(side)].errors.fetch_add(1, Ordering::Relaxed);
        }
        self.http(side).errors += 1;
    }

    /// Counts a request that its client failed.
    pub fn http_client_failed(&self, side: Side) {
        self.http(side).clients_failed += 1;
    }

    /// Counts a request that the gate's own limit on connections to the side turned away.
    pub fn http_limited(&self, side: Side) {
        self.http(side).limited += 1;
    }

    /// Counts a connection that an instance of the side refused: another one is asked then.
    pub fn http_refused(&self, side: Side, instance: &str) {
        let mut http = self.http(side);
        match http.refused.get_mut(instance) {
            Some(count) => *count += 1,
            None => drop(http.refused.insert(instance.to_owned(), 1)),
        }
    }

    fn http(&self, side: Side) -> MutexGuard<'_, HttpCounters> {
        self.http[index(side)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The PostgreSQL counters of a side.
    pub fn postgres(&self, side: Side) -> &PostgresCounters {
        &self.postgres[index(side)]
    }
}

/// All cores' sinks, and what is counted per hold.
#[derive(Debug, Default)]
pub(super) struct Counters {
    cores: Mutex<Vec<Arc<CoreCounters>>>,
    parked: Mutex<Parked>,
    parked_total: AtomicU64,
    longest_park_us: AtomicU64,
}

/// Since when each piece of work is parked, by the number of its coming.
#[derive(Debug, Default)]
struct Parked {
    since: BTreeMap<u64, Tick>,
    next: u64,
}

impl Counters {
    pub(super) fn add_core(&self, routes: usize) -> Arc<CoreCounters> {
        let core = Arc::new(CoreCounters::new(routes));
        self.cores.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&core));
        core
    }

    pub(super) fn begin_hold(&self) {
        self.longest_park_us.store(0, Ordering::Relaxed);
        self.parked_total.store(0, Ordering::Relaxed);
    }

    /// A piece of work is parked; its number.
    pub(super) fn parked_in(&self, now: Tick) -> u64 {
        self.parked_total.fetch_add(1, Ordering::Relaxed);
        let mut parked = self.present();
        let number = parked.next;
        parked.next += 1;
        parked.since.insert(number, now);
        number
    }

    pub(super) fn parked_out(&self, number: u64, now: Tick) {
        if let Some(since) = self.present().since.remove(&number) {
            let us = micros(now.since(since));
            self.longest_park_us.fetch_max(us, Ordering::Relaxed);
        }
    }

    pub(super) fn parked(&self) -> u64 {
        self.present().since.len() as u64
    }

    /// The longest time that work was parked since the last hold began; whoever waits still counts.
    fn longest_park_us(&self, now: Tick) -> u64 {
        let oldest = self.present().since.values().next().map(|since| micros(now.since(*since)));
        self.longest_park_us.load(Ordering::Relaxed).max(oldest.unwrap_or(0))
    }

    fn present(&self) -> MutexGuard<'_, Parked> {
        // An entry is inserted or removed whole, so a panic elsewhere leaves nothing half done.
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn metrics(
        &self,
        now: Tick,
        lapsed: u64,
        routes: impl Iterator<Item = RouteName>,
    ) -> GateMetrics {
        let cores = self.cores.lock().unwrap_or_else(PoisonError::into_inner);
        let mut metrics = GateMetrics {
            http: BTreeMap::new(),
            routes: BTreeMap::new(),
            postgres: BTreeMap::new(),
            longest_park_us: self.longest_park_us(now),
            parked_total: self.parked_total.load(Ordering::Relaxed),
            lapsed,
        };
        for side in [Side::Source, Side::Target] {
            metrics.http.insert(side, merged_http(&cores, side));
            metrics.postgres.insert(side, merged_postgres(&cores, side));
        }
        for (place, name) in routes.enumerate() {
            let merged = |side| Some((side, merged_route(&cores, place, side)?));
            let sides: BTreeMap<_, _> =
                [Side::Source, Side::Target].into_iter().filter_map(merged).collect();
            if !sides.is_empty() {
                metrics.routes.insert(name, sides);
            }
        }
        metrics
    }
}

fn merged_http(cores: &[Arc<CoreCounters>], side: Side) -> HttpMetrics {
    let mut merged = HttpMetrics::default();
    let mut latency_us = histogram();
    for core in cores {
        let http = core.http(side);
        merged.requests += http.requests;
        merged.errors += http.errors;
        merged.clients_failed += http.clients_failed;
        merged.limited += http.limited;
        for (instance, count) in &http.refused {
            *merged.refused.entry(instance.clone()).or_default() += count;
        }
        if latency_us.add(&http.latency_us).is_err() {
            // Same bounds on every core, so this cannot be; a lost histogram must not go unseen.
            tracing::error!("a core's latency histogram could not be merged");
        }
    }
    merged.latency_us = latency_us
        .iter_recorded()
        .map(|bucket| {
            (latency_us.highest_equivalent(bucket.value_iterated_to()), bucket.count_at_value())
        })
        .collect();
    merged
}

/// `None` where routes are not told apart.
fn merged_route(cores: &[Arc<CoreCounters>], place: usize, side: Side) -> Option<RouteMetrics> {
    let mut merged = RouteMetrics::default();
    let mut known = false;
    for route in cores.iter().filter_map(|core| core.routes.get(place)) {
        known = true;
        merged.requests += route[index(side)].requests.load(Ordering::Relaxed);
        merged.errors += route[index(side)].errors.load(Ordering::Relaxed);
    }
    known.then_some(merged)
}

fn merged_postgres(cores: &[Arc<CoreCounters>], side: Side) -> PostgresMetrics {
    let mut merged = PostgresMetrics::default();
    for core in cores {
        let counters = core.postgres(side);
        merged.answered += counters.answered.load(Ordering::Relaxed);
        merged.errors += counters.errors.load(Ordering::Relaxed);
        merged.servers += counters.servers.load(Ordering::Relaxed);
        merged.moved_in += counters.moved_in.load(Ordering::Relaxed);
    }
    merged
}
/// Whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
