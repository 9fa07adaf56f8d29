//! HTTP and PostgreSQL gates (L2).
//!
//! A gate is a process of its own, so that the run can die and come back without a request
//! noticing. Reading order: [`process`] (bind, serve, drain), [`state`] (what its cores share),
//! [`control`] (how a run steers it), [`http`], [`postgres`],
//! [`sockets`] (what every connection is given).

pub mod control;
mod files;
pub mod http;
pub mod postgres;
pub mod process;
pub mod sockets;
pub mod state;
