//! What the cores of a gate share: the route, the hold, who is at work, and the counters.
//!
//! The request path takes no lock that another core holds: the route with its shares is one `arc-swap` load, the
//! hold a `watch`, open work and histograms lie in per-core sinks. Orders are rare; they go through
//! one mutex and are durable in `route.json` before they take effect and are acknowledged.
//!
//! **How work must begin**, so that an acknowledged hold is the truth: register first
//! ([`Shared::begin_work`]), *then* look at [`Shared::hold_view`]; if it is not open, drop the guard
//! and park ([`Shared::park`]). The other order has a window in which work is neither listed nor
//! parked.

mod ahead;
mod config;
mod counters;
mod decisions;
mod disk;
mod served;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use changeover_routing::mirror::MirrorStatus;
use changeover_routing::{
    Answer, Decisions as Told, GateStatus, HoldView, Order, Readings, Refusal, Route, RouteTable,
    Router, Saved,
};
use changeover_types::{MigrationName, RouteName, Share, Side, Tick};
use tokio::sync::watch;

pub(crate) use ahead::{Ahead, Part};
pub use config::{GateConfig, GateRoute, HttpGateConfig, HttpLimits, Upstream};
pub(crate) use counters::micros;
pub use counters::{CoreCounters, PostgresCounters};
pub use decisions::{CoreDecisions, DecideRules, Ticket};
pub use disk::{DiskError, RouteFile};
pub use served::ServedGuard;
pub use work::{ParkGuard, WorkGuard, WorkLabel, WorkState};

use crate::http::door::Door;
use crate::http::mirror::Mirror;
use crate::http::slots::Slots;
use counters::Counters;
use decisions::Decisions;
use served::Served;
use work::Registry;

/// At most this many pieces of open work are listed in a status, the oldest first.
const LISTED_WORK: usize = 200;

/// The shared state of a gate process. See the module.
#[derive(Debug)]
pub struct Shared {
    migration: MigrationName,
    incarnation: u64,
    started: Instant,
    table: RouteTable,
    router: Mutex<Router>,
    file: RouteFile,
    route: ArcSwapOption<Routed>,
    hold: watch::Sender<HoldView>,
    /// Wakes whoever sleeps until the hold's deadline.
    changed: tokio::sync::Notify,
    work: Registry,
    counters: Counters,
    decisions: Decisions,
    clients: AtomicU64,
    mirror: Mirror,
    carries: BTreeMap<String, String>,
    served: Served,
    ahead: Ahead,
    door: Arc<Door>,
    slots: OnceLock<Arc<Slots>>,
}

/// The route and what it gives to each route of the HTTP gate.
#[derive(Debug)]
struct Routed {
    route: Route,
    shares: Vec<Share>,
}

impl Routed {
    fn of(router: &Router) -> Option<Routed> {
        router.route().map(|route| Routed { route, shares: router.shares() })
    }
}

impl Shared {
    /// Reads `route.json` below `state_dir` and starts from it, with the routes of the HTTP gate.
    /// With `prove` (a PostgreSQL gate is configured) nothing goes on before the databases have proven who has authority.
    ///
    /// # Errors
    /// If the file is there and cannot be read or understood.
    pub fn open(
        migration: MigrationName,
        state_dir: &Path,
        table: RouteTable,
        prove: bool,
        carries: BTreeMap<String, String>,
    ) -> Result<Arc<Shared>, DiskError> {
        let file = RouteFile::new(state_dir);
        let saved = file.read()?.unwrap_or_default();
        if let Some(missing) = table.missing(&saved.split) {
            tracing::warn!(
                route = %missing,
                "a route that the run has moved is not in this plan: its requests go where all \
                 others go"
            );
        }
        let shared = Shared::from_saved(migration, state_dir, file, saved, table, prove);
        Ok(Arc::new(Shared { carries, ..shared }))
    }

    fn from_saved(
        migration: MigrationName,
        state_dir: &Path,
        file: RouteFile,
        saved: Saved,
        table: RouteTable,
        prove: bool,
    ) -> Shared {
        let router = Router::start(saved, table.clone(), prove);
        let decisions = Decisions::open(state_dir, router.canary());
        let started = Instant::now();
        Shared {
            mirror: Mirror::new(started),
            migration,
            incarnation: rand::random(),
            started,
            route: ArcSwapOption::from_pointee(Routed::of(&router)),
            table,
            hold: watch::Sender::new(router.view()),
            router: Mutex::new(router),
            file,
            changed: tokio::sync::Notify::new(),
            work: Registry::default(),
            counters: Counters::default(),
            decisions,
            clients: AtomicU64::new(0),
            carries: BTreeMap::new(),
            served: Served::default(),
            ahead: Ahead::default(),
            door: Door::new(),
            slots: OnceLock::new(),
        }
    }

