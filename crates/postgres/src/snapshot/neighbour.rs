//! Never in the application's way for longer than a moment.
//!
//! Who wants ACCESS EXCLUSIVE (a TRUNCATE, most ALTER TABLEs, VACUUM FULL) on a table that we hold in
//! ACCESS SHARE waits for us, *and every query on that table waits behind them*. When one of our own
//! sessions comes to wait there as well, none of the three ever goes on: the server sees no
//! deadlock. So whatever holds tables is raced with [`in_the_way`], and lets go.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use changeover_types::TableName;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::catalog::json;
use crate::config::ConnectConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::objects::regclasses;
use crate::preflight::OpenTransaction;
use crate::session::Session;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(150);

/// How long somebody may wait behind us.
const MOMENT: Duration = Duration::from_millis(500);

/// What is told of a transaction.
const WHO: &str = "json_build_object('pid', a.pid, 'user', a.usename, \
     'application', a.application_name, 'client', a.client_addr::text, 'state', a.state, \
     'age_s', greatest(0, extract(epoch FROM clock_timestamp()-a.xact_start))::bigint, \
     'writes', a.backend_xid IS NOT NULL)";

/// Ends when somebody has waited for ACCESS EXCLUSIVE behind a session of ours for a moment, with the
/// error that names them. To be raced with what holds the tables, which is then to be dropped: a
/// session that is dropped lets go of its locks at once.
pub async fn in_the_way(source: &ConnectConfig) -> Error {
    let mut since = BTreeMap::new();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // A server that takes no more sessions is looked at again.
        let outcome: Result<Infallible> = async {
            let mut session = Session::connect(source, "changeover watch").await?;
            loop {
                tick.tick().await;
                let waiting = behind_us(&mut session).await?;
                since.retain(|pid, _| waiting.iter().any(|it| it.pid == *pid));
                for it in &waiting {
                    let first: &mut Instant = since.entry(it.pid).or_insert_with(Instant::now);
                    if first.elapsed() >= MOMENT {
                        return Err(way_given(source, &waiting));
                    }
                }
            }
        }
        .await;
        match outcome {
            Err(e) if e.kind() == ErrorKind::InTheWay => return e,
            Err(_) => drop(tick.tick().await),
        }
    }
}

fn way_given(source: &ConnectConfig, waiting: &[OpenTransaction]) -> Error {
    let who: Vec<String> = waiting.iter().map(OpenTransaction::who).collect();
    let text = format!(
        "somebody wants a moved table for itself, and the application's queries wait behind them: {}",
        who.join("; ")
    );
    Error::new(ErrorKind::InTheWay, source.side, text)
}

/// Who waits for ACCESS EXCLUSIVE on a relation, and a session of ours is why.
async fn behind_us(session: &mut Session) -> Result<Vec<OpenTransaction>> {
    json(
        session,
        &format!(
            "SELECT coalesce(json_agg({WHO} ORDER BY a.pid),'[]')::text \
             FROM pg_catalog.pg_stat_activity a WHERE a.wait_event_type = 'Lock' \
             AND a.application_name NOT LIKE 'changeover%' \
             AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND NOT l.granted \
               AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock') \
             AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity o \
               WHERE o.pid = ANY (pg_catalog.pg_blocking_pids(a.pid)) \
               AND o.application_name LIKE 'changeover%')"
        ),
    )
    .await
}

/// Who has or waits for ACCESS EXCLUSIVE on one of these tables.
///
/// # Errors
/// If the query fails.
pub async fn rewriters(
    control: &mut Session,
    tables: &[TableName],
) -> Result<Vec<OpenTransaction>> {
    json(
        control,
        &format!(
            "SELECT coalesce(json_agg({WHO} ORDER BY a.xact_start),'[]')::text \
             FROM pg_catalog.pg_stat_activity a WHERE a.pid<>pg_catalog.pg_backend_pid() \
             AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid=a.pid \
               AND l.locktype='relation' AND l.mode='AccessExclusiveLock' \
               AND l.database=(SELECT oid FROM pg_catalog.pg_database \
                 WHERE datname=pg_catalog.current_database()) \
               AND l.relation IN (SELECT pg_catalog.to_regclass(u.name)::oid \
                 FROM unnest({}) AS u(name)))",
            regclasses(tables)
        ),
    )
    .await
}
