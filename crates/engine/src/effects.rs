//! Performs what the run says is due. No branch here decides what comes next.

mod access;
mod checks;
mod compare;
mod conditions;
mod copying;
mod cutover;
pub(crate) mod data;
mod definitions;
mod following;
mod known;
mod retire;
pub(crate) mod tasks;
mod traffic;
mod type_numbers;
mod unmovable;
mod way_back;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use changeover_plan::{Plan, Unmovable};
use changeover_postgres::catalog::{Catalog, Selection};
use changeover_postgres::digest::Fingerprint;
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::objects::{self, Scope};
use changeover_postgres::session::Session;
use changeover_run::{Command, Input, Next, State};
use changeover_types::{MigrationName, Side, Split, TableName};
use tokio::time::sleep;

use crate::Report;
use crate::board::Board;
use crate::clock::now;
use crate::config::Config;
use crate::databases::Databases;
use crate::declared;
use crate::gates::{Blockers, Gates};
use crate::owned::Owned;
use crate::relays::Relays;
use crate::report::chain;
use crate::words::Words;

pub use checks::GUARD_VERB;
pub(crate) use checks::keeper;
pub(crate) use compare::{Comparer, say_generated, verify_status};
use definitions::Notes;
pub(crate) use definitions::watch;
pub(crate) use known::Witness;

/// How often the copy, or a comparison, lets others pass before it is the operator's turn to make room
/// for it.
const WAYS_GIVEN_MAX: u32 = 10;

/// What performing needs.
pub(crate) struct Effects {
    plan: Arc<Plan>,
    run_id: String,
    state_dir: PathBuf,
    plan_path: PathBuf,
    databases: Option<Databases>,
    gates: Option<Gates>,
    relays: Relays,
    board: Arc<Board>,
    words: Words,
    comparer: Comparer,
    moved: Option<Moved>,
    /// Whether owners and grants travel, as the preflight said.
    keeps_ownership: Option<bool>,
    sessions: cutover::Sessions,
    /// The target's share of requests, as the run last ordered it.
    permille: u16,
    /// What differs for single routes.
    split: Split,
    /// The catalogue as it was when the migration began.
    facts: Option<Fingerprint>,
    /// What both sides were beside their rows.
    notes: Notes,
    /// Who an attempt waits for at the moment, for the report when it is called off.
    waiting_for: WaitingFor,
    /// What becomes of sessions whose state cannot move.
    unmovable: Unmovable,
    /// What goes on after a step, while nobody waits.
    beside: Vec<Owned>,
}

/// Whom an attempt waits for: set by the effect, read when its time is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitingFor(Arc<Mutex<Blockers>>);