    /// Where what must survive the process lies.
    pub(crate) fn state_dir(&self) -> &Path {
        self.file.folder()
    }

    /// The migration this gate serves.
    pub fn migration(&self) -> &MigrationName {
        &self.migration
    }

    /// Microseconds since the gate started.
    pub fn now(&self) -> Tick {
        Tick::default().after(self.started.elapsed())
    }

    /// The present route; `None` only while [`Shared::hold_view`] is not open. One atomic load.
    pub fn route(&self) -> Option<Route> {
        self.route.load().as_deref().map(|routed| routed.route)
    }

    /// The routes of the HTTP gate.
    pub fn table(&self) -> &RouteTable {
        &self.table
    }

    /// The present share of the route at this place of [`Shared::table`]; `None` as for
    /// [`Shared::route`]. One atomic load.
    pub fn share(&self, place: usize) -> Option<Share> {
        self.route.load().as_deref()?.shares.get(place).copied()
    }

    /// The side whose database new transactions use; `None` as for [`Shared::route`].
    pub fn authority(&self) -> Option<Side> {
        self.route().map(|route| route.authority)
    }

    /// How new work is treated at this moment.
    pub fn hold_view(&self) -> HoldView {
        *self.hold.borrow()
    }

    /// The hold as it changes. After it becomes open, read [`Shared::route`] anew.
    pub fn hold(&self) -> watch::Receiver<HoldView> {
        self.hold.subscribe()
    }

    /// Obeys or refuses an order; durable before this returns. Writes to disk: call it from the
    /// control thread, never from a core that carries traffic.
    pub fn obey(&self, order: &Order) -> Answer {
        if let Some(outcome) = self.mirror_order(order) {
            let refused = |why| Answer::Refused { why, obeyed: self.lock().obeyed() };
            return outcome.map_or_else(refused, Answer::Mirror);
        }
        let mut router = self.lock();
        let now = self.now();
        if let Order::Decided { from, routes } = order {
            return self.told(*from, routes, &router, now);
        }
        let mut next = router.clone();
        let effects = match next.handle_order(order, now) {
            Ok(effects) => effects,
            Err(refusal) => {
                // Time passed even so: adopt a lapse that was due.
                self.adopt(&mut router, next);
                return Answer::Refused { why: refusal.to_string(), obeyed: router.obeyed() };
            }
        };
        if effects.save
            && let Err(error) = self.file.write(&next.saved())
        {
            tracing::error!(%error, "the order was not obeyed: it could not be made durable");
            let why = format!("not obeyed, for it could not be made durable: {error}");
            return Answer::Refused { why, obeyed: router.obeyed() };
        }
        if let Order::Prepare { within_ms } = order {
            self.ahead.announce(Duration::from_millis(*within_ms));
        }
        if effects.hold_began || matches!(order, Order::Anew) {
            self.counters.begin_hold();
        }
        self.adopt(&mut router, next);
        match order {
            Order::Metrics => {
                Answer::Metrics(self.counters.metrics(now, router.lapsed(), self.table.names()))
            }
            _ => Answer::Status(self.status(&router, now)),
        }
    }

    /// What was decided about the requests of these routes, or of all if there are none.
    fn told(&self, from: u64, routes: &[RouteName], router: &Router, now: Tick) -> Answer {
        let mut places = Vec::with_capacity(routes.len());
        for name in routes {
            let Some(place) = self.table.place_of(name) else {
                let why = Refusal::UnknownRoute(name.clone()).to_string();
                return Answer::Refused { why, obeyed: router.obeyed() };
            };
            places.push(place);
        }
        let (seconds, next) = self.decisions.since(from, &places, now);
        let present = now.0 / 1_000_000;
        Answer::Decided(Told { incarnation: self.incarnation, next, present, seconds })
    }

    /// Mirroring is no matter of the router: it changes nothing for any client.
    fn mirror_order(&self, order: &Order) -> Option<Result<MirrorStatus, String>> {
        match order {
            Order::Mirror(order) => Some(self.mirror.obey(order)),
            Order::MirrorStop { id } => Some(self.mirror.stop(*id)),
            _ => None,
        }
    }

