//! What a plan says, once it is known to be sound.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, iter};

use changeover_types::{MigrationName, RouteName, Side};
use serde::Serialize;

use crate::cost::Cost;

pub(crate) mod checks;
mod control;
mod gates;
mod kind;

use crate::answers::Answers;
use crate::canary::{BlueGreen, Canary, Phased};
use checks::{Exec, Load, Mirror, OnFail, Smoke};
pub use control::{
    AfterDone, Approve, Deadline, Entrance, Guard, Limit, Measure, OnNoData, Opening, Outcome,
    Reaction, Window,
};
pub use gates::{
    ClientAuth, GateUser, Gates, HttpGate, HttpLimits, PostgresGate, PostgresLimits, Unmovable,
};
pub use kind::StepKind;

/// A sound plan: every value checked, every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Names state folder, slots and publications.
    pub name: MigrationName,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Where it is tracked.
    pub ticket: Option<String>,
    /// What must hold during the move.
    pub objectives: Objectives,
    /// Where the service lives.
    pub source: Environment,
    /// Where it goes.
    pub target: Environment,
    /// What clients go through.
    pub gates: Gates,
    /// What is copied, and how.
    pub data: Data,
    /// What only people know, for an assessment.
    pub answers: Answers,
    /// What is watched all along; the objectives' own come last.
    pub guards: Vec<Guard>,
    /// What they lead to once all steps are done, until `finish`.
    pub after_done: AfterDone,
    /// What happens, in order. Never empty, nor is a phase.
    pub phases: Vec<Phase>,
    /// Where `changeover rehearse` tries it out.
    pub rehearsal: Option<Rehearsal>,
    /// What both sides cost.
    pub cost: Option<Cost>,
    /// Same meaning, same digest: 32 hex digits over keys and values without comments, order of
    /// keys or style. For telling a changed plan from the same one, not for security.
    pub digest: String,
}

/// Where a plan is tried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rehearsal {
    /// An empty database that may be thrown away.
    pub postgres: SecretRef,
    /// What takes the target's place for checks that ask it over HTTP.
    pub http: Option<HttpSide>,
}

/// What must hold during the move.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Objectives {
    /// From the first held write to the seal; a longer one is called off.
    pub write_pause: Duration,
    /// Share of requests that may fail: 0.001 is 0.1 %.
    pub error_rate: Option<f64>,
    /// Upper limit of the 99th percentile of latency.
    pub latency_p99: Option<Duration>,
    /// What double running may cost, in the currency of [`Plan::cost`].
    pub cost_ceiling: Option<f64>,
    /// When the move must be over.
    pub deadline: Option<Deadline>,
}

/// One side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// Its HTTP upstreams.
    pub http: Option<HttpSide>,
    /// Its database.
    pub postgres: Option<PostgresSide>,
}

/// One side's HTTP upstreams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpSide {
    /// Each `http://host:port`, the port always written; never empty.
    pub upstreams: Vec<String>,
}

/// One side's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PostgresSide {
    /// Where its URL is.
    pub url: SecretRef,
    /// What is known of servers that could be promoted in its place.
    pub standbys: Standbys,
}

/// What the plan says of a database's standbys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standbys {
    /// Nothing: a cutover is refused if there are any.
    Undeclared,
    /// None of them will be promoted while the migration lasts.
    NotPromotable,
}

/// Where a secret is. The plan never holds one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretRef {
    /// In this environment variable.
    Env(String),
    /// In this file; a relative path starts at the plan's folder.
    File(PathBuf),
    /// A URL without a password, written in the plan. Never used for a password.
    Inline(String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::Env(name) => write!(f, "environment variable {name}"),
            SecretRef::File(path) => write!(f, "file {}", path.display()),
            SecretRef::Inline(url) => f.write_str(url),
        }
    }
}

/// Where tables and indexes go that are in a tablespace of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tablespaces {
    /// Into those of the same names.
    Keep,
    /// Into the target database's own.
    Default,
}

/// What is copied, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Data {
    /// Schemas or `schema.table`; everything if empty.
    pub include: Vec<String>,
    /// Schemas or `schema.table` left out.
    pub exclude: Vec<String>,
    /// How many tables are copied at the same time.
    pub copy_jobs: usize,
    /// Where tables and indexes go that are in a tablespace of their own.
    pub tablespaces: Tablespaces,
    /// How many numbers of each sequence are set aside at a change of authority for the side that
    /// loses it; fewer of one that is nearly used up.
    pub sequence_margin: u64,
    /// How many of the target's numbers may be used up so that its types get the source's
    /// numbers; with 0 they get any.
    pub type_numbers_budget: u64,
    /// After this the run asks for `finish`; nothing closes by itself.
    pub reverse_keep: Duration,
}

/// Steps with a common purpose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// Unique in the plan.
    pub name: String,
    /// What must be so before it begins.
    pub entrance: Entrance,
    /// In order; never empty.
    pub steps: Vec<Step>,
}

