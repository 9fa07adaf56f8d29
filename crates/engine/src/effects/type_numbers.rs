//! The target's types get the source's numbers, as far as that can be done, before anything else
//! is created there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use changeover_postgres::catalog::Selection;
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::error::{Error, Result as PgResult};
use changeover_postgres::retire::Left;
use changeover_postgres::schema::Archive;
use changeover_postgres::session::Session;
use changeover_postgres::type_numbers::{self, Comparison, Record, place};
use changeover_types::Side;

use super::Effects;
use crate::declared::selection;
use crate::protocol::{CopyStatus, EventKind};

/// What a run has placed, in its state folder.
fn record(state_dir: &Path, run_id: &str) -> PathBuf {
    state_dir.join(format!("types-{run_id}.json"))
}

/// What came of it, in the state folder, for a daemon that is started again.
fn outcome(state_dir: &Path, run_id: &str) -> PathBuf {
    state_dir.join(format!("type-numbers-{run_id}.json"))
}

/// The outcome that an earlier daemon of this run wrote down.
pub(super) fn remembered(state_dir: &Path, run_id: &str) -> Option<Comparison> {
    serde_json::from_slice(&std::fs::read(outcome(state_dir, run_id)).ok()?).ok()
}

impl Effects {
    /// What this run, which died before it could write down that it had begun, placed on the
    /// target, as the preflight calls it.
    pub(super) async fn placed_before(&self, target: &mut Session) -> PgResult<BTreeSet<String>> {
        Record::load(&record(&self.state_dir, &self.run_id))?.objects(target).await
    }

    /// Before our own schema, whose objects use up numbers too.
    pub(super) async fn place_types(
        &mut self,
        source: &mut Session,
        target: &mut Session,
    ) -> PgResult<()> {
        let selection = selection(&self.plan)?;
        let budget = self.plan.data.type_numbers_budget;
        if budget == 0 || type_numbers::facts::read(source, &selection).await?.is_empty() {
            return Ok(());
        }
        let moved = self.moved().await?;
        let archive =
            self.dump(&moved.catalog, None, &format!("types-{}.dump", self.run_id)).await?;
        let board = self.board.clone();
        let show =
            move |stage: String| board.show_copy(CopyStatus { stage, ..CopyStatus::default() });
        let placer = place::Placer {
            selection: &selection,
            archive: &archive,
            record: &record(&self.state_dir, &self.run_id),
            budget,
            show: &show,
        };
        for why in placer.place(source, target).await? {
            self.board.say(EventKind::Warning, why);
        }
        Ok(())
    }

    /// The restore leaves out what was placed.
    pub(super) async fn without_placed(
        &self,
        mut archive: Archive,
        target: &mut Session,
    ) -> PgResult<Archive> {
        let record = Record::load(&record(&self.state_dir, &self.run_id))?;
        if !record.creations.is_empty() {
            place::settle(&record, &mut archive, target).await?;
        }
        Ok(archive)
    }

    /// Looks at what came of it, and says so.
    pub(super) async fn compare_type_numbers(&mut self, selection: &Selection) -> PgResult<()> {
        let (mut source, mut target) = self.both().await?;
        let found = type_numbers::compare(&mut source, &mut target, selection).await?;
        if found.all == 0 {
            return Ok(());
        }
        // Through the gate, clients see the source's numbers even so.
        let kind = match found.others.is_empty() || self.plan.gates.postgres.is_some() {
            true => EventKind::Progress,
            false => EventKind::Warning,
        };
        self.board.say(kind, found.to_string());
        let path = outcome(&self.state_dir, &self.run_id);
        let text = serde_json::to_vec(&found).unwrap_or_default();
        std::fs::write(&path, text).map_err(|e| {
            Error::local(Side::Target, format!("writing {}", path.display())).with_source(e)
        })?;
        self.board.show_type_numbers(found);
        Ok(())
    }

    /// Drops what was placed; gives what stays.
    pub(super) async fn remove_placed(&self, target: &ConnectConfig) -> PgResult<Vec<Left>> {
        Record::load(&record(&self.state_dir, &self.run_id))?.remove(target).await
    }
}
