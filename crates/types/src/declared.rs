//! What only people know about a move: the questions, and their answers as a plan or an answers
//! file gives them. The plan reads them, the assessment judges them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::WallMs;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// `yes` or `no`.
    YesNo,
    /// `200GB`.
    Bytes,
    /// `5m`.
    Duration,
    /// `2026-11-30`.
    Date,
    /// A whole number.
    Count,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// `yes` or `no`.
    YesNo(bool),
    /// Bytes.
    Bytes(u64),
    /// Milliseconds.
    DurationMs(u64),
    /// The end of that day, in UTC.
    Date(WallMs),
    /// A whole number.
    Count(u64),
}

/// Something that only people know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The section of the file.
    pub section: &'static str,
    /// The key in that section.
    pub key: &'static str,
    /// The form of the answer.
    pub kind: AnswerKind,
    /// In words.
    pub asks: &'static str,
}

impl Question {
    const fn new(
        section: &'static str,
        key: &'static str,
        kind: AnswerKind,
        asks: &'static str,
    ) -> Self {
        Question { section, key, kind, asks }
    }

    /// `section.key`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

/// The questions, by the names that checks use.
pub mod questions {
    use super::AnswerKind::{Bytes, Count, Date, Duration, YesNo};
    use super::Question;

    /// Space for the source's log.
    pub const WAL_FREE: Question =
        Question::new("source", "wal_free", Bytes, "free space where the source keeps its log");
    /// Failover of the source.
    pub const FAILS_OVER: Question = Question::new(
        "source",
        "fails_over",
        YesNo,
        "can a standby or the provider take over from the source during the move?",
    );
    /// The source's capacity during the way back.
    pub const KEPT_AT_SIZE: Question = Question::new(
        "source",
        "kept_at_size",
        YesNo,
        "does the source keep its size until the way back is closed?",
    );
    /// Space on the target.
    pub const DISK_FREE: Question =
        Question::new("target", "disk_free", Bytes, "free space where the target keeps its data");
    /// The target's capacity.
    pub const SIZED_FOR_PEAK: Question = Question::new(
        "target",
        "sized_for_peak",
        YesNo,
        "do CPU, memory and disk of the target carry the 95th percentile of the source's load?",
    );
    /// Zones of the target.
    pub const ZONES: Question =
        Question::new("target", "zones", Count, "in how many zones the target runs");
    /// Backups of the target.
    pub const BACKED_UP: Question =
        Question::new("target", "backed_up", YesNo, "is the target backed up?");
    /// Proof of the target's backups.
    pub const RESTORED_ON: Question = Question::new(
        "target",
        "restored_on",
        Date,
        "when a backup of the target was last restored",
    );
    /// Firewalls in front of others.
    pub const EGRESS_ALLOWED: Question = Question::new(
        "target",
        "egress_allowed",
        YesNo,
        "do allow-lists of partners and firewalls have the target's outgoing addresses?",
    );
    /// Speed of the copy.
    pub const COPY_RATE: Question = Question::new(
        "move",
        "copy_rate",
        Bytes,
        "bytes that can be copied from source to target in a second",
    );
    /// The window.
    pub const WINDOW: Question =
        Question::new("move", "window", Duration, "how long the copy may take");
    /// A freeze of the schema.
    pub const SCHEMA_FROZEN: Question = Question::new(
        "move",
        "schema_frozen",
        YesNo,
        "are changes of the schema stopped until the move is over?",
    );
    /// The switch's owner.
    pub const SWITCH_IN_PIPELINE: Question = Question::new(
        "move",
        "switch_in_pipeline",
        YesNo,
        "does a pipeline (Terraform, CloudFormation) own what decides where traffic goes?",
    );
    /// Time to live.
    pub const DNS_TTL: Question = Question::new(
        "dns",
        "ttl",
        Duration,
        "how long clients may remember the address of the service",
    );
    /// CAA and DNSSEC.
    pub const DNS_ALLOWS_CERTIFICATE: Question = Question::new(
        "dns",
        "allows_certificate",
        YesNo,
        "do CAA and DNSSEC records allow the target's certificates?",
    );
    /// Depth of the health endpoint.
    pub const HEALTH_READS_DATABASE: Question = Question::new(
        "service",
        "health_reads_database",
        YesNo,
        "does the health endpoint fail when the database does?",
    );
    /// Local state.
    pub const KEEPS_LOCAL_STATE: Question = Question::new(
        "service",
        "keeps_local_state",
        YesNo,
        "does the service keep sessions or uploads in memory or on its own disk?",
    );
    /// Workers.
    pub const WORKERS_ON_ONE_SIDE: Question = Question::new(
        "service",
        "workers_on_one_side",
        YesNo,
        "do workers, timers and cron jobs run on one side only, at any time?",
    );
    /// Caches and queues.
    pub const CACHES_PREPARED: Question = Question::new(
        "service",
        "caches_prepared",
        YesNo,
        "are the target's caches warm and its queues moved or shared?",
    );
    /// Versions.
    pub const SAME_VERSION: Question = Question::new(
        "service",
        "same_version",
        YesNo,
        "do both sides run the same version of the service, or versions that may run side by side?",
    );
    /// Hard-coded addresses.
    pub const OLD_ADDRESS_IN_USE: Question = Question::new(
        "service",
        "old_address_in_use",
        YesNo,
        "do code, configuration or clients name the source's hosts or addresses?",
    );
    /// Secrets in clear text.
    pub const SECRETS_IN_CLEAR: Question = Question::new(
        "service",
        "secrets_in_clear",
        YesNo,
        "do files that many can read hold passwords or tokens in clear text?",
    );
    /// Pool sizes.
    pub const POOL_CONNECTIONS: Question = Question::new(
        "clients",
        "pool_connections",
        Count,
        "how many database connections all pools together may open",
    );
    /// Age of connections.
    pub const MAX_CONNECTION_AGE: Question = Question::new(
        "clients",
        "max_connection_age",
        Duration,
        "after how long a client's connection is closed and opened anew",
    );
    /// Length of requests.
    pub const LONGEST_REQUEST: Question =
        Question::new("clients", "longest_request", Duration, "how long a request may take");
    /// Repeatable requests.
    pub const RETRY_SAFE: Question = Question::new(
        "clients",
        "retry_safe",
        YesNo,
        "can requests that write be repeated without harm (idempotent, or with a key)?",
    );
    /// Webhooks.
    pub const PIN_ADDRESS: Question = Question::new(
        "partners",
        "pin_address",
        YesNo,
        "do webhooks or partners have the source's address in their settings?",
    );
    /// Metrics.
    pub const METRICS_OF_BOTH: Question =
        Question::new("metrics", "of_both_sides", YesNo, "are metrics gathered of both sides?");
    /// Alerts.
    pub const METRICS_ALERT: Question = Question::new(
        "metrics",
        "alert",
        YesNo,
        "does an alert fire when the objectives are missed?",
    );

