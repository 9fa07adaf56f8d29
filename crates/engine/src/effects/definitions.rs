//! What both sides are beside their rows: noted down at the copy, compared with it before anybody is
//! held.

pub(crate) mod watch;

use std::fmt;
use std::path::{Path, PathBuf};

use changeover_plan::{Plan, fingerprint};
use changeover_postgres::catalog::Selection;
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::definitions::{
    Change, Definitions, Shared, copy_configuration, missing, unshared,
};
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::session::Session;
use changeover_run as run;
use changeover_types::{MigrationName, Side};

use super::data::no_databases;
use super::{Effects, application};
use crate::clock::now;
use crate::databases::Databases;
use crate::declared::selection;
use crate::protocol::EventKind;

/// The last way out of a difference.
const WAIVE: &str =
    "accept it with a waiver in the plan whose id is the object as it is named here";

/// How many objects are named in one sentence.
const NAMED: usize = 8;

/// The files in the state folder that say what each side was at the copy; the journal has their
/// digests.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    state_dir: PathBuf,
    run_id: String,
    digests: run::Definitions,
}

impl Notes {
    pub(super) fn new(state_dir: &Path, run_id: &str) -> Notes {
        let digests = run::Definitions::default();
        Notes { state_dir: state_dir.to_owned(), run_id: run_id.to_owned(), digests }
    }

    /// What the journal says the files are.
    pub(super) fn expect(&mut self, digests: &run::Definitions) {
        self.digests.clone_from(digests);
    }

    /// The files are what they are: for a look that no decision rests on.
    fn expect_what_is_there(&mut self) {
        let (source, target) = (self.digest(Side::Source), self.digest(Side::Target));
        self.digests = run::Definitions { source, target };
    }

    fn path(&self, side: Side) -> PathBuf {
        self.state_dir.join(format!("definitions-{}-{side}.json", self.run_id))
    }

    /// Writes what the side is, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(&self, side: Side, definitions: &Definitions) -> PgResult<()> {
        let path = self.path(side);
        let draft = path.with_extension("draft");
        std::fs::write(&draft, definitions.to_text())
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(|e| {
                let what = format!("writing {}", path.display());
                changeover_postgres::error::Error::local(side, what).with_source(e)
            })
    }

    /// The digest of the side's file, for the journal; `None` if there is none.
    pub(super) fn digest(&self, side: Side) -> Option<String> {
        let text = std::fs::read_to_string(self.path(side)).ok()?;
        Some(fingerprint(&[text.as_str()]))
    }

    /// What the side was; `None` if it was never noted down.
    ///
    /// # Errors
    /// In words, if it was and is lost.
    fn read(&self, side: Side) -> Result<Option<Definitions>, String> {
        let expected = match side {
            Side::Source => &self.digests.source,
            Side::Target => &self.digests.target,
        };
        let Some(expected) = expected else { return Ok(None) };
        let path = self.path(side);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let read = Definitions::from_text(&text).filter(|_| fingerprint(&[&text]) == *expected);
        read.map(Some).ok_or_else(|| {
            format!(
                "what the {side} was at the copy is not known any more ({} is missing or was \
                 changed), so that changes since cannot be told: `changeover abort`, and start \
                 again",
                path.display()
            )
        })
    }
}

/// Whether the plan accepts that the object is otherwise: a waiver names it as it is named here.
fn waived(plan: &Plan, change: &Change) -> bool {
    let object = change.object.to_string();
    plan.answers.waivers.iter().any(|waiver| waiver.id == object && waiver.until >= now())
}

/// Whether the plan goes on without roles that only the source has: then the target lacks policies
/// for them, or is to.
fn goes_without_roles(plan: &Plan) -> bool {
    plan.answers.waivers.iter().any(|it| it.id == "roles_missing" && it.until >= now())
}

/// Both sides as they are.
#[derive(Clone, Debug)]
pub(super) struct Now {
    source: Definitions,
    target: Definitions,
}

impl Now {
    pub(super) async fn read(
        databases: &Databases,
        selection: &Selection,
        name: &MigrationName,
    ) -> PgResult<Now> {
        let (source, target) = tokio::try_join!(
            read(databases.of(Side::Source), selection, name),
            read(databases.of(Side::Target), selection, name),
        )?;
        Ok(Now { source, target })
    }

