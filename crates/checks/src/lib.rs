//! Checks: what asks instead of moves (L2).
//!
//! The engine hands over plain values and journals what comes back; nothing here knows a plan's
//! order or decides what a failure means. Reading order, without IO: [`expect`] (what an answer must
//! be), [`json`] (places in a document), [`schedule`] (when a request is due), [`access_log`]
//! (requests of yesterday), [`figures`] (what a load measured, and whether that is good enough), [`mirror`] (whether both sides answer alike),
//! [`junit`] (results in and out). With IO: [`http`] and [`tcp`] (one question), [`load`] (many),
//! [`exec`] (a command of the user's) and [`guard`] (who ends it).

pub mod access_log;
pub mod exec;
pub mod expect;
pub mod figures;
pub mod guard;
pub mod http;
pub mod json;
pub mod junit;
pub mod load;
pub mod mirror;
pub mod schedule;
pub mod tcp;
