//! Two snapshots that hold the same transactions, while both sides live.

use std::time::Duration;

use changeover_relay::Stream;
use changeover_types::{Lsn, MigrationName, Side, TableName, quote_literal};
use tokio::time::timeout;

use super::{Pair, TableReport, VerifyReport, compare};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::follow::FollowHandle;
use crate::replication::{SlotOptions, create_slot};
use crate::session::Session;

const READ_ONLY: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// What an aligned comparison needs.
#[derive(Clone, Debug)]
pub struct AlignedConfig {
    /// The stream's sending server.
    pub from: ConnectConfig,
    /// The stream's receiving server.
    pub into: ConnectConfig,
    /// The migration.
    pub migration: MigrationName,
    /// The stream whose segment is open.
    pub stream: Stream,
    /// How long applying may be held back, in all, before the comparison is given up.
    pub hold_budget: Duration,
}

/// Compares `tables` at one and the same point of the stream. Applying is paused, a temporary
/// slot names a point and exports the sender's snapshot there, applying goes on exactly to it, a
/// snapshot of the receiver is opened, applying goes on, and the snapshots are compared at
/// leisure. The follower is paused *before* the slot is made: otherwise it may be past the point
/// by the time the point is known.
///
/// # Errors
/// `Timeout` if the hold did not fit its budget (a transaction running on the sender delays the
/// slot): nothing is changed, try again. Otherwise as [`compare`].
pub async fn aligned(
    config: &AlignedConfig,
    follower: &FollowHandle,
    tables: &[TableName],
    progress: impl FnMut(&TableReport),
) -> Result<VerifyReport> {
    let snapshots = timeout(config.hold_budget, snapshots(config, follower)).await;
    // However it went, applying goes on.
    let resumed = follower.resume().await;
    let (mut from, mut into) = match snapshots {
        Ok(snapshots) => snapshots?,
        Err(_) => {
            return Err(Error::timeout(
                config.from.side,
                format!(
                    "aligning two snapshots: not within {:?}; a transaction that runs for long \
                     on this side delays it. Try again when it has ended",
                    config.hold_budget
                ),
            ));
        }
    };
    resumed?;
    let pair = match config.from.side {
        Side::Source => Pair { source: &mut from, target: &mut into },
        Side::Target => Pair { source: &mut into, target: &mut from },
    };
    let report = compare(pair, tables, progress).await?;
    from.close().await;
    into.close().await;
    Ok(report)
}

async fn snapshots(config: &AlignedConfig, follower: &FollowHandle) -> Result<(Session, Session)> {
    let budget = config.hold_budget;
    let mut slots = Session::connect_replication(&config.from, "changeover verify").await?;
    let mut from = Session::connect(&config.from, "changeover verify").await?;
    let mut into = Session::connect(&config.into, "changeover verify").await?;
    follower.pause(budget).await?;
    let name = format!("changeover_verify_{:08x}", rand::random::<u32>());
    let options = SlotOptions { temporary: true, export_snapshot: true };
    let slot = create_slot(&mut slots, &name, options).await?;
    let Some(snapshot) = slot.snapshot else {
        return Err(Error::protocol(config.from.side, "the slot came without a snapshot"));
    };
    from.execute(&format!("{READ_ONLY}; SET TRANSACTION SNAPSHOT {}", quote_literal(&snapshot)))
        .await?;
    // Imported: the slot has done its work, and must not keep the log.
    slots.close().await;
    heartbeat(config).await?;
    reach(config, follower, slot.consistent_point).await?;
    into.execute(&format!("{READ_ONLY}; SELECT 1")).await?;
    Ok((from, into))
}

async fn reach(config: &AlignedConfig, follower: &FollowHandle, point: Lsn) -> Result<()> {
    follower
        .hold_before(point, config.hold_budget)
        .await
        .map(|_| ())
        .map_err(|error| error.with_context(format!("aligning two snapshots at {point}")))
}

/// A row committed behind the point proves, once it arrives, that all before it did.
async fn heartbeat(config: &AlignedConfig) -> Result<()> {
    let mut session = Session::connect(&config.from, "changeover verify").await?;
    let migration = quote_literal(config.migration.as_str());
    session
        .execute(&format!(
            "INSERT INTO changeover.signal (migration, kind, epoch, nonce) \
             VALUES ({migration}, 'heartbeat', 0, 0) ON CONFLICT (migration, kind) \
             DO UPDATE SET nonce = excluded.nonce, at = pg_catalog.clock_timestamp()"
        ))
        .await?;
    session.close().await;
    Ok(())
}