impl WaitingFor {
    fn set(&self, blockers: Blockers) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = blockers;
    }

    /// Empty if it waits for nobody.
    pub(crate) fn blockers(&self) -> Blockers {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What moves.
#[derive(Clone, Debug)]
struct Moved {
    selection: Selection,
    catalog: Catalog,
    scope: Scope,
}

impl Moved {
    /// Tables that hold rows.
    fn tables(&self) -> Vec<TableName> {
        self.catalog.leaves().map(|table| table.name.clone()).collect()
    }
}

impl Effects {
    pub(crate) fn new(
        config: &Config,
        run_id: &str,
        board: Arc<Board>,
        relays: Relays,
        words: Words,
    ) -> Result<Effects, Report> {
        let plan = Arc::clone(&config.plan);
        let databases = Databases::of_plan(&plan, &config.plan_path)?;
        if let Some(found) = type_numbers::remembered(&config.state_dir, run_id) {
            board.show_type_numbers(found);
        }
        let gates = Gates::if_planned(&config.state_dir, &plan, databases.as_ref());
        Ok(Effects {
            run_id: run_id.to_owned(),
            state_dir: config.state_dir.clone(),
            plan_path: config.plan_path.clone(),
            comparer: Comparer::new(&plan, databases.clone(), &relays, &board),
            plan,
            databases,
            gates,
            relays,
            board,
            words,
            moved: None,
            keeps_ownership: None,
            sessions: cutover::Sessions::default(),
            permille: 0,
            split: Split::default(),
            facts: None,
            notes: Notes::new(&config.state_dir, run_id),
            waiting_for: WaitingFor::default(),
            unmovable: Unmovable::Wait,
            beside: Vec::new(),
        })
    }

    /// Lets a task go on for as long as this lives.
    fn beside(&mut self, task: Owned) {
        self.beside.retain(|task| !task.is_over());
        self.beside.push(task);
    }

    /// What the databases know of this migration, for the loop.
    pub(crate) fn witness(&self) -> Witness {
        Witness {
            plan: Arc::clone(&self.plan),
            databases: self.databases.clone(),
            run_id: self.run_id.clone(),
            board: Arc::clone(&self.board),
        }
    }

    /// The comparison, for the verb.
    pub(crate) fn comparer(&self) -> Comparer {
        self.comparer.clone()
    }

    /// Both databases, for the board.
    pub(crate) fn databases_of_plan(&self) -> Option<Databases> {
        self.databases.clone()
    }

    /// The gate, for the board.
    pub(crate) fn gates(&self) -> Option<Gates> {
        self.gates.clone()
    }

    /// Whom the attempt under way waits for.
    pub(crate) fn waiting_for(&self) -> WaitingFor {
        self.waiting_for.clone()
    }

    /// Performs one command; the answer is what the run must hear. May be dropped at any point.
    pub(crate) async fn perform(&mut self, command: &Command, state: &State) -> Input {
        self.permille = state.target_permille;
        self.split.clone_from(&state.split);
        let planned = self.plan.gates.postgres.as_ref().map(|gate| gate.unmovable);
        self.unmovable = state.unmovable.or(planned).unwrap_or(Unmovable::Wait);
        self.notes.expect(&state.definitions);
        self.facts = state.facts.as_deref().and_then(|text| serde_json::from_str(text).ok());
        match command {
            Command::Install => self.install().await,
            Command::Copy => self.copy().await,
            Command::UndoCopy => self.undo_copy().await,
            Command::Build => self.build().await,
            Command::CatchUp => self.catch_up(&state.tasks).await,
            Command::PrepareReverse => self.prepare_reverse(&state.tasks).await,
            Command::Verify => self.verify(state.cutover.authority).await,
            Command::MakeUpForProof => self.make_up_for_proof(state.cutover.authority).await,
            Command::Check { step } => self.check(*step, state).await,
            Command::SetWeight { share, route } => {
                self.set_weight(*share, route.as_ref(), state).await
            }
            Command::Watch { step, since } => self.watch(*step, *since, state).await,
            Command::Wait { until } => {
                sleep(until.since(now())).await;
                Input::Waited
            }
            Command::LookAtFacts => self.look_at_facts().await,
            Command::WatchFacts => self.watch_facts(state).await,
            Command::CheckWayBack { by_itself } => {
                self.look_at_way_back(*by_itself, &state.cutover).await
            }
            Command::BeginCutover { to } => self.begin_cutover(*to, state).await,
            Command::Cutover(command) => match &state.cutover.attempt {
                Some(attempt) => self.cut_over(command, attempt).await,
                None => Input::Failed {
                    why: "a step of the cutover without an attempt".to_owned(),
                    next: Next::Status,
                },
            },
            Command::RetireAborted => self.retire_aborted(state).await,
            Command::RetireFinished => self.retire_finished().await,
        }
    }

    /// Reads the highest epoch that either database has seen, and begins.
    async fn begin_cutover(&mut self, to: Side, state: &State) -> Input {
        let highest = async {
            let databases = self.databases().map_err(|report| report.headline)?;
            let mut highest = state.cutover.highest;
            for side in [Side::Source, Side::Target] {
                let config = databases.of(side);
                let name = application(&self.plan.name);
                let mut session = Session::connect(config, &name).await.map_err(|e| chain(&e))?;
                let newest =
                    objects::newest(&mut session, &self.plan.name).await.map_err(|e| chain(&e))?;
                highest = highest.max(newest.map(|row| row.epoch).unwrap_or_default());
                session.close().await;
            }
            Ok::<_, String>(highest)
        };
        match highest.await {
            Ok(highest_seen) => Input::Cutover(changeover_cutover::Input::Begin {
                to,
                highest_seen,
                write_pause_ms: u64::try_from(self.plan.objectives.write_pause.as_millis())
                    .unwrap_or(u64::MAX),
            }),
            Err(why) => {
                Input::Failed { why: format!("reading the epochs: {why}"), next: Next::Apply }
            }
        }
    }

    fn databases(&self) -> Result<&Databases, Report> {
        self.databases
            .as_ref()
            .ok_or_else(|| Report::new("CO0103", "the plan has no databases on both sides"))
    }

    /// What moves, read from the source once.
    async fn moved(&mut self) -> PgResult<Moved> {
        if let Some(moved) = &self.moved {
            return Ok(moved.clone());
        }
        let Some(databases) = &self.databases else {
            return Err(changeover_postgres::error::Error::local(
                Side::Source,
                "the plan has no databases on both sides",
            ));
        };
        let selection = declared::selection(&self.plan)?;
        let source = databases.of(Side::Source);
        let mut session = Session::connect(source, &application(&self.plan.name)).await?;
        let catalog = Catalog::read(&mut session, &selection).await?;
        session.close().await;
        let scope = catalog.scope(&self.plan.name, Side::Source);
        let moved = Moved { selection, catalog, scope };
        self.moved = Some(moved.clone());
        Ok(moved)
    }

    fn nonce(&self) -> u64 {
        rand::random()
    }
}

/// Our `application_name`: an operator who looks at `pg_stat_activity` knows who it is.
fn application(migration: &MigrationName) -> String {
    format!("changeover {migration}")
}
