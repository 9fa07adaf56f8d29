//! A relay that has stopped for good: what to do about it, where the server can say so.

use changeover_postgres::config::ConnectConfig;
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::objects::slot_on;
use changeover_postgres::session::Session;
use changeover_relay::Stream;
use changeover_run::Next;
use changeover_types::{MigrationName, Side, quote_literal};

/// What the sending side says of our slot.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    /// It keeps nothing any more: `wal_status` is `lost`.
    lost: bool,
    /// The server's bound on what slots keep.
    bound: String,
}

/// More words for the reason, and the command that helps.
pub(super) async fn remedy(
    config: &ConnectConfig,
    migration: &MigrationName,
    stream: Stream,
) -> (String, Next) {
    match look(config, migration).await {
        Ok(slot) => words(stream, slot.as_ref()),
        // The server may be gone: then it is what stopped the relay.
        Err(_) => (String::new(), Next::Apply),
    }
}

async fn look(config: &ConnectConfig, migration: &MigrationName) -> PgResult<Option<Slot>> {
    let mut session = Session::connect(config, "changeover relay").await?;
    let rows = session
        .query(&format!(
            // Older servers have neither the column nor the setting.
            "SELECT coalesce(pg_catalog.to_jsonb(s)->>'wal_status', '') = 'lost', \
             coalesce(pg_catalog.current_setting('max_slot_wal_keep_size', true), '') \
             FROM pg_catalog.pg_replication_slots s WHERE slot_name = {}",
            quote_literal(&slot_on(migration, config.side))
        ))
        .await?;
    session.close().await;
    Ok(rows.first().map(|row| Slot {
        lost: row.get(0) == Some("t"),
        bound: row.get(1).unwrap_or_default().to_owned(),
    }))
}

fn words(stream: Stream, slot: Option<&Slot>) -> (String, Next) {
    let from = stream.from();
    let gone = match slot {
        Some(Slot { lost: false, .. }) => return (String::new(), Next::Apply),
        Some(Slot { bound, .. }) => format!(
            "the {from} has given our slot up (max_slot_wal_keep_size = {bound}), and with it what \
             was written since: raise the setting"
        ),
        None => format!("our slot on the {from} was dropped, and with it what was written since"),
    };
    match from {
        Side::Source => (
            format!("; {gone}; the copy has to begin anew: `changeover abort`, then apply again"),
            Next::Abort,
        ),
        Side::Target => (
            format!(
                "; {gone}; the source cannot follow any more, so that there is no way back: stay on \
                 the target and end with `changeover finish`"
            ),
            Next::Finish,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_gone_is_named_with_the_way_on() {
        let slot = |lost| Slot { lost, bound: "32MB".into() };
        assert_eq!(words(Stream::Forward, Some(&slot(false))), (String::new(), Next::Apply));
        let (why, next) = words(Stream::Forward, Some(&slot(true)));
        assert!(why.contains("the source has given our slot up (max_slot_wal_keep_size = 32MB)"));
        assert_eq!(next, Next::Abort);
        let (why, next) = words(Stream::Reverse, None);
        assert!(why.contains("our slot on the target was dropped"), "{why}");
        assert_eq!(next, Next::Finish);
    }
}
