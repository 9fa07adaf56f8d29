//! The aligned comparison, as a step and as a verb.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use changeover_plan::Plan;
use changeover_postgres::catalog::Catalog;
use changeover_postgres::definitions::{ConfigurationTable, configuration};
use changeover_postgres::error::{Error, ErrorKind, Result as PgResult};
use changeover_postgres::session::Session;
use changeover_postgres::verify::{AlignedConfig, VerifyReport, aligned};
use changeover_relay::Stream;
use changeover_run::Input;
use changeover_types::{Side, TableName};

use super::{WAYS_GIVEN_MAX, application};
use crate::board::Board;
use crate::databases::Databases;
use crate::declared;
use crate::owned::{self, Owned};
use crate::protocol::{EventKind, VerifyStatus};
use crate::relays::Relays;
use crate::report::chain;
use crate::words::Words;

/// How long a comparison may hold applying back.
const HOLD_BUDGET: Duration = Duration::from_secs(30);

/// How many differing rows are shown.
const EXAMPLES: usize = 10;

/// Compares both sides at one position of the stream whose segment is open.
#[derive(Clone)]
pub(crate) struct Comparer {
    plan: Arc<Plan>,
    databases: Option<Databases>,
    relays: Relays,
    board: Arc<Board>,
    /// The comparison that somebody asked for.
    asked: Arc<Mutex<Option<Owned>>>,
}

impl Comparer {
    pub(crate) fn new(
        plan: &Arc<Plan>,
        databases: Option<Databases>,
        relays: &Relays,
        board: &Arc<Board>,
    ) -> Comparer {
        Comparer {
            plan: Arc::clone(plan),
            databases,
            relays: relays.clone(),
            board: Arc::clone(board),
            asked: Arc::default(),
        }
    }

    /// Compares, and shows how it goes. Lets whoever wants a table for itself pass, and begins again.
    pub(crate) async fn compare(&self, authority: Side) -> PgResult<VerifyReport> {
        let mut ways_given = 0;
        loop {
            match self.compare_once(authority).await {
                Err(e) if e.kind() == ErrorKind::InTheWay && ways_given < WAYS_GIVEN_MAX => {
                    ways_given += 1;
                    let text = format!("{}: the comparison lets go and starts again", chain(&e));
                    self.board.say(EventKind::Warning, text);
                }
                outcome => return outcome,
            }
        }
    }

    async fn compare_once(&self, authority: Side) -> PgResult<VerifyReport> {
        let Some(databases) = &self.databases else {
            return Err(Error::local(Side::Source, "the plan has no databases to compare"));
        };
        let (tables, not_compared) = self.tables(databases).await?;
        let config = AlignedConfig {
            from: databases.of(authority).clone(),
            into: databases.of(authority.other()).clone(),
            migration: self.plan.name.clone(),
            stream: if authority == Side::Source { Stream::Forward } else { Stream::Reverse },
            hold_budget: HOLD_BUDGET,
        };
        let mut shown = VerifyStatus {
            tables: tables.len() as u64,
            not_compared: not_compared.clone(),
            ..VerifyStatus::default()
        };
        self.board.show_verify(shown.clone());
        let handle = self.relays.handle(authority.other())?;
        let report = aligned(&config, &handle, &tables, |table| {
            shown.tables_done += 1;
            shown.rows_compared += table.rows;
            self.board.show_verify(shown.clone());
        })
        .await?;
        self.board.show_verify(VerifyStatus { not_compared, ..verify_status(&report) });
        say_generated(&self.board, &report);
        Ok(report)
    }

    /// The tables to compare, and what is left out, by class.
    async fn tables(&self, databases: &Databases) -> PgResult<(Vec<TableName>, Vec<String>)> {
        let selection = declared::selection(&self.plan)?;
        let source = databases.of(Side::Source);
        let mut session = Session::connect(source, &application(&self.plan.name)).await?;
        let catalog = Catalog::read(&mut session, &selection).await?;
        let configuration = configuration(&mut session).await?;
        session.close().await;
        let left_out = not_compared(&catalog, &configuration);
        Ok((catalog.leaves().map(|table| table.name.clone()).collect(), left_out))
    }

    /// Compares in the background, for the verb.
    ///
    /// # Errors
    /// If one is under way, or the relay that it needs is not.
    pub(crate) fn start(&self, authority: Side, words: Words) -> Result<(), String> {
        if !self.relays.is_live(authority.other()) {
            return Err("nothing follows yet: there is nothing to compare".to_owned());
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.as_ref().is_some_and(|task| !task.is_over()) {
            return Err("a comparison is under way".to_owned());
        }
        self.board.show_verify(VerifyStatus::default());
        let (this, board) = (self.clone(), Arc::clone(&self.board));
        let comparing = async move {
            match this.compare(authority).await {
                Ok(report) => {
                    let (rows, different) = (report.rows_compared, report.rows_different);
                    words.say(Input::Compared { rows, different }).await;
                }
                Err(e) => show_failed(&this.board, format!("comparing both sides: {}", chain(&e))),
            }
        };
        *asked = Some(owned::once("the comparison of both sides", comparing, move |why| {
            show_failed(&board, why);
            ready(())
        }));
        Ok(())
    }
}

fn show_failed(board: &Board, why: String) {
    board.say(EventKind::Warning, why.as_str());
    board.show_verify(VerifyStatus { failed: Some(why), ..VerifyStatus::default() });
}

/// A generated column that differs is none that somebody wrote: each is named, with what to do.
pub(crate) fn say_generated(board: &Board, report: &VerifyReport) {
    for difference in &report.generated {
        board.say(EventKind::Warning, difference.to_string());
    }
}

/// What a comparison of rows says nothing of, by class with counts.
pub(crate) fn not_compared(catalog: &Catalog, extensions: &[ConfigurationTable]) -> Vec<String> {
    let materialized = catalog.views.iter().filter(|view| view.materialized).count();
    let rows = extensions.iter().filter(|table| table.rows != Some(0)).count();
    let classes = [
        (materialized, "materialised view", "materialised views"),
        (catalog.foreign_tables.len(), "foreign table", "foreign tables"),
        (catalog.not_moved.len(), "table left out by the plan", "tables left out by the plan"),
        (rows, "extension table", "extension tables"),
    ];
    classes
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
        .collect()
}

/// A finished comparison as it is shown.
pub(crate) fn verify_status(report: &VerifyReport) -> VerifyStatus {
    let generated = report.generated.iter().map(ToString::to_string);
    let rows = report
        .differences
        .iter()
        .map(|row| format!("{} {} ({:?})", row.table, row.key, row.kind).to_lowercase());
    let examples = generated.chain(rows).take(EXAMPLES).collect();
    VerifyStatus {
        tables_done: report.tables.len() as u64,
        tables: report.tables.len() as u64,
        rows_compared: report.rows_compared,
        rows_different: report.rows_different,
        examples,
        complete: true,
        not_compared: Vec::new(),
        failed: None,
    }
}
