//! What a saved plan is bound to: who answers, the settings that decide something, the catalogue.

use std::collections::BTreeMap;
use std::path::Path;

use changeover_plan::Plan;
use changeover_plan::saved::{Facts, hidden};
use changeover_postgres::catalog::Catalog;
use changeover_postgres::digest::CatalogDigest;
use changeover_postgres::error::Error;
use changeover_postgres::preflight::SideFacts;
use changeover_postgres::schema::Tools;
use changeover_postgres::session::Session;
use changeover_types::Side;

use crate::Report;
use crate::databases::Databases;
use crate::declared;

/// Facts of the catalogue that change without anybody changing the schema.
const CHANGING: [&str; 2] = ["storage", "published"];
/// What a fact says that our role may not read: then it cannot be seen to change, which is said
/// where the facts are listed.
const UNREADABLE: &str = "not readable for our role";

/// Reads what a plan relies on. Changes nothing.
///
/// # Errors
/// If a database cannot be reached or does not tell: a fact that cannot be had is not bound to.
pub async fn facts(plan: &Plan, plan_path: &Path) -> Result<Facts, Report> {
    let mut facts = Facts::default();
    let Some(databases) = Databases::of_plan(plan, plan_path)? else { return Ok(facts) };
    for side in [Side::Source, Side::Target] {
        of_side(plan, &databases, side, &mut facts).await.map_err(|e| {
            Report::new("CO0170", format!("what the plan relies on cannot be read on the {side}"))
                .because(&e)
                .hint(format!("it was tried as {}", databases.of(side).redacted()))
        })?;
    }
    Ok(facts)
}

async fn of_side(
    plan: &Plan,
    databases: &Databases,
    side: Side,
    facts: &mut Facts,
) -> Result<(), Error> {
    let mut session = Session::connect(databases.of(side), "changeover plan").await?;
    let selection = declared::selection(plan)?;
    let read = SideFacts::read(&mut session, &selection).await;
    let missing = |what: &str, why: &str| Error::local(side, format!("{what}: {why}"));
    let server = read.server.map_err(|why| missing("who answers", &why))?;
    let settings = read.settings.map_err(|why| missing("the settings", &why))?;
    let role = read.role.map_err(|why| missing("our role", &why))?;
    let catalog = Catalog::read(&mut session, &selection).await?;
    let digest = CatalogDigest::read(&mut session, &selection).await?;
    let mut add = |what: &str, is: String| facts.facts.insert(format!("{side} {what}"), is);
    add("server version", server.version.to_string());
    add("server identity", server.system_id.unwrap_or_else(|| UNREADABLE.to_owned()));
    let timeline = server.timeline.map(|it| it.to_string());
    add("server timeline", timeline.unwrap_or_else(|| UNREADABLE.to_owned()));
    add("server is a standby", server.in_recovery.to_string());
    add("database", server.database);
    add("encoding", server.encoding);
    add("role", role.name);
    for (name, value) in settings {
        add(&format!("setting {name}"), value);
    }
    for extension in &catalog.extensions {
        add(&format!("extension {}", extension.name), extension.version.clone());
    }
    for (key, value) in digest.facts.iter().filter(|(key, _)| !CHANGING.contains(&&*key.kind)) {
        let item = if key.item.is_empty() { String::new() } else { format!(" {}", key.item) };
        add(&format!("{} {}{item}", key.relation, key.kind), hidden(value));
    }
    if side == Side::Source {
        let sizes = catalog.leaves().map(|table| (table.name.to_string(), table.bytes));
        facts.sizes = sizes.collect::<BTreeMap<_, _>>();
    }
    Ok(())
}

/// Programs and versions that take part, as far as they can be seen.
pub async fn tools(facts: &Facts) -> Vec<(String, String)> {
    let version = |side: Side| {
        let number: u32 = facts.facts.get(&format!("{side} server version"))?.parse().ok()?;
        Some((
            format!("PostgreSQL of the {side}"),
            format!("{}.{}", number / 10_000, number % 10_000),
        ))
    };
    let mut tools: Vec<_> = [Side::Source, Side::Target].into_iter().filter_map(version).collect();
    if tools.is_empty() {
        return tools;
    }
    let found = match Tools::find(0).await {
        Ok(found) => format!("{} ({})", found.major, found.dump.display()),
        Err(e) => crate::report::chain(&e),
    };
    tools.push(("pg_dump and pg_restore".to_owned(), found));
    tools
}

/// Who runs this program, as the system knows them.
#[must_use]
pub fn operator() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

/// A name that nobody else has drawn.
#[must_use]
pub fn fresh_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