/// One effect with its undo.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Copy schema and rows, then follow the source.
    Replicate,
    /// Compare both sides at one position.
    Verify,
    /// Ask a few questions and expect certain answers.
    Smoke(Smoke),
    /// Send requests at a rate.
    Load(Load),
    /// Ask both sides what clients ask, and compare.
    Mirror(Mirror),
    /// Run a command of the user's.
    Run {
        /// The command.
        exec: Exec,
        /// What its failure makes happen.
        on_fail: OnFail,
    },
    /// Send a growing share of requests to the target, and stay while it does as well.
    Canary(Canary),
    /// Send all requests to the target at once, and watch.
    BlueGreen(BlueGreen),
    /// Send all requests to the target, one route after another, and watch each.
    Phased(Phased),
    /// Move authority over the data to the target.
    Cutover {
        /// How often it is tried before the run pauses.
        attempts: u32,
        /// Time between two attempts.
        retry_after: Duration,
    },
    /// Set the target's share of requests.
    Shift {
        /// In tenths of a per cent.
        target_permille: u16,
        /// Of this route alone. Without, the whole is for all, a smaller share for what no step of
        /// its own has moved.
        route: Option<RouteName>,
    },
    /// Wait and watch.
    Soak {
        /// For how long.
        for_: Duration,
    },
    /// End the way back.
    Finish,
}

impl Step {
    /// Which kind of step it is.
    #[must_use]
    pub fn kind(&self) -> StepKind {
        match self {
            Step::Replicate => StepKind::Replicate,
            Step::Verify => StepKind::Verify,
            Step::Smoke(_) => StepKind::Smoke,
            Step::Load(_) => StepKind::Load,
            Step::Mirror(_) => StepKind::Mirror,
            Step::Run { .. } => StepKind::Run,
            Step::Canary(_) => StepKind::Canary,
            Step::BlueGreen(_) => StepKind::BlueGreen,
            Step::Phased(_) => StepKind::Phased,
            Step::Cutover { .. } => StepKind::Cutover,
            Step::Shift { .. } => StepKind::Shift,
            Step::Soak { .. } => StepKind::Soak,
            Step::Finish => StepKind::Finish,
        }
    }

    /// Whether it moves requests or authority.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.kind().moves()
    }

    /// As written in the plan.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// What a check that says no makes happen; `None` for a step that is no check.
    #[must_use]
    pub fn on_fail(&self) -> Option<OnFail> {
        match self {
            Step::Smoke(smoke) => Some(smoke.on_fail),
            Step::Load(load) => Some(load.on_fail),
            Step::Mirror(mirror) => Some(mirror.on_fail),
            Step::Run { on_fail, .. } => Some(*on_fail),
            _ => None,
        }
    }
}

/// Who is asked by a smoke check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The source, directly.
    Source,
    /// The target, directly.
    Target,
    /// Whoever the gate sends it to.
    Gate,
}

impl Against {
    /// The side that is asked directly; `None` for the gate.
    #[must_use]
    pub fn side(self) -> Option<Side> {
        match self {
            Against::Source => Some(Side::Source),
            Against::Target => Some(Side::Target),
            Against::Gate => None,
        }
    }

    /// As written in the plan.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.side().map_or("gate", Side::as_str)
    }
}

/// A step and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedStep<'a> {
    /// `phase/step`; a second one of the same kind in a phase is `phase/step-2`.
    pub path: String,
    /// Index into [`Plan::phases`].
    pub phase: usize,
    /// Index into [`Phase::steps`].
    pub index: usize,
    /// The step.
    pub step: &'a Step,
}

impl Plan {
    /// One side's environment.
    #[must_use]
    pub fn side(&self, side: Side) -> &Environment {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// All steps in order, each with its path.
    pub fn steps(&self) -> impl Iterator<Item = PlacedStep<'_>> {
        self.phases.iter().enumerate().flat_map(|(phase, it)| {
            let place =
                move |(index, step)| PlacedStep { path: path_in(it, index), phase, index, step };
            it.steps.iter().enumerate().map(place)
        })
    }

    /// The path of a step given by its indices; `None` if there is no such step.
    #[must_use]
    pub fn path_of(&self, phase: usize, index: usize) -> Option<String> {
        let phase = self.phases.get(phase)?;
        phase.steps.get(index)?;
        Some(path_in(phase, index))
    }

    /// The step with this path.
    #[must_use]
    pub fn step_at(&self, path: &str) -> Option<&Step> {
        self.steps().find(|placed| placed.path == path).map(|placed| placed.step)
    }

    /// How many steps are done at the end of a phase; `None` if there is no such phase.
    #[must_use]
    pub fn steps_until(&self, phase: &str) -> Option<usize> {
        let index = self.phases.iter().position(|it| it.name == phase)?;
        Some(self.phases[..=index].iter().map(|it| it.steps.len()).sum())
    }

    /// Index of the first step that moves requests or authority, if there is one.
    #[must_use]
    pub fn first_move(&self) -> Option<usize> {
        self.steps().position(|placed| placed.step.moves())
    }

    /// Whether a database is moved.
    #[must_use]
    pub fn moves_data(&self) -> bool {
        self.source.postgres.is_some() && self.target.postgres.is_some()
    }

    /// Whether HTTP traffic is moved.
    #[must_use]
    pub fn moves_http(&self) -> bool {
        self.gates.http.is_some() && self.source.http.is_some() && self.target.http.is_some()
    }

    /// Whether each side's application works on its own side's database, so that the requests go
    /// where authority goes: no PostgreSQL gate leads both applications to one database.
    #[must_use]
    pub fn requests_follow_authority(&self) -> bool {
        self.moves_data() && self.moves_http() && self.gates.postgres.is_none()
    }
}

fn path_in(phase: &Phase, index: usize) -> String {
    let name = phase.steps[index].name();
    let earlier = phase.steps[..index].iter().filter(|step| step.name() == name).count();
    let suffix = iter::once(format!("-{}", earlier + 1)).filter(|_| earlier > 0);
    iter::once(format!("{}/{name}", phase.name)).chain(suffix).collect()
}
