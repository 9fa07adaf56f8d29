//! Who answers, how it is set, how it sorts, and what time it has.

use std::collections::BTreeMap;

use changeover_assess::Fact;
use changeover_assess::inventory::{Locale, Role, Server};
use tokio::time::Instant;

use super::ask::{Answer, Asker, flat, now};
use crate::preflight::SideFacts;

/// The server's clock against ours.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) skew_ms: i64,
    pub(super) round_trip_us: u64,
}

/// Asks five times and takes the quickest answer. The server read its clock somewhere within the
/// round trip, so the skew is the least that explains what it said.
pub(super) async fn clock(ask: &mut Asker) -> Answer<Clock> {
    let sql = "SELECT (extract(epoch FROM pg_catalog.clock_timestamp())*1000)::bigint::text";
    let mut best: Option<Clock> = None;
    for _ in 0..5 {
        let (begun, before) = (Instant::now(), now().0);
        let theirs: i64 = ask.json(sql).await?;
        let round_trip = begun.elapsed();
        let took_ms = i64::try_from(round_trip.as_millis()).unwrap_or(i64::MAX);
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let nearest = theirs.clamp(before, before.saturating_add(took_ms));
        let round_trip_us = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        if best.as_ref().is_none_or(|best| round_trip_us < best.round_trip_us) {
            best = Some(Clock { skew_ms: theirs.saturating_sub(nearest), round_trip_us });
        }
    }
    best.ok_or_else(|| "it was not asked".to_owned())
}

pub(super) fn identity(side: &Answer<SideFacts>) -> Answer<Server> {
    let server = flat(side, |side| &side.server)?;
    Ok(Server {
        major: server.major(),
        version: server.version,
        system_id: server.system_id,
        in_recovery: server.in_recovery,
        database: server.database,
        encoding: server.encoding,
    })
}

/// The settings that our sessions see, and the time zone that others get.
pub(super) fn settings(
    side: &Answer<SideFacts>,
    zone: Answer<Option<String>>,
) -> Answer<BTreeMap<String, String>> {
    let mut settings = flat(side, |side| &side.settings)?;
    if let Ok(Some(zone)) = zone {
        settings.insert("TimeZone".to_owned(), zone);
    }
    Ok(settings)
}

pub(super) fn role(side: &Answer<SideFacts>) -> Answer<Role> {
    let role = flat(side, |side| &side.role)?;
    let replica_role = flat(side, |side| &side.replica_role).is_ok();
    let (name, superuser, replication) = (role.name, role.superuser, role.replication);
    Ok(Role { name, superuser, replication, replica_role })
}

/// Our own sessions have a time zone of ours, so that of others is read where it is set.
pub(super) async fn time_zone(ask: &mut Asker) -> Answer<Option<String>> {
    let of_database: Option<String> = ask
        .json(
            "SELECT pg_catalog.to_json((SELECT substr(c.setting, strpos(c.setting,'=')+1) \
               FROM pg_catalog.pg_db_role_setting s \
               CROSS JOIN LATERAL unnest(s.setconfig) c(setting) \
               WHERE s.setrole=0 AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database \
                   WHERE datname=pg_catalog.current_database())) \
                 AND lower(split_part(c.setting,'=',1))='timezone' \
               ORDER BY s.setdatabase DESC LIMIT 1))::text",
        )
        .await?;
    if of_database.is_some() {
        return Ok(of_database);
    }
    ask.json(
        "SELECT pg_catalog.to_json((SELECT setting FROM pg_catalog.pg_file_settings \
           WHERE lower(name)='timezone' AND applied ORDER BY seqno DESC LIMIT 1))::text",
    )
    .await
}

pub(super) async fn locale(ask: &mut Asker) -> Fact<Locale> {
    // Both versions came with 15; the locale's column changed its name twice, so the row is JSON.
    let version = match ask.major() {
        15.. => "pg_catalog.pg_database_collation_actual_version(d.oid)",
        _ => "NULL",
    };
    let sql = format!(
        "SELECT json_build_object('provider', to_jsonb(d)->>'datlocprovider', \
           'collate', d.datcollate, 'ctype', d.datctype, \
           'icu', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'), \
           'version', {version}, 'recorded', to_jsonb(d)->>'datcollversion')::text \
         FROM pg_catalog.pg_database d WHERE d.datname=pg_catalog.current_database()"
    );
    ask.read("pg_database", &sql).await
}
