//! Removes what a copy restored: for an aborted migration, whose target was empty before.

use std::path::Path;

use super::{list_path, tools};
use crate::config::ConnectConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;

/// How long an object may be waited for.
const LOCK_TIMEOUT: &str = "500ms";

/// Drops every object that [`super::Archive::restore_pre_data`] created from the archive `path`,
/// rows included: all or nothing, and never with CASCADE, so nothing that somebody else made goes
/// with them. Extensions stay: they may have been there before. Gives whether there was anything
/// to drop; may be done again.
///
/// # Errors
/// What `pg_restore` said; `Refused` if an object is in use or something else depends on it.
pub async fn drop_restored(target: &ConnectConfig, path: &Path) -> Result<bool> {
    let list = list_path(path, "drop");
    if !list.exists() || !path.exists() {
        return Ok(false);
    }
    let tools = tools::Tools::find(0).await?;
    let mut arguments: Vec<std::ffi::OsString> =
        ["--clean", "--if-exists", "--no-owner", "--no-acl"].map(Into::into).to_vec();
    arguments.push(format!("--use-list={}", list.display()).into());
    arguments.push("--file=-".into());
    arguments.push(path.into());
    let script = tools::run(&tools.restore, &arguments, target).await?;
    let script = String::from_utf8(script)
        .map_err(|_| Error::local(target.side, "the archive holds SQL that is not UTF-8"))?;
    let Some(drops) = drops(&script) else { return Ok(false) };
    let mut session = Session::connect(target, "changeover schema").await?;
    // One transaction, and the text as it is: names in it are quoted, and nothing is cut inside one.
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL search_path = ''; \
         SET LOCAL client_min_messages = warning; {drops}\nCOMMIT"
    );
    match session.execute(&sql).await {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.sqlstate(), Some("55P03" | "2BP01")) => {
            let side = target.side;
            let what = "dropping what was copied: an object is in use, or something depends on it";
            Err(Error::new(ErrorKind::Refused, side, what).with_source(e))
        }
        Err(e) => Err(e.with_context("dropping what was copied")),
    }
}

/// The part of a `--clean` script that drops: from the first such statement to the first comment
/// that announces a creation.
fn drops(script: &str) -> Option<&str> {
    let start = ["\nDROP ", "\nALTER TABLE IF EXISTS "]
        .iter()
        .filter_map(|lead| script.find(lead))
        .min()?;
    let rest = &script[start..];
    Some(&rest[..rest.find("\n--\n-- Name: ").unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drops_of_a_script_are_taken() {
        let script = "--\n-- PostgreSQL database dump\n--\n\nSET x = 0;\n\n\
            ALTER TABLE IF EXISTS public.a ALTER COLUMN id DROP DEFAULT;\nDROP TABLE IF EXISTS public.a;\n\
            --\n-- Name: a; Type: TABLE\n--\n\nCREATE TABLE public.a ();\n";
        let found = drops(script).unwrap();
        assert!(found.contains("DROP DEFAULT;\nDROP TABLE IF EXISTS public.a;"));
        assert!(!found.contains("CREATE") && !found.contains("SET x"));
        assert_eq!(drops("SET x = 0;\n"), None);
    }
}
