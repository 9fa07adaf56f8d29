//! Who is connected and what is open. No query's text leaves the server.

use std::collections::BTreeSet;

use changeover_assess::Fact;
use changeover_assess::inventory::{Activity, Client, OpenTransaction};
use serde::Deserialize;

use super::ask::{Answer, Asker};

/// Older than this is long, whatever it does.
const LONG_S: u64 = 600;

/// A transaction that is open now.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Open {
    pid: u32,
    user: String,
    application: String,
    begun_us: i64,
    age_s: u64,
    idle: bool,
}

#[derive(Deserialize)]
struct Now {
    hidden: u64,
    clients: Vec<Client>,
    open: Vec<Open>,
    advisory_locks: u64,
    listeners: u64,
}

const OPEN: &str = "(SELECT coalesce(json_agg(json_build_object('pid', a.pid, \
    'user', coalesce(a.usename::text, 'unknown'), 'application', a.application_name, \
    'begun_us', (extract(epoch FROM a.xact_start)*1000000)::bigint, \
    'age_s', greatest(0, extract(epoch FROM clock_timestamp()-a.xact_start))::bigint, \
    'idle', a.state IN ('idle in transaction','idle in transaction (aborted)')) \
    ORDER BY a.xact_start), '[]') FROM others a WHERE a.xact_start IS NOT NULL)";

/// Clients of this database that are not ours.
const OTHERS: &str = "others AS MATERIALIZED (SELECT a.*, r.rolsuper \
  FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_roles r ON r.oid=a.usesysid \
  WHERE a.datname=pg_catalog.current_database() AND a.backend_type='client backend' \
    AND a.pid<>pg_catalog.pg_backend_pid() AND a.application_name NOT LIKE 'changeover%')";

/// What is open now, to be compared with what is open later.
pub(super) async fn open(ask: &mut Asker) -> Answer<Vec<Open>> {
    ask.json(&format!("WITH {OTHERS} SELECT {OPEN}::text")).await
}

pub(super) async fn activity(ask: &mut Asker, before: &Answer<Vec<Open>>) -> Fact<Activity> {
    let answer = now(ask).await.and_then(|now| of(now, before));
    ask.fact("pg_stat_activity and pg_locks", answer)
}

async fn now(ask: &mut Asker) -> Answer<Now> {
    // A role that may not see others' sessions is shown rows without a state: that is not "idle".
    ask.json(&format!(
        "WITH {OTHERS} SELECT json_build_object(\
           'hidden', (SELECT count(*) FROM pg_catalog.pg_stat_activity a \
             WHERE a.datname=pg_catalog.current_database() \
               AND a.query='<insufficient privilege>' AND a.backend_start IS NULL), \
           'clients', (SELECT coalesce(json_agg(c ORDER BY c.application, c.user, c.address), '[]') \
             FROM (SELECT application_name AS application, usename::text AS user, \
                 coalesce(bool_or(rolsuper), false) AS superuser, \
                 host(client_addr) AS address, count(*) AS sessions, \
                 max(greatest(0, extract(epoch FROM clock_timestamp()-backend_start)))::bigint \
                   AS oldest_s \
               FROM others WHERE usename IS NOT NULL GROUP BY 1, 2, 4) c), \
           'open', {OPEN}, \
           'advisory_locks', (SELECT count(*) FROM pg_catalog.pg_locks l JOIN others a \
             ON a.pid=l.pid WHERE l.locktype='advisory'), \
           'listeners', (SELECT count(*) FROM others a \
             WHERE a.query ~* '^\\s*listen\\s'))::text"
    ))
    .await
}

fn of(now: Now, before: &Answer<Vec<Open>>) -> Answer<Activity> {
    if now.hidden > 0 {
        return Err(format!(
            "our role may not see {} other sessions (GRANT pg_read_all_stats to it)",
            now.hidden
        ));
    }
    let before = before.as_ref().map_err(String::clone)?;
    // The same backend in the same transaction, idle both times.
    let idle_before: BTreeSet<(u32, i64)> =
        before.iter().filter(|it| it.idle).map(|it| (it.pid, it.begun_us)).collect();
    let lasting = |it: &Open| it.idle && idle_before.contains(&(it.pid, it.begun_us));
    let open = now.open.into_iter().filter(|it| it.age_s >= LONG_S || lasting(it));
    let open = open.map(|it| OpenTransaction {
        pid: it.pid,
        user: it.user,
        application: it.application,
        age_s: it.age_s,
        idle: it.idle,
    });
    Ok(Activity {
        clients: now.clients,
        open: open.collect(),
        advisory_locks: now.advisory_locks,
        listeners: now.listeners,
    })
}
