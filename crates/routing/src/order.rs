//! What a run tells a gate, and what the gate answers: one JSON object a line over a Unix socket.
//!
//! Every changing order carries an [`OrderNumber`]. A gate keeps the highest it has obeyed on disk
//! and refuses anything not higher, so a revived controller cannot move it backwards. The number is
//! kept apart from the *authority epoch*, which alone is compared with rows in the databases: an
//! attempt that was called off uses up order numbers, never authority.

use std::collections::BTreeMap;

use changeover_types::{DecidedSecond, Epoch, RouteName, RouteRule, Side, Split};
use serde::{Deserialize, Serialize};

use crate::mirror::{MirrorOrder, MirrorStatus};

/// The version of this protocol; both ends refuse another.
pub const PROTOCOL_VERSION: u32 = 1;

/// Orders a gate's life: first by attempt, then within it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct OrderNumber {
    /// The newest epoch the run knew when it gave the order.
    pub epoch: Epoch,
    /// Counts within the epoch.
    pub sequence: u64,
}

/// Where HTTP traffic goes and which side's database the PostgreSQL gate uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Share of HTTP keys that go to the target, in tenths of a per cent: 0 to 1000. A route that a
    /// step of its own has moved has its own share, in the [`Split`] beside.
    pub target_permille: u16,
    /// The side whose database accepts writes.
    pub authority: Side,
    /// The epoch of the row that says so.
    pub authority_epoch: Epoch,
}

/// A line to the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`PROTOCOL_VERSION`].
    pub v: u32,
    /// Echoed in the answer.
    pub id: u64,
    /// What to do.
    pub order: Order,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Say who you are and where you stand. Changes nothing.
    Status,
    /// Counters and histograms since the gate started. Changes nothing.
    Metrics,
    /// What was decided about requests, from this second of the gate's life on; at most a minute
    /// of it at once. Changes nothing.
    Decided {
        /// The first second that is not known yet.
        from: u64,
        /// Of these routes' requests alone; of all if empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        routes: Vec<RouteName>,
    },
    /// Send a sample of the requests to both sides once more and compare the answers, or go on with
    /// it. It carries no number: it changes nothing for any client and lapses by itself.
    Mirror(MirrorOrder),
    /// End the mirroring of this id.
    MirrorStop {
        /// As it was begun.
        id: u64,
    },
    /// A hold may come within `within_ms`: connect the PostgreSQL gate's sessions to the other side,
    /// and read their state, while they are served. It carries no number: it changes nothing for any
    /// client and lapses by itself.
    Prepare {
        /// How long what was made ready is kept.
        within_ms: u64,
    },
    /// Use this route from now on; new work sees it at once. Ends no hold.
    Route {
        /// Must be higher than any obeyed before.
        number: OrderNumber,
        /// The route.
        route: Route,
        /// What differs for single routes.
        #[serde(default, skip_serializing_if = "Split::is_plain")]
        split: Split,
    },
    /// Park new work at the next safe boundary, for at most `budget_ms` from now.
    Hold {
        /// Must be higher than any obeyed before.
        number: OrderNumber,
        /// After this the hold lapses by the gate's own clock.
        budget_ms: u64,
    },
    /// Let the present hold last `budget_ms` from now. Refused when it has lapsed.
    Renew {
        /// Must be higher than any obeyed before.
        number: OrderNumber,
        /// The new remaining time.
        budget_ms: u64,
    },
    /// The seal of `from` is about to be committed in `epoch`: from now on a lapse means "ask both
    /// databases who has authority", not "open to the old side".
    Sealing {
        /// Must be higher than any obeyed before.
        number: OrderNumber,
        /// The attempt.
        epoch: Epoch,
        /// The side that gives authority away.
        from: Side,
    },
    /// A new migration of this name begins, whose epochs count from 1 again: forget the numbers
    /// of the one before. Refused unless that one is over: no hold, no seal, authority with the
    /// source. Its sender holds the migration's journal, so no older run can be alive.
    Anew,
    /// End the hold; parked work goes on, oldest first, along the present route.
    Release {
        /// Must be higher than any obeyed before.
        number: OrderNumber,
    },
}

/// A line from the gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// [`PROTOCOL_VERSION`].
    pub v: u32,
    /// The request's id.
    pub id: u64,
    /// The outcome.
    pub answer: Answer,
}

/// The outcome of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Answer {
    /// Obeyed; this is the state afterwards.
    Status(GateStatus),
    /// The metrics asked for.
    Metrics(GateMetrics),
    /// The decisions asked for.
    Decided(Decisions),
    /// How the mirroring stands.
    Mirror(MirrorStatus),
    /// Not obeyed, nothing changed.
    Refused {
        /// Why, in words for the operator.
        why: String,
        /// The highest number obeyed so far.
        obeyed: OrderNumber,
    },
}

