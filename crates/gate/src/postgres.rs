//! The PostgreSQL gate: a proxy with one server connection per client connection, which can move
//! a live session from one side's server to the other's.
//!
//! Clients stay connected through a cutover. Their messages are forwarded without parsing SQL and
//! without collecting them; the gate only follows the headers ([`tracker`]) to know when a session
//! is at a *safe boundary*. There a hold parks it, its state is read off the old server
//! ([`capture`]) and, when authority has moved, made anew on the new one ([`replay`]). All sessions
//! see one set of type numbers ([`types`]). What cannot be made anew (temporary tables, advisory locks, …)
//! *pins* a session: it is listed as open work, so that the cutover waits for it or is called off.
//!
//! Reading order: [`config`], [`listen`] (a connection's way in), [`session`] (its life),
//! [`tracker`] (the rules), [`authority`] (a gate that does not know whom to serve).
//!
//! What it cannot do: TLS, MD5 and GSS on either leg; `currval`, `lastval`, `setseed` and the
//! global data of procedural languages do not move along.

mod admit;
mod authority;
mod capture;
mod code;
mod config;
mod listen;
mod own;
mod registry;
mod replay;
mod server;
mod session;
mod tracker;
mod types;
mod wire;

pub use authority::{keep_authority, read_authority};
pub use config::{ClientAuth, GateUser, Password, PostgresGateConfig, ServerConfig};
pub use listen::serve;
pub(crate) use registry::STRANGERS;
pub use types::keep_numbers;
