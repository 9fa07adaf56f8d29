//! What people, clocks and guards have said in a run, as far as it still counts.

use std::collections::BTreeMap;
use std::fmt;

use changeover_plan::{Plan, fingerprint};
use changeover_types::WallMs;
use serde::{Deserialize, Serialize};

use crate::state::State;

/// Who said something. The user is what the system knows of whoever asked; the name is their word,
/// and worth what the socket's permissions are worth.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Who {
    /// The user of the operating system.
    pub user: String,
    /// The name they gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Who {
    /// The name that counts: the one given, else the system's.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.user)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) if *name != self.user => write!(f, "{name} (user {})", self.user),
            _ => f.write_str(&self.user),
        }
    }
}

/// The part of the state that is about conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Control {
    /// Whoever ran `apply`, by identity.
    pub appliers: Vec<String>,
    /// The phase that may run, by index: its window was open and its approvals were given.
    pub opened: Option<usize>,
    /// The window of the present phase, as far as it was looked up.
    pub window: Option<WindowState>,
    /// The approval that the present phase asks for or was given.
    pub approval: Option<Approval>,
    /// The hash of the source's catalogue when it was looked at last.
    pub catalogue: Option<String>,
    /// How many rows differed when both sides were compared last.
    pub different: Option<u64>,
    /// Guards that are not good, by name.
    pub guards: BTreeMap<String, GuardState>,
    /// How often the run went back by itself.
    pub automatic_rollbacks: u32,
    /// What is known of the way of the rollback under way.
    #[serde(default)]
    pub way_back: WayBack,
    /// Whether the plan's deadline was reached, and its consequence drawn.
    pub deadline_reached: bool,
    /// Steps that were skipped, by index.
    pub skipped: Vec<usize>,
}

/// What is known of the way back before the first step on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WayBack {
    /// It was looked at, or there is none to look at.
    #[default]
    Clear,
    /// The run goes back by itself: only if the source can take everything.
    ToProve,
    /// A person says so: what stands against it is told, and they are obeyed.
    ToTell,
}

/// A window that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowState {
    /// The phase that has it, by index.
    pub phase: usize,
    /// When it opens.
    pub opens: WallMs,
    /// When it closes.
    pub closes: WallMs,
    /// Whether it has opened.
    pub reached: bool,
}

/// An approval that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Approval {
    /// The step that waits, as `phase/step`.
    pub step: String,
    /// Until when it is waited for.
    pub expires: WallMs,
    /// The digest of what was known when it was asked for; another one makes it void.
    pub facts: String,
    /// How many must say yes.
    pub needed: usize,
    /// Who may.
    pub from: Vec<String>,
    /// Who has.
    pub given: Vec<String>,
}

impl Approval {
    /// Whether enough have said yes.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.given.len() >= self.needed
    }
}

/// A guard that is not good.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GuardState {
    /// What it is instead.
    pub is: Standing,
    /// Since when.
    pub since: WallMs,
    /// The figures.
    pub why: String,
    /// Whether its consequence was drawn.
    pub acted: bool,
    /// Whether it keeps the run from beginning anything.
    pub holds: bool,
}

/// How a guard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It keeps to its limit.
    Good,
    /// It does not.
    Bad,
    /// Nothing is known of it.
    NoData,
}

impl Control {
    /// Why the guards let nothing begin, if so.
    #[must_use]
    pub fn held(&self) -> Option<String> {
        let reasons: Vec<String> = self
            .guards
            .iter()
            .filter(|(_, guard)| guard.holds)
            .map(|(name, guard)| format!("guard {name}: {}", guard.why))
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// The guards that were bad, or without data, for as long as the plan bears.
    #[must_use]
    pub fn alarms(&self) -> Vec<String> {
        let standing = self.guards.iter().filter(|(_, guard)| guard.acted);
        standing.map(|(name, guard)| format!("guard {name}: {}", guard.why)).collect()
    }

    /// What people said of another plan does not count for this one; a phase that is under way goes
    /// on, for what it has moved must be watched.
    pub(crate) fn plan_changed(&mut self, under_way: bool) {
        self.approval = None;
        self.guards.clear();
        self.deadline_reached = false;
        if !under_way {
            (self.opened, self.window) = (None, None);
        }
    }

    /// What the run forgets when it turns to something else.
    pub(crate) fn turn(&mut self) {
        (self.opened, self.window, self.approval) = (None, None, None);
        self.guards.clear();
        self.way_back = WayBack::Clear;
    }
}

/// The digest of what the run knows at its present step: an approval is bound to it. Growth of the
/// tables is no part of it, a change of their shape is.
#[must_use]
pub fn facts_digest(state: &State, plan: &Plan) -> String {
    let path = plan.steps().nth(state.at).map(|placed| placed.path).unwrap_or_default();
    let different = state.control.different.map_or_else(|| "never".to_owned(), |n| n.to_string());
    let own = state.split.own.iter();
    let own: Vec<String> =
        own.map(|(route, share)| format!("{route}={}", share.target_permille)).collect();
    let mut facts = vec![
        plan.digest.clone(),
        path,
        state.cutover.authority.as_str().to_owned(),
        state.cutover.authority_epoch.to_string(),
        state.target_permille.to_string(),
        state.control.catalogue.clone().unwrap_or_else(|| "unknown".to_owned()),
        different,
    ];
    facts.extend(own);
    fingerprint(&facts.iter().map(String::as_str).collect::<Vec<_>>())
}
