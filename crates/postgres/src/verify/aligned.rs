//! Two snapshots that hold the same transactions, while both sides live.

use std::time::Duration;

use changeover_relay::Stream;
use changeover_types::{MigrationName, Side, TableName, quote_literal};
use tokio::time::timeout;

use super::{Pair, TableReport, VerifyReport, compare};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::follow::FollowHandle;
use crate::replication::{SlotOptions, create_slot};
use crate::session::Session;
use crate::snapshot::in_the_way;

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
/// slot): nothing is changed, try again. [`InTheWay`](crate::error::ErrorKind::InTheWay) if somebody
/// wanted a table for itself and waited for us. Otherwise as [`compare`].
pub async fn aligned(
    config: &AlignedConfig,
    follower: &FollowHandle,
    tables: &[TableName],
    progress: impl FnMut(&TableReport),
) -> Result<VerifyReport> {
    let mut at = At::Connecting;
    // The hold ends with the future that has it, however that ends.
    let snapshots = timeout(config.hold_budget, snapshots(config, follower, &mut at)).await;
    let (mut from, mut into) = match snapshots {
        Ok(snapshots) => snapshots?,
        Err(_) => return Err(too_slow(config, follower, at)),
    };
    let pair = match config.from.side {
        Side::Source => Pair { source: &mut from, target: &mut into },
        Side::Target => Pair { source: &mut into, target: &mut from },
    };
    let cancel = [pair.source.canceller(), pair.target.canceller()];
    let report = tokio::select! {
        report = compare(pair, tables, progress) => report?,
        error = async { tokio::select! {
            error = in_the_way(&config.from) => error,
            error = in_the_way(&config.into) => error,
        } } => {
            // A server at work would notice only later that its client is gone.
            for canceller in cancel {
                canceller.cancel().await.ok();
            }
            return Err(error);
        }
    };
    from.close().await;
    into.close().await;
    Ok(report)
}

/// What the alignment is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Connecting,
    Boundary,
    Slot,
    Point,
}

/// Why the hold did not fit its budget, as far as it can be known.
fn too_slow(config: &AlignedConfig, follower: &FollowHandle, at: At) -> Error {
    let (from, into) = (config.from.side, config.into.side);
    let (side, why) = match (at, follower.silence()) {
        (At::Connecting, _) => (from, "no session in time".to_owned()),
        (At::Boundary | At::Point, Some(silent)) => (
            from,
            format!(
                "the relay has heard nothing from the {from} for {} s: its connection is dead, and \
                 is made anew by itself",
                silent.as_secs()
            ),
        ),
        (At::Boundary, None) => {
            (into, format!("the {into} does not get on with what it is given to apply"))
        }
        (At::Point, None) => {
            (into, format!("what was committed before did not arrive on the {into} in time"))
        }
        (At::Slot, _) => {
            (from, "a transaction that runs for long on this side delays it".to_owned())
        }
    };
    let budget = config.hold_budget;
    Error::timeout(side, format!("aligning two snapshots: not within {budget:?}; {why}. Try again"))
}

async fn snapshots(
    config: &AlignedConfig,
    follower: &FollowHandle,
    at: &mut At,
) -> Result<(Session, Session)> {
    let budget = config.hold_budget;
    let mut slots = Session::connect_replication(&config.from, "changeover verify").await?;
    let mut from = Session::connect(&config.from, "changeover verify").await?;
    let mut into = Session::connect(&config.into, "changeover verify").await?;
    *at = At::Boundary;
    let _paused = follower.pause(budget).await?;
    *at = At::Slot;
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
    *at = At::Point;
    heartbeat(config).await?;
    let point = slot.consistent_point;
    let _held = follower
        .hold_before(point, budget)
        .await
        .map_err(|error| error.with_context(format!("aligning two snapshots at {point}")))?;
    into.execute(&format!("{READ_ONLY}; SELECT 1")).await?;
    Ok((from, into))
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
