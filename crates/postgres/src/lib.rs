//! Source and target: sessions, replication, COPY, apply, schema, seal, verification (L2).
//!
//! Reading order: [`session`] (one connection), [`catalog`] (what is there), [`preflight`] (may
//! we), [`facts`] (for an assessment), [`measure`] (how fast), [`access`] (who may do what),
//! [`objects`] (our own schema),
//! [`snapshot`], [`schema`] and [`copy`] (the first copy), [`follow`] and [`apply`] (the relay's
//! shell), [`verify`]; then the effects of the cutover: [`lease`], [`barrier`], [`seal`],
//! [`grant`], [`resolve`], [`sequences`], and [`retire`].

pub mod access;
pub mod apply;
pub mod barrier;
pub mod bypass;
pub mod catalog;
pub mod config;
pub mod copy;
pub mod definitions;
pub mod digest;
pub mod error;
pub mod facts;
pub mod follow;
pub mod grant;
pub mod lease;
pub mod measure;
pub mod objects;
pub mod preflight;
pub mod replication;
pub mod resolve;
pub mod retire;
pub mod schema;
pub mod seal;
pub mod sequences;
pub mod session;
pub mod snapshot;
pub mod type_numbers;
pub mod unmovable;
pub mod verify;
