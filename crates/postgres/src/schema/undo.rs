//! Removes what a copy restored: for an aborted migration, whose target is to be as it was before.

use std::path::Path;

use super::before::Before;
use super::grants::statements;
use super::{beside, database, toc, tools};
use crate::config::ConnectConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::retire::Left;
use crate::session::Session;
use changeover_types::quote_ident;

/// How long an object may be waited for.
const LOCK_TIMEOUT: &str = "500ms";

/// What a statement says of something that is gone: column, table, object, function, schema.
const GONE: [&str; 5] = ["42703", "42P01", "42704", "42883", "3F000"];

/// Makes the target as it was before [`super::Archive::restore_pre_data`] restored the archive
/// `path`: drops what was created, rows included, then the extensions and schemas that were not
/// there; takes back grants, default privileges, comments and the database's properties. Never with
/// CASCADE, so nothing that somebody else made goes with them: a schema or an extension that still
/// holds or serves such a thing is kept, and given back with the reason. What is gone already is
/// passed over; may be done again.
///
/// # Errors
/// What `pg_restore` said; `Refused` if an object is in use; what depends on an object of ours.
pub async fn drop_restored(target: &ConnectConfig, path: &Path) -> Result<Vec<Left>> {
    let mut session = Session::connect(target, super::APPLICATION).await?;
    let mut left = Vec::new();
    let properties = database::unset_properties(&mut session, &beside(path, "database")).await?;
    left.extend(properties.into_iter().map(|(statement, why)| not_undone(statement, why)));
    let list = beside(path, "drop");
    if !list.exists() || !path.exists() {
        return Ok(left);
    }
    drop_objects(&mut session, target, path, &list).await?;
    if let Some(before) = Before::recall(&beside(path, "before"))? {
        extensions(&mut session, path, &before, &mut left).await?;
        schemas(&mut session, path, &before, &mut left).await?;
        let now = Before::read(&mut session).await?;
        for statement in before.undo(&now) {
            if let Err(e) = session.execute(&statement).await {
                if !session.is_usable() {
                    return Err(e.with_context("taking grants back"));
                }
                left.push(not_undone(statement, super::views::said(&e)));
            }
        }
    }
    session.close().await;
    Ok(left)
}

fn not_undone(statement: String, why: String) -> Left {
    Left { what: format!("what `{statement}` would take back"), why, kept: true }
}

/// Tables, views, types, functions and the like: all or nothing.
async fn drop_objects(
    session: &mut Session,
    target: &ConnectConfig,
    path: &Path,
    list: &Path,
) -> Result<()> {
    let tools = tools::Tools::find(0).await?;
    let mut arguments: Vec<std::ffi::OsString> =
        ["--clean", "--if-exists", "--no-owner", "--no-acl"].map(Into::into).to_vec();
    arguments.push(format!("--use-list={}", list.display()).into());
    arguments.push("--file=-".into());
    arguments.push(path.into());
    let script = tools.run(&tools.restore, &arguments, target).await?;
    let script = String::from_utf8(script)
        .map_err(|_| Error::local(target.side, "the archive holds SQL that is not UTF-8"))?;
    let drops = drops(&script);
    let begin = format!(
        "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL search_path = ''; \
         SET LOCAL client_min_messages = warning"
    );
    // One transaction, and the text as it is: names in it are quoted, and nothing is cut inside one.
    match session.execute(&format!("{begin}; {drops}\nCOMMIT")).await {
        Ok(_) => Ok(()),
        Err(e) if e.sqlstate().is_some_and(|state| GONE.contains(&state)) => {
            session.execute(&format!("ROLLBACK; {begin}")).await?;
            for statement in statements(drops) {
                drop_one(session, &statement).await?;
            }
            session.execute("COMMIT").await.map(drop)
        }
        Err(e) => Err(in_the_way(e)),
    }
}

async fn drop_one(session: &mut Session, statement: &str) -> Result<()> {
    match session.execute(&format!("SAVEPOINT one; {statement}; RELEASE one")).await {
        Ok(_) => Ok(()),
        Err(e) if e.sqlstate().is_some_and(|state| GONE.contains(&state)) => {
            session.execute("ROLLBACK TO one").await.map(drop)
        }
        Err(e) => Err(in_the_way(e)),
    }
}

fn in_the_way(e: Error) -> Error {
    let side = e.side();
    match e.sqlstate() {
        Some("55P03") => {
            let what = "dropping what was copied: an object is in use";
            Error::new(ErrorKind::Refused, side, what).with_source(e)
        }
        Some("2BP01") => needed(&e),
        _ => e.with_context("dropping what was copied"),
    }
}

