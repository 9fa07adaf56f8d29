//! Where a run stands.

use changeover_cutover as cutover;
use changeover_plan::Unmovable;
use changeover_types::{Epoch, RouteName, Share, Side, Split, Task, WallMs};
use serde::{Deserialize, Serialize};

use crate::canary::Watching;
use crate::control::{Control, Who};
use crate::next::Next;

/// All that is known about a run. Rebuilt from the journal's events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What the run is about.
    pub mode: Mode,
    /// Why nothing is begun at the moment, if so.
    pub pause: Option<Pause>,
    /// Where the run is to rest on its way forward.
    #[serde(default)]
    pub until: Option<Bound>,
    /// When all steps were done: the way back is kept open from here.
    pub done_at: Option<WallMs>,
    /// Index of the present step among the plan's steps; their count when all are done.
    pub at: usize,
    /// When the present step (or the present weight of a canary) began.
    pub since: Option<WallMs>,
    /// Which weight of the present canary is being watched.
    pub canary_index: usize,
    /// By when the present canary is to be through its weights, if the plan says so.
    #[serde(default)]
    pub canary_until: Option<WallMs>,
    /// Whether it was not.
    #[serde(default)]
    pub canary_late: bool,
    /// What was seen of the target in the present step, if it is watched.
    #[serde(default)]
    pub watching: Option<Watching>,
    /// How far the copy and the relay are.
    pub data: DataStage,
    /// What the shell found when it installed our objects, in its own words: the catalogue's
    /// fingerprint, which every later look is compared with.
    pub facts: Option<String>,
    /// What the restore left to do on the target, and no row depends on.
    #[serde(default)]
    pub tasks: Vec<Task>,
    /// What both sides were beside their rows when the copy was made.
    #[serde(default)]
    pub definitions: Definitions,
    /// Whether the way back is live: slot, and relay in discard mode.
    pub reverse_ready: bool,
    /// The target's share of requests as last ordered, in tenths of a per cent: of all that no step
    /// of their own has moved.
    pub target_permille: u16,
    /// The routes that such steps have moved.
    #[serde(default)]
    pub split: Split,
    /// What the present rollback began with; put back when it is given up.
    #[serde(default)]
    pub before_rollback: Option<BeforeRollback>,
    /// Of the newest canary; each has its own, and they grow.
    #[serde(default)]
    pub newest_salt: u64,
    /// Who has authority, and the change of it that is under way.
    pub cutover: cutover::State,
    /// Attempts of the present change of authority that ended without moving it.
    pub attempts_used: u32,
    /// Whether the attempt under way fails for a cause that time does not mend.
    #[serde(default)]
    pub futile: bool,
    /// The digest of the plan that counts, if it has changed since the run began.
    #[serde(default)]
    pub plan_digest: Option<String>,
    /// What becomes of sessions whose state cannot move, where the plan's word does not count.
    #[serde(default)]
    pub unmovable: Option<Unmovable>,
    /// When the next attempt may begin.
    pub next_attempt_at: Option<WallMs>,
    /// Whether both sides were equal at the last change of authority; `None` before the first.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// What people, clocks and guards have said.
    #[serde(default)]
    pub control: Control,
}

/// The comparison of both sides as they were at a change of authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proof {
    /// Which change.
    pub epoch: Epoch,
    /// How far it is.
    pub stage: ProofStage,
}

/// See [`Proof`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofStage {
    /// The snapshots of both sides are compared, while nobody waits.
    Pending,
    /// Both sides were compared: as they were then, or since, at one position of the stream.
    Done,
    /// The snapshots were lost with a process. The sides are compared as they are instead.
    Lost,
}

impl State {
    /// Before the first step.
    #[must_use]
    pub fn new() -> State {
        State {
            mode: Mode::Forward,
            pause: None,
            until: None,
            done_at: None,
            at: 0,
            since: None,
            canary_index: 0,
            canary_until: None,
            canary_late: false,
            watching: None,
            data: DataStage::Nothing,
            facts: None,
            tasks: Vec::new(),
            definitions: Definitions::default(),
            reverse_ready: false,
            target_permille: 0,
            split: Split::default(),
            before_rollback: None,
            newest_salt: 0,
            cutover: cutover::State::genesis(),
            attempts_used: 0,
            futile: false,
            plan_digest: None,
            unmovable: None,
            next_attempt_at: None,
            proof: None,
            control: Control::default(),
        }
    }

    /// Whether a proof is in this stage.
    #[must_use]
    pub fn proof_is(&self, stage: ProofStage) -> bool {
        self.proof.is_some_and(|proof| proof.stage == stage)
    }

