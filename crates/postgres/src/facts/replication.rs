//! Slots, standbys, subscriptions; and what is broken already.

use changeover_assess::Fact;
use changeover_assess::inventory::{Replication, Trouble};
use changeover_types::{MigrationName, quote_literal};

use super::ask::Asker;
use crate::catalog::Selection;

pub(super) async fn replication(ask: &mut Asker, migration: &MigrationName) -> Fact<Replication> {
    // On a standby nothing is written, so what was received stands for what was written.
    let position = "CASE WHEN pg_catalog.pg_is_in_recovery() \
        THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END";
    let object = migration.object_name();
    let sql = format!(
        "WITH slots AS (SELECT s.*, to_jsonb(s) AS row FROM pg_catalog.pg_replication_slots s), \
         at AS (SELECT {position} AS lsn) \
         SELECT json_build_object(\
          'own_slots', (SELECT count(*) FROM slots WHERE slot_name IN ({forward},{reverse})), \
          'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, \
              'logical', slot_type='logical', 'active', active, \
              'failover', coalesce((row->>'failover')::boolean, false), \
              'retained_bytes', greatest(0, coalesce(\
                 pg_catalog.pg_wal_lsn_diff((SELECT lsn FROM at), restart_lsn), 0))::bigint, \
              'wal_status', row->>'wal_status') ORDER BY slot_name), '[]') \
            FROM slots WHERE slot_name NOT IN ({forward},{reverse})), \
          'senders', (SELECT count(*) FROM pg_catalog.pg_stat_replication), \
          'replicas', (SELECT coalesce(json_agg(json_build_object(\
              'name', coalesce(nullif(s.application_name,''), 'unnamed'), \
              'state', coalesce(s.state, 'hidden'), \
              'lag_bytes', greatest(0, pg_catalog.pg_wal_lsn_diff((SELECT lsn FROM at), \
                 s.replay_lsn))::bigint) ORDER BY s.application_name), '[]') \
            FROM pg_catalog.pg_stat_replication s WHERE NOT EXISTS (SELECT FROM slots l \
              WHERE l.active_pid=s.pid AND l.slot_type='logical') \
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a \
              WHERE a.pid=s.pid AND a.datid IS NOT NULL)), \
          'subscriptions', (SELECT coalesce(json_agg(subname ORDER BY subname), '[]') \
            FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid=s.subdbid \
            WHERE d.datname=pg_catalog.current_database()), \
          'publications', (SELECT coalesce(json_agg(pubname ORDER BY pubname), '[]') \
            FROM pg_catalog.pg_publication WHERE pubname<>{publication}))::text",
        forward = quote_literal(&format!("{object}_forward")),
        reverse = quote_literal(&format!("{object}_reverse")),
        publication = quote_literal(&object),
    );
    ask.read("pg_replication_slots and pg_stat_replication", &sql).await
}

pub(super) async fn trouble(ask: &mut Asker, selection: &Selection) -> Fact<Trouble> {
    // Counted from 15 on.
    let subscriptions = match ask.major() {
        15.. => {
            "(SELECT coalesce(json_agg(t.subname || ': ' || t.apply_error_count || \
                 ' errors of apply, ' || t.sync_error_count || ' of copying' ORDER BY t.subname), \
                 '[]') FROM pg_catalog.pg_stat_subscription_stats t \
               JOIN pg_catalog.pg_subscription s ON s.oid=t.subid \
               JOIN pg_catalog.pg_database d ON d.oid=s.subdbid \
               WHERE d.datname=pg_catalog.current_database() \
                 AND t.apply_error_count+t.sync_error_count>0)"
        }
        _ => "'[]'::json",
    };
    let sql = format!(
        "WITH {moved} SELECT json_build_object(\
          'checksum_failures', (SELECT coalesce(checksum_failures, 0) \
            FROM pg_catalog.pg_stat_database WHERE datname=pg_catalog.current_database()), \
          'invalid_indexes', (SELECT coalesce(json_agg(m.schema || '.' || c.relname \
              ORDER BY m.schema, c.relname), '[]') FROM pg_catalog.pg_index i \
            JOIN moved m ON m.oid=i.indrelid JOIN pg_catalog.pg_class c ON c.oid=i.indexrelid \
            WHERE NOT i.indisvalid AND c.relkind='i'), \
          'subscription_errors', {subscriptions})::text",
        moved = selection.moved_cte()
    );
    ask.read("pg_stat_database and pg_index", &sql).await
}
