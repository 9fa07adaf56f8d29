//! Who has authority, asked of the databases themselves: what a gate does that does not know.

use std::sync::Arc;
use std::time::Duration;

use changeover_routing::{HoldView, Reading, Readings};
use changeover_types::{Epoch, MigrationName, Side, quote_literal};

use super::config::PostgresGateConfig;
use super::own::{rows, text};
use super::server::ServerFault;
use crate::state::Shared;

/// Between two rounds of asking, while neither side proves itself.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Asks both servers, side by side, for the newest `changeover.epoch` row of the migration.
pub async fn read_authority(config: &PostgresGateConfig, migration: &MigrationName) -> Readings {
    let (source, target) = tokio::join!(
        read_side(config, Side::Source, migration),
        read_side(config, Side::Target, migration),
    );
    Readings { source, target }
}

/// Whenever the gate is unsure, asks both databases until one side proves itself. Never returns;
/// the control thread runs it once, for what is proven is written to disk.
pub async fn keep_authority(config: Arc<PostgresGateConfig>, shared: Arc<Shared>) {
    let mut hold = shared.hold();
    loop {
        while *hold.borrow_and_update() == HoldView::Unsure {
            let readings = read_authority(&config, shared.migration()).await;
            match shared.resolve(readings) {
                Ok(true) => tracing::info!(?readings, "the databases proved who has authority"),
                Ok(false) => {
                    tracing::warn!(?readings, "no side proves that it has authority; clients wait");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(error) => {
                    tracing::error!(%error, "what was proven cannot be kept; clients wait");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
        if hold.changed().await.is_err() {
            return;
        }
    }
}

async fn read_side(config: &PostgresGateConfig, side: Side, migration: &MigrationName) -> Reading {
    ask(config, side, migration).await.unwrap_or_else(|error| {
        tracing::warn!(%side, "cannot ask who has authority: {}", error.for_client());
        Reading::Unreachable
    })
}

async fn ask(
    config: &PostgresGateConfig,
    side: Side,
    migration: &MigrationName,
) -> Result<Reading, ServerFault> {
    let sql = format!(
        "select epoch::text, authority::text from changeover.epoch where migration = {} \
         order by epoch desc limit 1",
        quote_literal(migration.as_str())
    );
    let rows = match rows(config, side, &sql).await {
        Ok(rows) => rows,
        // No such schema or table: the migration never began here, or was cleaned up.
        Err(ServerFault::Said(error)) if matches!(error.sqlstate.as_str(), "3F000" | "42P01") => {
            return Ok(Reading::NoRow);
        }
        Err(fault) => return Err(fault),
    };
    let Some(row) = rows.first() else { return Ok(Reading::NoRow) };
    match text(row, 0).and_then(|epoch| epoch.parse().ok()) {
        Some(epoch) => {
            Ok(Reading::Row { epoch: Epoch(epoch), authority: text(row, 1).and_then(Side::parse) })
        }
        None => Err(ServerFault::Said(super::admit::fatal(
            "XX000",
            "changeover.epoch holds a row that is not understood",
        ))),
    }
}
