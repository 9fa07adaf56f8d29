//! How much log our slots make the servers keep: a full disk stops the service itself.

use changeover_postgres::config::ConnectConfig;
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::session::Session;
use changeover_run::Reading;
use changeover_types::Side;

use crate::databases::Databases;
use crate::report::chain;

/// The larger of both sides' figures.
pub(super) async fn look(databases: Option<&Databases>, name: &str) -> Reading {
    let Some(databases) = databases else {
        return Reading::NoData { why: "the plan has no databases".to_owned() };
    };
    let sides = tokio::try_join!(
        retained(databases.of(Side::Source), name),
        retained(databases.of(Side::Target), name),
    );
    match sides {
        Ok((None, None)) => Reading::NoData { why: "neither side has a slot of ours".to_owned() },
        Ok((source, target)) => {
            let value = source.unwrap_or_default().max(target.unwrap_or_default());
            Reading::Figure { value, source: None }
        }
        Err(e) => Reading::NoData { why: chain(&e) },
    }
}

/// Bytes that our slots keep on this side; without end if one was lost, `None` without a slot.
async fn retained(config: &ConnectConfig, name: &str) -> PgResult<Option<f64>> {
    let mut session = Session::connect(config, "changeover guard").await?;
    let rows = session
        .query(&format!(
            "SELECT max(CASE WHEN restart_lsn IS NULL THEN 'infinity'::float8 \
             ELSE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn) END) \
             FROM pg_catalog.pg_replication_slots \
             WHERE slot_name IN ('{name}_forward', '{name}_reverse')"
        ))
        .await?;
    session.close().await;
    let text = rows.first().and_then(|row| row.get(0));
    Ok(text.map(|text| match text {
        "Infinity" => f64::INFINITY,
        text => text.parse().unwrap_or(f64::NAN),
    }))
}
