//! What discovery hands over.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Evidence, Name};
use crate::hints::Hint;

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A program of one's own.
    Service,
    /// Keeps data that must not be lost.
    Database,
    /// Keeps messages until somebody takes them.
    Queue,
    /// Keeps what could be computed again.
    Cache,
    /// Belongs to somebody else and stays where it is.
    ThirdParty,
    /// A machine.
    Host,
}

/// What else is known of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trait {
    /// Clients from outside reach it directly.
    FacesClients,
    /// It works without being asked: a worker or a timer.
    Background,
    /// It keeps files on a disk of its own.
    KeepsFiles,
}

/// How one end leans on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It does not work without the other.
    Uses,
    /// It only looks at the other.
    Watches,
    /// It runs on that machine.
    RunsOn,
}

/// One sighting of a component. Two sightings that share a name are the same component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// What people call it.
    pub label: String,
    /// What it is, where the place says so.
    pub kind: Option<Kind>,
    /// `postgres`, `redis`, `nginx` …, where it can be told.
    pub engine: Option<String>,
    /// All its names.
    pub names: BTreeSet<Name>,
    /// Databases that it is said to hold.
    pub databases: BTreeSet<String>,
    /// What else is known.
    pub traits: BTreeSet<Trait>,
    /// Where that is written or was seen.
    pub evidence: Evidence,
}

/// One sighting of a dependency between two names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who leans.
    pub from: Name,
    /// On whom.
    pub to: Name,
    /// How.
    pub relation: Relation,
    /// What the other end must be, judged by scheme or port, should nothing else tell.
    pub assumed: Option<Kind>,
    /// The other end's engine, judged likewise.
    pub engine: Option<String>,
    /// The database that is used there, where it can be told.
    pub database: Option<String>,
    /// Where that is written or was seen.
    pub evidence: Evidence,
}

/// Something that could not be read. It never ends an assessment, and never counts as fine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unread {
    /// The file, URL or place.
    pub source: String,
    /// The line, if one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What was tried and why it did not work.
    pub why: String,
    /// What to do about it.
    pub next: String,
}

/// What kind of source was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A Compose file.
    Compose,
    /// A Terraform state or plan.
    Terraform,
    /// A Kubernetes manifest.
    Kubernetes,
    /// A systemd unit.
    Systemd,
    /// nginx configuration.
    Nginx,
    /// HAProxy configuration.
    Haproxy,
    /// Prometheus, or its configuration.
    Prometheus,
    /// A host's processes.
    Processes,
    /// Clients of a database.
    Activity,
    /// A name server.
    Resolver,
}

/// Everything that discovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Sightings of components.
    pub components: Vec<Component>,
    /// Sightings of dependencies.
    pub links: Vec<Link>,
    /// What the checks should know.
    pub hints: Vec<Hint>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// What was looked at, by path, URL or place.
    pub read: BTreeMap<String, SourceKind>,
    /// Files that are nothing we know, and were left alone.
    pub passed_over: usize,
}

impl Discovery {
    /// Takes in what another reading found.
    pub fn extend(&mut self, other: Discovery) {
        self.components.extend(other.components);
        self.links.extend(other.links);
        self.hints.extend(other.hints);
        self.unread.extend(other.unread);
        self.read.extend(other.read);
        self.passed_over += other.passed_over;
    }
}