/// The detail of this error names objects, and no value of a row.
fn needed(e: &Error) -> Error {
    let detail = e.server_error().and_then(|server| server.detail.clone()).unwrap_or_default();
    let detail = detail.lines().collect::<Vec<_>>().join("; ");
    let what = format!(
        "dropping what was copied: something depends on it that the copy did not make ({detail}); \
         drop that, or save it elsewhere"
    );
    // Without the cause, whose hint is CASCADE.
    Error::new(ErrorKind::Divergence, e.side(), what)
}

/// Extensions of the archive that were not there before. One may need another.
async fn extensions(
    session: &mut Session,
    path: &Path,
    before: &Before,
    left: &mut Vec<Left>,
) -> Result<()> {
    let entries = listed(path)?;
    let now = Before::read(session).await?;
    let mut ours: Vec<&String> = now
        .extensions
        .iter()
        .filter(|name| !before.extensions.contains(*name))
        .filter(|name| entries.iter().any(|label| toc::names(label, "EXTENSION - ", name)))
        .collect();
    loop {
        let count = ours.len();
        let mut refused = Vec::new();
        for name in std::mem::take(&mut ours) {
            match remove(session, "EXTENSION", &quote_ident(name)).await? {
                None => {}
                Some(why) => refused.push((name, why)),
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        if refused.len() == count {
            left.extend(refused.into_iter().map(|(name, why)| Left {
                what: format!("the extension {name}"),
                why,
                kept: true,
            }));
            return Ok(());
        }
        ours = refused.into_iter().map(|(name, _)| name).collect();
    }
}

/// Schemas of the archive that were not there before.
async fn schemas(
    session: &mut Session,
    path: &Path,
    before: &Before,
    left: &mut Vec<Left>,
) -> Result<()> {
    let entries = listed(path)?;
    let now = Before::read(session).await?;
    let ours = now
        .schemas
        .keys()
        .filter(|name| !before.schemas.contains_key(*name))
        .filter(|name| entries.iter().any(|label| toc::names(label, "SCHEMA - ", name)));
    for name in ours {
        if let Some(why) = remove(session, "SCHEMA", &quote_ident(name)).await? {
            left.push(Left { what: format!("the schema {name}"), why, kept: true });
        }
    }
    Ok(())
}

/// Drops one object, by its quoted name; if something needs it, says what.
///
/// # Errors
/// `Refused` if it is in use.
async fn remove(session: &mut Session, kind: &str, name: &str) -> Result<Option<String>> {
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; \
         SET LOCAL client_min_messages = warning; DROP {kind} IF EXISTS {name}; COMMIT"
    );
    let Err(e) = session.execute(&sql).await else { return Ok(None) };
    if session.is_usable() {
        session.execute("ROLLBACK").await?;
    }
    if e.sqlstate() != Some("2BP01") {
        return Err(in_the_way(e));
    }
    let detail = e.server_error().and_then(|server| server.detail.clone()).unwrap_or_default();
    Ok(Some(detail.lines().collect::<Vec<_>>().join("; ")))
}

/// The labels of the schemas and extensions that the restore was to create.
fn listed(path: &Path) -> Result<Vec<String>> {
    let list = beside(path, "made");
    let fault = |e| {
        let what = format!("reading {}", list.display());
        Error::local(changeover_types::Side::Target, what).with_source(e)
    };
    Ok(std::fs::read_to_string(&list).map_err(fault)?.lines().map(str::to_owned).collect())
}

/// The part of a `--clean` script that drops: from the end of its settings to the first comment that
/// announces a creation. It begins with what takes the place of a view whose query needs a key.
fn drops(script: &str) -> &str {
    const LAST_SETTING: &str = "\nSET row_security = ";
    let start = script.find(LAST_SETTING).map_or(0, |at| at + 1);
    let rest = &script[start..];
    let rest = &rest[rest.find('\n').map_or(rest.len(), |at| at + 1)..];
    &rest[..rest.find("\n--\n-- Name: ").unwrap_or(rest.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drops_of_a_script_are_taken() {
        let script = "--\n-- PostgreSQL database dump\n--\n\nSET x = 0;\nSET row_security = off;\n\n\
            CREATE OR REPLACE VIEW public.v AS\nSELECT\n    NULL::integer AS id;\n\
            ALTER TABLE IF EXISTS public.a ALTER COLUMN id DROP DEFAULT;\nDROP TABLE IF EXISTS public.a;\n\
            --\n-- Name: a; Type: TABLE\n--\n\nCREATE TABLE public.a ();\n";
        let found = drops(script);
        assert!(found.contains("DROP DEFAULT;\nDROP TABLE IF EXISTS public.a;"));
        assert!(found.trim_start().starts_with("CREATE OR REPLACE VIEW public.v"));
        assert!(!found.contains("CREATE TABLE") && !found.contains("SET x"));
        assert_eq!(drops("SET row_security = off;\n"), "");
    }
}
