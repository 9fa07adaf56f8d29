//! The restore, tried: everything that a copy would create on the target, in one transaction that
//! is rolled back.
//!
//! Each entry of the archive has a savepoint of its own, so that one trial finds every entry that
//! fails and not only the first. An entry that needs one that failed is not tried but counted with
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::post::SETTINGS;
use super::script::cut;
use super::toc::Entry;
use super::{Archive, is_late, is_there};
use crate::catalog::json;
use crate::config::ConnectConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;

/// How long one statement may wait for a lock: everything is new, so hardly any waits at all.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// How long one statement may take.
const STATEMENT: Duration = Duration::from_secs(30);

/// Out of lock slots: the transaction holds the locks of all entries together, which a restore
/// that commits its indexes one by one does not.
const OUT_OF_LOCKS: &str = "53200";

/// The schemas that a server has.
const SCHEMAS: &str = "SELECT coalesce(json_agg(nspname),'[]')::text FROM pg_catalog.pg_namespace";

/// Something that could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The object, in words: `VIEW recent (schema public)`.
    pub what: String,
    /// What the server said, its SQLSTATE included.
    pub said: String,
    /// The SQLSTATE.
    pub sqlstate: String,
    /// How many other entries need it, directly or not.
    pub followers: usize,
    /// Whether a restore goes on without it: a grant.
    pub late: bool,
}

/// A transaction on the target that will be rolled back.
#[derive(Debug)]
pub struct Trial {
    session: Session,
}

impl Trial {
    /// Opens the session and its transaction, with the settings of a restore.
    ///
    /// # Errors
    /// If there is no session, or no transaction that may write.
    pub async fn begin(target: &ConnectConfig) -> Result<Trial> {
        let mut session = Session::connect(target, "changeover trial").await?;
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout={}; \
             SET LOCAL statement_timeout={}; SET LOCAL synchronous_commit=off; {SETTINGS}",
            LOCK_WAIT.as_millis(),
            STATEMENT.as_millis()
        );
        session.execute(&sql).await.map_err(|e| e.with_context("beginning the trial"))?;
        Ok(Trial { session })
    }

    /// Runs statements; if they fail they leave nothing, and the error is given.
    ///
    /// # Errors
    /// If the transaction cannot go on.
    pub async fn attempt(&mut self, sql: &str) -> Result<Option<Error>> {
        let attempt = format!("SAVEPOINT trial; {sql}\n; RELEASE SAVEPOINT trial");
        let Err(error) = self.session.execute(&attempt).await else { return Ok(None) };
        let ended = error.is_in_doubt() || error.kind() != ErrorKind::Server;
        if ended || error.sqlstate() == Some(OUT_OF_LOCKS) {
            return Err(error);
        }
        self.session.execute("ROLLBACK TO SAVEPOINT trial; RELEASE SAVEPOINT trial").await?;
        Ok(Some(error))
    }

    /// The session, inside the transaction.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Creates what the archive holds.
    ///
    /// # Errors
    /// If `pg_restore` fails, or the transaction cannot go on.
    pub async fn restore(&mut self, archive: &Archive) -> Result<Vec<Failure>> {
        let there: Vec<String> = json(&mut self.session, SCHEMAS).await?;
        let wanted: Vec<&Entry> = archive
            .entries
            .iter()
            .filter(|entry| archive.wants(entry) && !is_there(entry, there.iter()))
            .collect();
        let late: BTreeSet<u32> =
            wanted.iter().filter(|entry| is_late(entry)).map(|entry| entry.dump_id).collect();
        let script = archive.script("trial", &wanted, &[], &self.session).await?;
        let entries = cut(&script).ok_or_else(|| {
            Error::local(self.session.side(), "pg_restore's script cannot be cut into its entries")
        })?;
        let mut failures = Failures::default();
        for part in entries {
            if failures.follows(part.dump_id, &part.needs) {
                continue;
            }
            if let Some(error) = self.attempt(&(part.settings + &part.sql)).await? {
                let what = name(&part.sql).unwrap_or_default();
                let late = late.contains(&part.dump_id);
                failures.add(part.dump_id, Failure { late, ..failure(what, &error) });
            }
        }
        Ok(failures.list)
    }

    /// Rolls everything back.
    ///
    /// # Errors
    /// If the connection breaks; then the server rolls it back.
    pub async fn end(mut self) -> Result<()> {
        self.session.execute("ROLLBACK").await?;
        self.session.close().await;
        Ok(())
    }
}

impl Archive {
    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// A failure of the thing called `what`.
#[must_use]
pub fn failure(what: String, error: &Error) -> Failure {
    let sqlstate = error.sqlstate().unwrap_or_default().to_owned();
    let said = error.server_error().map_or_else(|| error.to_string(), ToString::to_string);
    Failure { what, said, sqlstate, followers: 0, late: false }
}

/// Failures, and which entries fail with each.
#[derive(Debug, Default)]
struct Failures {
    list: Vec<Failure>,
    /// By dump id the place in `list` of the failure that an entry fails with.
    roots: BTreeMap<u32, usize>,
}

impl Failures {
    fn add(&mut self, id: u32, failure: Failure) {
        self.roots.insert(id, self.list.len());
        self.list.push(failure);
    }

    /// Whether an entry needs one that failed; it is counted with it.
    fn follows(&mut self, id: u32, needs: &[u32]) -> bool {
        let Some(root) = needs.iter().find_map(|need| self.roots.get(need).copied()) else {
            return false;
        };
        self.roots.insert(id, root);
        if let Some(failure) = self.list.get_mut(root) {
            failure.followers += 1;
        }
        true
    }
}

/// An entry in words, from the comment that leads it:
/// `-- Name: recent; Type: VIEW; Schema: public; Owner: me`.
pub(super) fn name(sql: &str) -> Option<String> {
    let line = sql.lines().find_map(|line| line.strip_prefix("-- Name: "))?;
    let (line, _owner) = line.rsplit_once("; Owner: ")?;
    let (line, schema) = line.rsplit_once("; Schema: ")?;
    let (name, kind) = line.rsplit_once("; Type: ")?;
    Some(match schema {
        "-" => format!("{kind} {name}"),
        schema => format!("{kind} {name} (schema {schema})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_failed_entry_is_counted_with_it() {
        let failed = |what: &str| Failure {
            what: what.to_owned(),
            said: String::new(),
            sqlstate: String::new(),
            followers: 0,
            late: false,
        };
        let mut failures = Failures::default();
        assert!(!failures.follows(1, &[]));
        failures.add(2, failed("a"));
        assert!(failures.follows(3, &[1, 2]));
        assert!(failures.follows(4, &[3]));
        assert!(!failures.follows(5, &[1]));
        failures.add(6, failed("b"));
        let counts: Vec<usize> = failures.list.iter().map(|it| it.followers).collect();
        assert_eq!(counts, [2, 0]);
    }

    #[test]
    fn an_entry_says_what_it_is() {
        let sql = "-- Name: re; Schema: cent; Type: VIEW; \
            Schema: public; Owner: me\n--\n\nCREATE VIEW …\n";
        assert_eq!(name(sql).unwrap(), "VIEW re; Schema: cent (schema public)");
        let role = "-- Name: lonely; Type: DEFAULT ACL; Schema: -; Owner: me\n";
        assert_eq!(name(role).unwrap(), "DEFAULT ACL lonely");
    }
}
