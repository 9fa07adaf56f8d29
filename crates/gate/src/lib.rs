//! HTTP and PostgreSQL gates: sockets, holds, per-core runtimes (L2).
