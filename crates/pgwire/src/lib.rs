//! The PostgreSQL wire protocol (3.0) and pgoutput, sans-IO (L1): bytes in, bytes out.
//!
//! One implementation serves four users: the sessions, the replication stream and the raw copy
//! of `changeover-postgres`, and both legs of the PostgreSQL gate. Whatever comes from a socket
//! is hostile: every length is checked before it is believed, every message has a largest size
//! in its phase, and no bytes at all make this crate panic.
//!
//! Reading order: [`frame`] (where a message ends), [`backend`] (what a server says),
//! [`frontend`] (what we say to it), [`request`] (what a client says), [`reply`] (what we say to
//! it), [`scram`] and [`login`] (getting in), [`pgoutput`] and [`replication`] (the change
//! stream).

pub mod backend;
pub mod frame;
pub mod frontend;
pub mod login;
pub mod pgoutput;
pub mod replication;
pub mod reply;
pub mod request;
pub mod scram;
mod server_error;

mod fields;

pub use fields::WireError;
pub use frame::{Frame, Header};
pub use server_error::ServerError;
