//! Before anything goes back: what stands against it. An automatic rollback needs that nothing
//! does; a person's is told. What cannot be known stands against it, too.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use changeover_cutover as cutover;
use changeover_postgres::barrier;
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::error::{Error, Result as PgResult};
use changeover_postgres::session::Session;
use changeover_run::Input;
use changeover_types::{AttemptId, Side};
use tokio::time::{Instant, sleep, timeout};

use super::{Effects, application};
use crate::http;
use crate::report::chain;

/// How long a look may take when nobody waits for it: a daemon that was just started again has
/// relays to start, too.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a person is kept waiting by it.
const HASTE: Duration = Duration::from_secs(3);

/// An upstream that is well answers within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl Effects {
    pub(super) async fn look_at_way_back(
        &mut self,
        by_itself: bool,
        cutover: &cutover::State,
    ) -> Input {
        let within = if by_itself { PATIENCE } else { HASTE };
        let (upstreams, room, sessions, relay) = tokio::join!(
            self.upstreams_of_source(within.min(ANSWER_WITHIN)),
            self.room_on_source(within, cutover.authority),
            async {
                // The requests go back by themselves even where authority may have to wait.
                if by_itself || cutover.authority == Side::Source {
                    return None;
                }
                self.unmovable_on_target(within).await
            },
            self.relay_to_source(within, cutover),
        );
        let against = upstreams.into_iter().chain(room).chain(sessions).chain(relay).collect();
        Input::WayBack { against }
    }

    /// Every upstream answers, and not with a server's error. All are asked at once.
    async fn upstreams_of_source(&self, within: Duration) -> Vec<String> {
        let Some(source) = &self.plan.source.http else { return Vec::new() };
        let ask = async |upstream: &str| match timeout(within, http::get(upstream, "/")).await {
            Ok(Ok(answer)) if answer.status < 500 => None,
            Ok(Ok(answer)) => Some(format!("{upstream} answers {}", answer.status)),
            Ok(Err(why)) => Some(format!("{upstream}: {why}")),
            Err(_) => Some(format!("{upstream}: no answer within {} s", within.as_secs())),
        };
        let asked = source.upstreams.iter().map(|upstream| ask(upstream));
        let faults: Vec<String> = all(asked).await.into_iter().flatten().collect();
        if faults.is_empty() {
            return faults;
        }
        vec![format!("upstreams of the source are not well: {}", faults.join("; "))]
    }

    /// The source's database takes writes, and has room for the sessions that work on the target.
    async fn room_on_source(&self, within: Duration, authority: Side) -> Option<String> {
        let databases = self.databases.as_ref()?;
        let name = application(&self.plan.name);
        let look = async {
            let room = room(databases.of(Side::Source), &name).await?;
            let coming = match authority {
                Side::Source => 0,
                Side::Target => working(databases.of(Side::Target), &name).await?,
            };
            Ok::<_, Error>((room, coming))
        };
        match timeout(within, look).await {
            Ok(Ok((None, _))) => {
                Some("the source's database is in recovery and takes no writes".to_owned())
            }
            Ok(Ok((Some(room), coming))) if room < coming => Some(format!(
                "the source's database has room for {} more sessions, and {coming} work on the \
                 target: raise max_connections or the database's CONNECTION LIMIT, or end sessions",
                room.max(0)
            )),
            Ok(Ok(_)) => None,
            Ok(Err(e)) => Some(format!(
                "whether the source's database can take it is not known: {}",
                chain(&e)
            )),
            Err(_) => Some(format!(
                "whether the source's database can take it is not known: no answer within {} s",
                within.as_secs()
            )),
        }
    }

    /// What is written on the target reaches the source, and soon: a barrier of now gets there.
    async fn relay_to_source(&self, within: Duration, cutover: &cutover::State) -> Option<String> {
        let databases = self.databases.as_ref()?;
        if cutover.authority == Side::Source {
            return None;
        }
        let begun = Instant::now();
        while !self.relays.is_live(Side::Source) {
            if begun.elapsed() > within {
                return Some("the relay back to the source is not running".to_owned());
            }
            sleep(Duration::from_millis(100)).await;
        }
        let left = within.saturating_sub(begun.elapsed());
        let id = AttemptId { epoch: cutover.authority_epoch, nonce: self.nonce() };
        let travel = async {
            let name = application(&self.plan.name);
            let mut session = Session::connect(databases.of(Side::Target), &name).await?;
            barrier::write(&mut session, &self.plan.name, id.epoch, id.nonce).await?;
            session.close().await;
            self.relays.barrier(Side::Source, id, left).await
        };
        let why = match timeout(left, travel).await {
            Ok(Ok(())) => return None,
            Ok(Err(e)) => chain(&e),
            Err(_) => format!("not within {} s", within.as_secs()),
        };
        let behind = self.relays.handle(Side::Source).ok().map(|it| it.status().lag_bytes);
        let behind = behind.map_or_else(String::new, |bytes| format!(", {bytes} bytes behind"));
        Some(format!("the relay back to the source does not keep up{behind}: {why}"))
    }
}

/// How many more sessions a server and its database take from anybody but a superuser; `None` if
/// it takes no writes. Sessions whose kind we may not see are counted.
async fn room(config: &ConnectConfig, name: &str) -> PgResult<Option<i64>> {
    let mut session = Session::connect(config, name).await?;
    let found = session.query_one(ROOM).await?;
    session.close().await;
    if found.get(0) == Some("t") { Ok(None) } else { found.parse(1).map(Some) }
}

/// How many sessions of others there are in the database.
async fn working(config: &ConnectConfig, name: &str) -> PgResult<i64> {
    let mut session = Session::connect(config, name).await?;
    let found = session.query_one(WORKING).await?;
    session.close().await;
    found.parse(0)
}

const ROOM: &str = "WITH client AS (SELECT datid FROM pg_catalog.pg_stat_activity \
     WHERE usesysid IS NOT NULL AND coalesce(backend_type, 'client backend')='client backend') \
   SELECT pg_catalog.pg_is_in_recovery(), least( \
     current_setting('max_connections')::int8 \
       - current_setting('superuser_reserved_connections')::int8 \
       - coalesce(current_setting('reserved_connections', true), '0')::int8 \
       - (SELECT pg_catalog.count(*) FROM client), \
     CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit \
       - (SELECT pg_catalog.count(*) FROM client c WHERE c.datid=d.oid) END) \
   FROM pg_catalog.pg_database d WHERE d.datname=pg_catalog.current_database()";

const WORKING: &str = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
   WHERE datname=pg_catalog.current_database() AND usesysid IS NOT NULL \
     AND coalesce(backend_type, 'client backend')='client backend' \
     AND application_name NOT LIKE 'changeover%'";

/// Waits for all of them, side by side.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut open: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = open.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in open.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
