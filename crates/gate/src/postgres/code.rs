//! Custom settings (`app.tenant`) that the database's own code asks for or sets. Worth asking every
//! session for before it moves, since the server lists such settings nowhere.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use changeover_types::Side;
use tokio::sync::Mutex;

use super::config::PostgresGateConfig;
use super::own::{rows, text};
use super::server::ServerFault;

/// In functions (SQL bodies included), policies, defaults, checks, views, rules, and conditions of
/// triggers, whatever asks for a custom setting or sets one.
const SETTINGS: &str = "select distinct m[1] from ( \
        select pg_catalog.pg_get_functiondef(p.oid) from pg_catalog.pg_proc p \
          join pg_catalog.pg_language l on l.oid = p.prolang \
          where p.oid >= 16384 and p.prokind in ('f', 'p') and l.lanname not in ('c', 'internal') \
        union all select pg_catalog.pg_get_expr(polqual, polrelid) from pg_catalog.pg_policy \
        union all select pg_catalog.pg_get_expr(polwithcheck, polrelid) from pg_catalog.pg_policy \
        union all select pg_catalog.pg_get_expr(adbin, adrelid) from pg_catalog.pg_attrdef \
        union all select pg_catalog.pg_get_constraintdef(oid) from pg_catalog.pg_constraint \
          where oid >= 16384 and contype = 'c' \
        union all select typdefault from pg_catalog.pg_type where oid >= 16384 \
        union all select pg_catalog.pg_get_ruledef(oid) from pg_catalog.pg_rewrite \
          where oid >= 16384 \
        union all select pg_catalog.pg_get_triggerdef(oid) from pg_catalog.pg_trigger \
          where not tgisinternal and tgqual is not null \
    ) as code(text), pg_catalog.regexp_matches(text, \
        '(?:(?:current_setting|set_config)\\s*\\(\\s*''|\\mset\\s+(?:session\\s+|local\\s+)?)\
        ([A-Za-z_]\\w*(?:\\.\\w+)+)', 'gi') m";

/// What was read longer ago than this is read again.
const FRESH: Duration = Duration::from_secs(60);

/// The settings that a side's code names, as they were read last. Who finds them too old reads them
/// while the others wait.
#[derive(Debug, Default)]
pub(super) struct Code(Mutex<Option<(Instant, Arc<BTreeSet<String>>)>>);

/// The settings that `side`'s code names, read `since` then; or a short time ago, if it is `None`.
///
/// # Errors
/// If the server cannot be asked.
pub(super) async fn settings(
    config: &PostgresGateConfig,
    side: Side,
    since: Option<Instant>,
) -> Result<Arc<BTreeSet<String>>, ServerFault> {
    let mut known = config.registry.code(side).0.lock().await;
    let holds = |at: Instant| since.map_or(at.elapsed() < FRESH, |since| at >= since);
    if let Some((_, settings)) = known.as_ref().filter(|(at, _)| holds(*at)) {
        return Ok(Arc::clone(settings));
    }
    let at = Instant::now();
    let found = rows(config, side, SETTINGS).await?;
    let found: BTreeSet<String> =
        found.iter().filter_map(|row| text(row, 0)).map(str::to_owned).collect();
    let found = Arc::new(found);
    *known = Some((at, Arc::clone(&found)));
    Ok(found)
}
