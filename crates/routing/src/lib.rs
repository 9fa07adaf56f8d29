//! Weights, stickiness, holds and the orders a gate obeys (L1).

mod order;

pub use order::{
    Answer, GateMetrics, GateStatus, HoldStatus, HttpMetrics, OpenWork, Order, OrderNumber,
    PROTOCOL_VERSION, PostgresMetrics, Request, Response, Route,
};