/// Where a gate stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateStatus {
    /// Random per process: a changed one means that the gate restarted.
    pub incarnation: u64,
    /// The highest number obeyed.
    pub obeyed: OrderNumber,
    /// The present route; `None` until the first order or the first answer of the databases.
    pub route: Option<Route>,
    /// How single routes differ from it.
    #[serde(default, skip_serializing_if = "Split::is_plain")]
    pub split: Split,
    /// The routes that it was started with, without the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteRule>,
    /// What it was started with: keys of the plan and their values in words, without secrets. Empty
    /// of a gate that is older than this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub carries: BTreeMap<String, String>,
    /// The present hold.
    pub hold: Option<HoldStatus>,
    /// How far the sessions of the PostgreSQL gate are, while a hold is announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<AheadStatus>,
    /// Work that is under way and has not reached a safe boundary: open transactions, requests.
    pub open: Vec<OpenWork>,
    /// How much new work is parked.
    pub parked: u64,
    /// Client connections.
    pub clients: u64,
    /// The server processes that work for clients of the PostgreSQL gate; `None` of a gate that is
    /// older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_pids: Option<BTreeMap<Side, Vec<u32>>>,
}

/// A hold as the gate sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldStatus {
    /// How long it still lasts, in milliseconds.
    pub remaining_ms: u64,
    /// Whether the gate knows that a seal is under way.
    pub sealing: Option<Epoch>,
}

/// What became of an [`Order::Prepare`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AheadStatus {
    /// Sessions of clients.
    pub sessions: u64,
    /// Those of them that are connected to the other side.
    pub connected: u64,
    /// Those that could not be.
    pub refused: u64,
    /// Why the last of these could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A piece of work that keeps a hold from being complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWork {
    /// `postgres` or `http`.
    pub gate: String,
    /// The client's address.
    pub client: String,
    /// User and application name, or method and path. Never a statement or a value.
    pub what: String,
    /// `in transaction`, `running`, `copy`, `pinned: temporary tables`, …
    pub state: String,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// The server process that serves it, for PostgreSQL.
    pub server_pid: Option<i32>,
}

/// How [`OpenWork::state`] of an idle session begins whose state cannot move.
pub const PINNED: &str = "pinned: ";

impl OpenWork {
    /// What an idle session keeps that cannot move; `None` of work that is under way.
    #[must_use]
    pub fn pins(&self) -> Option<impl Iterator<Item = &str>> {
        self.state.strip_prefix(PINNED).map(|pins| pins.split(", "))
    }
}

/// What a gate decided about requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// Whose seconds these are; see [`GateStatus::incarnation`].
    pub incarnation: u64,
    /// The first second that is not among them, for the next question.
    pub next: u64,
    /// The second that is under way: all before it are over.
    pub present: u64,
    /// In their order; one without requests is left out.
    pub seconds: Vec<DecidedSecond>,
}

/// Counters since the gate started; all monotonic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GateMetrics {
    /// HTTP, by the environment that answered.
    pub http: BTreeMap<Side, HttpMetrics>,
    /// The same by route, the rest among them; empty without routes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<RouteName, BTreeMap<Side, RouteMetrics>>,
    /// PostgreSQL, by the side that served.
    pub postgres: BTreeMap<Side, PostgresMetrics>,
    /// Longest time a piece of work was parked, in microseconds, since the last hold began.
    pub longest_park_us: u64,
    /// How many pieces of work were parked since the last hold began.
    pub parked_total: u64,
    /// How many holds lapsed.
    pub lapsed: u64,
}

/// One environment's HTTP counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpMetrics {
    /// Requests answered or failed.
    pub requests: u64,
    /// Answers of 500 and above, resets and timeouts.
    pub errors: u64,
    /// Requests that their clients left unfinished, broke off or did not wait for: in none of the
    /// other figures.
    #[serde(default)]
    pub clients_failed: u64,
    /// Requests that found no connection free within the gate's own limit: in none of the others.
    #[serde(default)]
    pub limited: u64,
    /// Connections refused, by instance; the requests went to another one or failed.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// Latency in microseconds: `(upper bound, count)` of the filled HDR buckets; without the time in
    /// which the client sent its body.
    pub latency_us: Vec<(u64, u64)>,
}

/// One route's HTTP counters of one environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteMetrics {
    /// Requests answered or failed.
    pub requests: u64,
    /// Answers of 500 and above, resets and timeouts.
    pub errors: u64,
}

/// One side's PostgreSQL counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PostgresMetrics {
    /// ReadyForQuery messages forwarded: queries or pipelines answered.
    pub answered: u64,
    /// ErrorResponse messages forwarded.
    pub errors: u64,
    /// Server connections open now.
    pub servers: u64,
    /// Sessions moved to this side while they lived.
    pub moved_in: u64,
}