    /// Holds that were announced.
    pub(crate) fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// Where the HTTP gate offers its requests.
    pub(crate) fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Who may come in to the HTTP gate.
    pub(crate) fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// How many connections the cores of the HTTP gate may open.
    pub(crate) fn slots(&self, config: &HttpGateConfig) -> Arc<Slots> {
        let instances = config.source.len() + config.target.len();
        let most = config.limits.upstream_connections;
        Arc::clone(self.slots.get_or_init(|| Slots::new(instances, most)))
    }

    /// Hands over what both databases said. True if it proved a side and new work goes on.
    ///
    /// # Errors
    /// If the outcome cannot be made durable; nothing changed then.
    pub fn resolve(&self, readings: Readings) -> Result<bool, DiskError> {
        let mut router = self.lock();
        let mut next = router.clone();
        let resolved = next.handle_authority(readings, self.now());
        if resolved {
            self.file.write(&next.saved())?;
        }
        self.adopt(&mut router, next);
        Ok(resolved)
    }

    /// Ends holds whose deadline has come, for ever. The control thread runs it once.
    pub async fn keep_time(&self) {
        loop {
            let changed = self.changed.notified();
            let wake = {
                let mut router = self.lock();
                let mut next = router.clone();
                if let Some(lapse) = next.poll(self.now()) {
                    tracing::warn!(?lapse, "the hold lapsed: nobody renewed or released it");
                }
                let wake = next.wake();
                self.adopt(&mut router, next);
                wake
            };
            match wake {
                Some(deadline) => {
                    let left = deadline.since(self.now()) + Duration::from_micros(1);
                    tokio::select! {
                        () = tokio::time::sleep(left) => {}
                        () = changed => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Registers work that a hold must wait for, until the guard is dropped.
    pub fn begin_work(self: &Arc<Self>, label: WorkLabel) -> WorkGuard {
        WorkGuard::new(Arc::clone(self), label)
    }

    /// Counts a piece of work as parked until the guard is dropped, and how long it was.
    pub fn park(self: &Arc<Self>) -> ParkGuard {
        ParkGuard::new(Arc::clone(self))
    }

    /// How much work is parked now.
    pub fn parked(&self) -> u64 {
        self.counters.parked()
    }

    /// How much work is open now.
    pub fn open_work(&self) -> usize {
        self.work.len()
    }

    /// A new sink for one core's counters; they are merged when metrics are asked for. Take one
    /// per core and gate, once.
    pub fn core_counters(&self) -> Arc<CoreCounters> {
        self.counters.add_core(self.table.count())
    }

    /// A new sink for what one core decides about its requests of the route at this place.
    pub fn core_decisions(&self, place: usize, rules: DecideRules) -> Arc<CoreDecisions> {
        self.decisions.add_core(place, rules)
    }

    /// Counts one client connection in.
    pub fn client_came(&self) {
        self.clients.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one client connection out.
    pub fn client_left(&self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    fn status(&self, router: &Router, now: Tick) -> GateStatus {
        GateStatus {
            incarnation: self.incarnation,
            obeyed: router.obeyed(),
            route: router.route(),
            split: router.split().clone(),
            routes: self.table.rules().to_vec(),
            carries: self.carries.clone(),
            hold: router.hold_status(now),
            ahead: self.ahead.status(self.served.count()),
            open: self.work.list(now, LISTED_WORK),
            parked: self.counters.parked(),
            clients: self.clients.load(Ordering::Relaxed),
            server_pids: Some(self.served.by_side()),
        }
    }

    /// Route first, hold second: whoever sees the hold open sees the route that goes with it.
    fn adopt(&self, router: &mut Router, next: Router) {
        if *router == next {
            return;
        }
        let authority = |router: &Router| router.route().map(|route| route.authority);
        if authority(router) != authority(&next) {
            self.ahead.end();
        }
        if router.route() != next.route() || router.split() != next.split() {
            if let Some(canary) = next.canary().filter(|canary| router.canary() != Some(*canary)) {
                self.decisions.canary_begins(self.now(), canary);
            }
            self.route.store(Routed::of(&next).map(Arc::new));
        }
        *router = next;
        let present = router.view();
        self.hold.send_if_modified(|view| {
            let differs = *view != present;
            *view = present;
            differs
        });
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Router> {
        // A panic elsewhere cannot leave the router half changed: it is replaced whole.
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
