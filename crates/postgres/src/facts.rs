//! Facts for an assessment: everything that can be read of a database without changing it.
//!
//! One read-only session with a deadline on each statement. What cannot be read is a fact that
//! says why; nothing here fails as a whole. The catalogue and the preflight's own reading are
//! used as they are; what is here is only what they do not know.

mod activity;
mod ask;
mod disk;
mod inside;
mod rate;
mod relations;
mod replication;
mod roles;
mod schema_change;
mod server;

use std::time::Duration;

use changeover_assess::Fact;
use changeover_assess::inventory::Database;
use tokio::time::Instant;

use crate::catalog::{Catalog, Selection};
use crate::config::ConnectConfig;
use crate::error::Error;
use crate::measure;
use crate::preflight::SideFacts;
use crate::session::Session;

use ask::Asker;

/// What the gathering is told.
#[derive(Clone, Debug)]
pub struct Gathering {
    /// What moves.
    pub selection: Selection,
    /// Time between the two samples of the change rate.
    pub sample: Duration,
    /// The longest that one statement may take.
    pub statement: Duration,
}

/// How many statements' time the reading of a catalogue may take together.
const READING: u32 = 20;

/// Reads everything. A database that cannot be reached gives a fact of that reason everywhere.
pub async fn gather(config: &ConnectConfig, gathering: &Gathering) -> Database {
    match open(config, gathering).await {
        Ok(asker) => read(asker, gathering).await,
        Err(error) => unreachable(&config.redacted(), &ask::words(&error)),
    }
}

async fn open(config: &ConnectConfig, gathering: &Gathering) -> Result<Asker, Error> {
    let mut session = Session::connect(config, "changeover assess").await?;
    let ms = gathering.statement.as_millis();
    session
        .execute(&format!(
            "SET statement_timeout = {ms}; SET lock_timeout = {ms}; \
             SET default_transaction_read_only = on"
        ))
        .await?;
    Ok(Asker::new(session, gathering.statement))
}

async fn read(mut ask: Asker, gathering: &Gathering) -> Database {
    let selection = &gathering.selection;
    let clock = server::clock(&mut ask).await;
    let before = rate::sample(&mut ask, selection).await;
    let begun = Instant::now();
    let open_before = activity::open(&mut ask).await;

    let limit = gathering.statement * READING;
    let side = ask.within(limit, async |session| Ok(SideFacts::read(session, selection).await));
    let side = side.await;
    let catalog = ask.within(limit, async |session| Catalog::read(session, selection).await).await;
    let read_rate = read_rate(&ask, &catalog, gathering).await;
    let relations = relations::relations(&mut ask, selection, &catalog).await;
    let sequences = relations::sequences(&mut ask, selection, &catalog).await;
    let code = inside::code(&mut ask, selection, &catalog).await;
    let outside = inside::outside(&mut ask).await;
    let roles = roles::roles(&mut ask, &catalog).await;
    let privileges = roles::privileges(&mut ask, selection).await;
    let replication = replication::replication(&mut ask, &selection.migration).await;
    let trouble = replication::trouble(&mut ask, selection).await;
    let schema_change = schema_change::latest(&mut ask).await;
    let disk = disk::disk(&mut ask).await;
    let locale = server::locale(&mut ask).await;
    let zone = server::time_zone(&mut ask).await;

    tokio::time::sleep(gathering.sample.saturating_sub(begun.elapsed())).await;
    let activity = activity::activity(&mut ask, &open_before).await;
    let after = rate::sample(&mut ask, selection).await;
    Database {
        url: ask.config().redacted(),
        server: ask.fact("its identity", server::identity(&side)),
        settings: ask.fact("pg_settings", server::settings(&side, zone)),
        role: ask.fact("pg_roles", server::role(&side)),
        prepared: ask.fact("pg_prepared_xacts", ask::flat(&side, |side| &side.prepared)),
        available: ask
            .fact("pg_available_extensions", ask::flat(&side, |side| &side.available_extensions)),
        extensions: ask.fact("pg_extension", relations::extensions(&catalog)),
        rate: ask.fact(
            "two samples of the log and of pg_stat_user_tables",
            rate::between(before, after),
        ),
        read_bytes_s: ask.fact("a sample of the largest tables", read_rate),
        clock_skew_ms: ask.fact("clock_timestamp()", clock.clone().map(|clock| clock.skew_ms)),
        round_trip_us: ask.fact("a query's round trip", clock.map(|clock| clock.round_trip_us)),
        locale,
        relations,
        sequences,
        code,
        roles,
        privileges,
        activity,
        replication,
        outside,
        disk,
        trouble,
        schema_change,
    }
}

/// How fast the largest tables can be read from here: the copy is no faster. Asked in a session of
/// its own, which ends with the sample.
async fn read_rate(
    ask: &Asker,
    catalog: &ask::Answer<Catalog>,
    gathering: &Gathering,
) -> ask::Answer<u64> {
    let catalog = catalog.as_ref().map_err(String::clone)?;
    let each = (gathering.sample / 3).min(Duration::from_secs(1));
    let reading = measure::read(ask.config(), catalog, each);
    let limit = gathering.statement + 3 * each;
    let sample = tokio::time::timeout(limit, reading).await;
    let sample = sample.map_err(|_| format!("no sample within {} s", limit.as_secs()))?;
    let rate = sample.map_err(|e| ask::words(&e))?.bytes_per_s();
    rate.ok_or_else(|| "its tables are too small to say".to_owned())
}

/// A database of which nothing can be known, and why. `place` is where it should be.
#[must_use]
pub fn unreachable(place: &str, why: &str) -> Database {
    fn because<T>(why: &str, place: &str) -> Fact<T> {
        Fact::unknown(why, place, ask::now())
    }
    Database {
        url: place.to_owned(),
        server: because(why, place),
        settings: because(why, place),
        role: because(why, place),
        locale: because(why, place),
        relations: because(why, place),
        sequences: because(why, place),
        extensions: because(why, place),
        available: because(why, place),
        code: because(why, place),
        roles: because(why, place),
        privileges: because(why, place),
        activity: because(why, place),
        prepared: because(why, place),
        replication: because(why, place),
        outside: because(why, place),
        disk: because(why, place),
        rate: because(why, place),
        read_bytes_s: because(why, place),
        trouble: because(why, place),
        schema_change: because(why, place),
        clock_skew_ms: because(why, place),
        round_trip_us: because(why, place),
    }
}
