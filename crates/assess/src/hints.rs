//! What discovery noticed beside the map, in words that the risk checks can judge. A hint is a
//! fact with its evidence, never a verdict; no hint of a kind means "nothing was seen", which a
//! check must not read as "all is well" unless the sources that would show it were read.

use serde::Serialize;

use crate::map::Evidence;

/// One thing noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// The component it is about, by the name it has where it was read.
    pub component: String,
    /// What was noticed.
    #[serde(flatten)]
    pub what: HintKind,
    /// Where.
    pub evidence: Evidence,
}

/// What can be noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "hint", rename_all = "snake_case")]
pub enum HintKind {
    /// A configuration names a host or address that belongs to one side (risk 37).
    HardCodedAddress {
        /// The configuration's key or directive.
        key: String,
        /// Host and port, without user, password or path.
        address: String,
    },
    /// It works without being asked, and would on both sides (risk 41).
    BackgroundWork {
        /// When, if it is a timer.
        schedule: Option<String>,
    },
    /// It keeps files on a disk of its own (risk 40).
    LocalState {
        /// The path in the component.
        path: String,
        /// The volume or folder behind it.
        volume: String,
    },
    /// How long resolvers keep a name (risk 36).
    DnsTtl {
        /// The name.
        name: String,
        /// Seconds.
        seconds: u64,
    },
    /// An autoscaler may shrink the old side while it is still the way back (risk 47).
    AutoscalerMinimum {
        /// The least number of instances.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// A resource that carries the switch is owned by a pipeline, which would put it back
    /// (risk 48).
    SwitchResource {
        /// Its address in the state.
        address: String,
        /// Its type.
        resource_type: String,
        /// What the plan would do with it; empty if only the state was read.
        actions: Vec<String>,
    },
    /// Connections that live long, or a limit on how long they may (risk 38).
    LongLivedConnections {
        /// What shows it.
        shows: String,
        /// The greatest age, where there is one, in seconds.
        max_age_seconds: Option<u64>,
    },
    /// A timeout that bounds how long a request may take or a drain may last (risk 39).
    Timeout {
        /// Its name.
        name: String,
        /// Milliseconds.
        ms: u64,
    },
    /// A service that was read whole and has no health check (risk 35).
    NoHealthCheck,
    /// A key whose value holds a password in plain text; the value is not kept (risk 49).
    PlainSecret {
        /// The key.
        key: String,
    },
    /// A service that Prometheus scrapes, and whether it answers (risk 46).
    ScrapeTarget {
        /// The job.
        job: String,
        /// Whether the last scrape worked; unknown for a mere configuration.
        up: Option<bool>,
    },
    /// What it runs: an image's name without its tag or digest, and that (risk 45).
    Image {
        /// `registry.example.com/shop/app`.
        name: String,
        /// `2.4.1` or `sha256:…`.
        version: String,
    },
}
