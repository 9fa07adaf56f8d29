//! HTTP and PostgreSQL gates (L2).

pub mod control;
pub mod http;
pub mod postgres;
pub mod process;
pub mod state;