    /// Whether the service, or part of it, runs on the target.
    #[must_use]
    pub fn has_moved_something(&self) -> bool {
        self.highest_permille() > 0 || self.cutover.authority == Side::Target
    }

    /// The highest share that the target has of any route.
    #[must_use]
    pub fn highest_permille(&self) -> u16 {
        self.split.highest(self.target_permille)
    }

    /// A route's share; without a route that of all that no step of their own has moved.
    #[must_use]
    pub fn share_of(&self, route: Option<&RouteName>) -> Share {
        let common = Share { target_permille: self.target_permille, salt: self.split.salt };
        route.map_or(common, |route| self.split.share_of(route, self.target_permille))
    }

    /// The share that has to be put back next after a rollback was given up.
    #[must_use]
    pub fn to_put_back(&self) -> Option<(Share, Option<RouteName>)> {
        let before = self.before_rollback.as_ref().filter(|_| self.mode == Mode::Forward)?;
        let common = |target_permille, split: &Split| Share { target_permille, salt: split.salt };
        let wanted = common(before.target_permille, &before.split);
        let differs = wanted != common(self.target_permille, &self.split);
        let all = Some((wanted, None));
        // The whole is for everything and comes first; other shares are for what is left.
        if differs && wanted.target_permille == 1000 {
            return all;
        }
        let own = &before.split.own;
        let moved = own.iter().find(|(route, share)| self.split.own.get(*route) != Some(*share));
        let said_again = || own.iter().next();
        match moved {
            None if differs => all,
            // The gates may have heard what the journal has not, so that one is said once more.
            moved => moved
                .or_else(said_again)
                .map_or(all, |(route, share)| Some((*share, Some(route.clone())))),
        }
    }

    /// Where the run rests because it was told to go no further, if it has come so far.
    #[must_use]
    pub fn rests(&self) -> Option<&Bound> {
        // What a rollback that was given up took away is put back first.
        let forward = self.mode == Mode::Forward && self.before_rollback.is_none();
        self.until.as_ref().filter(|bound| forward && self.at >= bound.steps)
    }
}

impl Default for State {
    fn default() -> Self {
        State::new()
    }
}

/// How far a run was when it began to go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeRollback {
    /// [`State::target_permille`].
    pub target_permille: u16,
    /// [`State::split`].
    #[serde(default)]
    pub split: Split,
    /// [`State::until`].
    #[serde(default)]
    pub until: Option<Bound>,
}

/// What a run is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum Mode {
    /// Going through the plan's steps.
    Forward,
    /// All steps are done; the way back is open.
    Done,
    /// Taking weights and authority back to the source.
    RollingBack {
        /// Why.
        why: String,
    },
    /// The source has everything again; the target is sealed and follows.
    RolledBack {
        /// Why.
        why: String,
    },
    /// Removing everything we made, the source untouched in authority.
    Aborting,
    /// Removed.
    Aborted,
    /// Ending the way back.
    Finishing,
    /// Ended.
    Finished,
}

impl Mode {
    /// Whether nothing will ever be due again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Mode::Aborted | Mode::Finished)
    }
}

/// How far a run is to go: `apply --until`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bound {
    /// The phase that it rests in, most often at its end.
    pub phase: String,
    /// How many of the plan's steps are done then.
    pub steps: usize,
}

/// Why a run waits for its operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pause {
    /// What happened.
    pub why: String,
    /// The command that goes on.
    pub next: Next,
    /// Who said so; nobody when the run stopped by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Who>,
    /// Whether the copy, or the building of indexes, that was under way is brought to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finishing: bool,
}

impl Pause {
    /// A run that stopped by itself.
    #[must_use]
    pub fn new(why: String, next: Next) -> Pause {
        Pause { why, next, by: None, finishing: false }
    }
}

/// Digests of the files that say what each side was beside its rows when the copy was made; `None`
/// before that, and in journals of versions that did not note it down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definitions {
    /// The source, at the copy's snapshot.
    pub source: Option<String>,
    /// The target, once the schema is complete.
    pub target: Option<String>,
}

/// How far the copy and the relay are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataStage {
    /// Nothing of ours is in the databases.
    Nothing,
    /// Schema `changeover`, genesis and publications are there.
    Installed,
    /// A copy was begun; its snapshot lives only as long as the process that holds it.
    Copying,
    /// That snapshot is gone; what was copied must be removed.
    CopyLost,
    /// All rows of the snapshot are on the target.
    Copied,
    /// Indexes and constraints are there; the forward relay runs.
    Built,
    /// The target has caught up once; the forward relay runs.
    Following,
}