    /// All of them, by section.
    pub const ALL: [Question; 29] = [
        WAL_FREE,
        FAILS_OVER,
        KEPT_AT_SIZE,
        DISK_FREE,
        SIZED_FOR_PEAK,
        ZONES,
        BACKED_UP,
        RESTORED_ON,
        EGRESS_ALLOWED,
        COPY_RATE,
        WINDOW,
        SCHEMA_FROZEN,
        SWITCH_IN_PIPELINE,
        DNS_TTL,
        DNS_ALLOWS_CERTIFICATE,
        HEALTH_READS_DATABASE,
        KEEPS_LOCAL_STATE,
        WORKERS_ON_ONE_SIDE,
        CACHES_PREPARED,
        SAME_VERSION,
        OLD_ADDRESS_IN_USE,
        SECRETS_IN_CLEAR,
        POOL_CONNECTIONS,
        MAX_CONNECTION_AGE,
        LONGEST_REQUEST,
        RETRY_SAFE,
        PIN_ADDRESS,
        METRICS_OF_BOTH,
        METRICS_ALERT,
    ];
}

/// The answers that were given, by [`Question::path`], each with where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared(pub BTreeMap<String, (Answer, String)>);

impl Declared {
    /// The answer and where it stands (`answers.yaml:4`).
    #[must_use]
    pub fn answer(&self, question: &Question) -> Option<&(Answer, String)> {
        self.0.get(&question.path())
    }
}

/// Somebody's word that a finding is accepted for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// Of which check.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Whose word.
    pub by: String,
    /// The end of that day in UTC; after it the waiver counts as none.
    pub until: WallMs,
}