    pub(super) fn of(&self, side: Side) -> &Definitions {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// One side as it is.
pub(super) async fn read(
    config: &ConnectConfig,
    selection: &Selection,
    name: &MigrationName,
) -> PgResult<Definitions> {
    let mut session = Session::connect(config, &application(name)).await?;
    let read = Definitions::read(&mut session, selection).await?;
    session.close().await;
    Ok(read)
}

/// What stands against moving authority from `from`, object by object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Against {
    /// Sentences with what to do.
    pub(super) sentences: Vec<String>,
    /// `side: object: what of it`, one by one.
    pub(super) objects: Vec<String>,
}

impl Against {
    /// Compares each side with what it was, and, forward, what the source has with what the target
    /// has. The plan tells which objects are accepted as they are.
    ///
    /// # Errors
    /// In words, if what a side was is lost.
    pub(super) fn moving(
        from: Side,
        notes: &Notes,
        now: &Now,
        plan: &Plan,
    ) -> Result<Against, String> {
        let waived = |change: &Change| waived(plan, change);
        let mut against = Against::default();
        let then = (notes.read(Side::Source)?, notes.read(Side::Target)?);
        let mut named = Vec::new();
        if let (Some(source), Some(target)) = &then {
            let source = Shared { then: source, now: &now.source };
            let target = Shared { then: target, now: &now.target };
            for side in [from, from.other()] {
                let (this, other) = match side {
                    Side::Source => (source, target),
                    Side::Target => (target, source),
                };
                let differing = unshared(this, other);
                let keep = |changes: Vec<Change>| -> Vec<Change> {
                    changes.into_iter().filter(|change| !waived(change)).collect()
                };
                let (mut alone, needed) = (keep(differing.alone), keep(differing.needed));
                if (from, side) == (Side::Source, Side::Target) {
                    // Rights that a target gives beforehand are a preparation and no loss.
                    let more = alone.iter().filter(|change| change.grants_more());
                    against.objects.extend(more.map(|change| format!("{side}: {change}")));
                    alone.retain(|change| !change.grants_more());
                }
                named.extend(alone.iter().chain(&needed).map(|change| change.object.clone()));
                against.changed(side, &alone, &needed);
            }
        }
        if from == Side::Source {
            let (mut strong, _) = missing(&now.source, &now.target);
            let roles = goes_without_roles(plan);
            strong.retain(|change| !waived(change) && !named.contains(&change.object));
            strong.retain(|change| !(roles && change.object.class == "policy"));
            against.missing(&strong);
        }
        Ok(against)
    }

    fn changed(&mut self, side: Side, alone: &[Change], needed: &[Change]) {
        self.objects.extend(needed.iter().chain(alone).map(|change| format!("{side}: {change}")));
        let (large, needed): (Vec<_>, Vec<_>) =
            needed.iter().partition(|change| change.object.class == "large objects");
        if let Some(large) = large.first() {
            self.sentences.push(format!(
                "{large} on the {side}, and no stream carries them: keep their bytes in a bytea \
                 column and remove them (SELECT lo_unlink(oid) FROM pg_largeobject_metadata)"
            ));
        }
        if !needed.is_empty() {
            self.sentences.push(format!(
                "the {side} has changed since the copy: {}: rows and the way back rest on it, also \
                 if both sides change alike: undo it, or `changeover abort` and start again",
                list(needed.into_iter())
            ));
        }
        if !alone.is_empty() {
            self.sentences.push(format!(
                "the {side} has changed since the copy: {}: the {} has it not, and it would be left \
                 behind: undo it on the {side}, do the same on the {}, or {WAIVE}",
                list(alone.iter()),
                side.other(),
                side.other()
            ));
        }
    }

    fn missing(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let words = changes.iter().map(Change::between_sides);
        self.objects.extend(words.clone().map(|change| format!("target: {change}")));
        self.sentences.push(format!(
            "the target is not as the source: {}: do there what is missing, or {WAIVE}",
            list(words)
        ));
    }
}

/// The first few, and how many more.
pub(super) fn list<T: fmt::Display>(items: impl ExactSizeIterator<Item = T>) -> String {
    let all = items.len();
    let mut words: Vec<String> = items.take(NAMED).map(|item| item.to_string()).collect();
    if all > words.len() {
        words.push(format!("and {} more", all - words.len()));
    }
    words.join("; ")
}

impl Effects {
    /// What the side is now.
    pub(super) async fn definitions_of(&self, side: Side) -> PgResult<Definitions> {
        let selection = selection(&self.plan)?;
        let databases = self.databases().map_err(no_databases)?;
        read(databases.of(side), &selection, &self.plan.name).await
    }

    /// Rows that users keep in tables of extensions; no stream carries them.
    pub(super) async fn copy_configuration(
        &self,
        reader: &mut Session,
        target: &mut Session,
    ) -> PgResult<()> {
        for copied in copy_configuration(reader, target).await? {
            let table = &copied.table;
            let rows = table.rows.map_or("an unknown number of".to_owned(), |n| n.to_string());
            let what = format!("rows of {} (configuration of extension", table.table);
            let text = match &copied.fault {
                Some(why) => format!("{rows} {what} {}) stay behind: {why}", table.extension),
                None if table.sequence => continue,
                None => format!("{rows} {what} {}) are copied, not followed", table.extension),
            };
            self.board.say(EventKind::Warning, text);
        }
        Ok(())
    }

    /// After the restore: notes down what the target is, and names what did not arrive.
    pub(super) async fn note_target(&self) -> PgResult<Option<String>> {
        let selection = selection(&self.plan)?;
        let databases = self.databases().map_err(no_databases)?;
        let now = Now::read(databases, &selection, &self.plan.name).await?;
        let (strong, weak) = missing(&now.source, &now.target);
        let kept = self.keeps_ownership == Some(true);
        let words: Vec<String> = strong
            .iter()
            .chain(&weak)
            .filter(|change| kept || !change.is_of_rights())
            .map(Change::between_sides)
            .collect();
        if !words.is_empty() {
            let text = format!("did not arrive on the target as it is: {}", list(words.iter()));
            self.board.say(EventKind::Warning, text);
        }
        self.notes.write(Side::Target, &now.target)?;
        Ok(self.notes.digest(Side::Target))
    }
}
