//! The catalogue: fifty checks, by theme.

mod capacity;
mod code;
mod replication;
mod sequences;
mod servers;
mod service;
mod sessions;
mod tables;
#[cfg(test)]
mod tests;
mod traffic;

use crate::check::Check;

/// The catalogue, in the order of the ids.
pub const CHECKS: &[Check] = &[
    replication::WAL_LEVEL,
    replication::SLOTS,
    replication::SENDERS,
    tables::IDENTITY,
    sessions::LONG_TRANSACTIONS,
    sessions::PREPARED,
    replication::SLOT_LIMIT,
    replication::SENDER_TIMEOUT,
    replication::WAL_SPACE,
    tables::WIDE,
    tables::UNDECODED,
    servers::EXTENSIONS,
    servers::VERSION,
    servers::COLLATION,
    servers::ENCODING,
    sequences::NEARLY_USED,
    sequences::UNCARRIED,
    code::TRIGGERS,
    tables::GENERATED,
    code::SCHEMA_CHANGES,
    tables::LEAVING_KEYS,
    tables::TYPES,
    code::ROLES,
    code::OUTSIDE,
    tables::LAYOUT,
    tables::MATERIALIZED,
    replication::OTHERS,
    replication::FAILOVER,
    capacity::TARGET_SIZE,
    capacity::CONNECTIONS,
    capacity::TARGET_SAFETY,
    capacity::COPY_TIME,
    traffic::CLOCKS,
    traffic::TLS,
    traffic::HEALTH,
    traffic::DNS,
    service::HARD_CODED,
    sessions::LONG_LIVED,
    traffic::REPEATABLE,
    service::LOCAL_STATE,
    service::WORKERS,
    service::EGRESS,
    service::WEBHOOKS,
    service::CACHES,
    service::VERSIONS,
    service::METRICS,
    capacity::AUTOSCALER,
    service::SWITCH,
    service::CREDENTIALS,
    replication::HEALTHY,
];
