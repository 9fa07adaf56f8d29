//! The checks, by theme: what no rule of the preflight judges.

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
    replication::SESSIONS,
    sessions::FORGOTTEN,
    replication::SLOT_LIMIT,
    replication::SENDER_TIMEOUT,
    replication::WAL_SPACE,
    tables::WIDE,
    servers::COLLATION,
    servers::TIME_ZONE,
    sequences::UNCARRIED,
    code::REWRITE_RULES,
    tables::GENERATED,
    code::SCHEMA_CHANGES,
    tables::NATIVE,
    code::ROLES,
    code::OUTSIDE,
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
