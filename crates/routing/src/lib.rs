//! Weights, stickiness, holds and the orders a gate obeys (L1).
//!
//! Reading order: [`Order`] (what a run tells a gate), [`Router`] (the gate's state and its rules),
//! [`Readings`] (who has authority when nobody says), [`RouteTable`] (which requests go together),
//! [`side_for`] (who goes where), [`mirror`] (what both sides answer to the same request).

pub mod mirror;

mod authority;
mod order;
mod router;
mod split;
mod table;

pub use authority::{Reading, Readings};
pub use order::{
    AheadStatus, Answer, Decisions, GateMetrics, GateStatus, HoldStatus, HttpMetrics, OpenWork,
    Order, OrderNumber, PINNED, PROTOCOL_VERSION, PostgresMetrics, Request, Response, Route,
    RouteMetrics,
};
pub use router::{Effects, HoldView, Lapse, Refusal, Router, Saved, Sealing};
pub use split::{PERMILLE_ALL, salted, side_for, sticky_hash};
pub use table::RouteTable;
