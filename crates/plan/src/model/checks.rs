//! The steps that ask instead of move: smoke, load, run and mirror.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Against, SecretRef};

/// What a check that says no makes happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFail {
    /// What has moved goes back; where nothing has moved, the run pauses.
    Rollback,
    /// The run pauses.
    Pause,
    /// Everything we made is removed; only before the cutover.
    Abort,
}

/// A few questions, certain answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Smoke {
    /// HTTP requests, in order.
    pub requests: Vec<SmokeRequest>,
    /// Queries, in order.
    pub sql: Vec<SmokeSql>,
    /// Addresses that must accept a connection.
    pub tcp: Vec<SmokeTcp>,
    /// Whom it asks where a question does not say.
    pub against: Against,
    /// How often a question that was answered wrongly is asked again.
    pub retries: u32,
    /// How long before it is asked again.
    pub retry_after: Duration,
    /// What a wrong answer makes happen.
    pub on_fail: OnFail,
}

/// An HTTP request of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpRequest {
    /// GET, HEAD or OPTIONS, unless `unsafe: true` is written out.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, Text)>,
    /// The body; only where `unsafe: true` is written out.
    pub body: Option<String>,
    /// How long the whole answer may take.
    pub within: Duration,
}

/// A text of the plan, or where a secret one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// Written in the plan.
    Plain(String),
    /// Read when it is needed.
    Secret(SecretRef),
}

/// An HTTP request of a smoke check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SmokeRequest {
    /// What is sent.
    pub request: HttpRequest,
    /// What must come back.
    pub expect: HttpExpect,
    /// Who is asked.
    pub against: Against,
}

/// What an HTTP answer must be. Every part must hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpExpect {
    /// The status is in one of these; never empty.
    pub status: Vec<StatusRange>,
    /// Headers, by their name in lower case.
    pub headers: Vec<(String, TextExpect)>,
    /// Places in a JSON body.
    pub json: Vec<(String, JsonExpect)>,
    /// Texts that the body contains.
    pub contains: Vec<String>,
    /// The whole answer comes faster than this.
    pub below: Option<Duration>,
}

/// Status codes from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StatusRange {
    /// The lowest.
    pub from: u16,
    /// The highest.
    pub to: u16,
}

/// What a header must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextExpect {
    /// Exactly this.
    Equals(String),
    /// This within it.
    Contains(String),
    /// There, or not there.
    Exists(bool),
}

/// What a place in a JSON body must be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JsonExpect {
    /// A scalar with this text form.
    Equals(String),
    /// There, or not there.
    Exists(bool),
    /// A list, object or text of this length.
    Length(u64),
    /// A number not below this.
    AtLeast(f64),
    /// A number not above this.
    AtMost(f64),
}

/// A query of a smoke check. It runs in a read-only transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SmokeSql {
    /// One statement.
    pub query: String,
    /// What counts as success.
    pub expect: Expect,
    /// Who is asked.
    pub against: Against,
    /// How long it may take.
    pub within: Duration,
}

/// What a smoke check's query must give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// This many rows.
    Rows(u64),
    /// One row whose first column has this text form.
    Value(String),
    /// These rows in this order, in text form; `None` is NULL.
    Table(Vec<Vec<Option<String>>>),
}

/// An address that must accept a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SmokeTcp {
    /// `host:port`.
    pub address: String,
    /// How long it may take.
    pub within: Duration,
}

/// A command of the user's, run in the plan's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exec {
    /// The program and its arguments; no shell reads them. Never empty.
    pub command: Vec<String>,
    /// How long it may take; then it is ended with its children.
    pub within: Duration,
    /// Where it leaves its JUnit: a pattern from the plan's folder on.
    pub junit: Option<String>,
    /// What is added to its environment.
    pub env: Vec<(String, Text)>,
}

/// Requests at a rate, and what must hold meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// What is sent, and when.
    pub traffic: Traffic,
    /// To whom.
    pub against: Against,
    /// What must hold.
    pub limits: Limits,
    /// How many connections; on each at most one request is under way.
    pub connections: u32,
    /// An answer that takes longer, from the sending on, is a failure.
    pub within: Duration,
    /// What a limit that is not kept makes happen.
    pub on_fail: OnFail,
}

/// What a load consists of.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// Requests of the plan, in turn.
    Requests {
        /// Never empty.
        requests: Vec<LoadRequest>,
        /// At which rates; never empty.
        profile: Vec<ProfilePart>,
    },
    /// The reads of an access log, at its own times.
    AccessLog(AccessLog),
    /// The user's own tool, which judges by itself.
    Exec(Exec),
}

/// A request of a load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadRequest {
    /// What is sent.
    pub request: HttpRequest,
    /// Any other status is a failure.
    pub status: Vec<StatusRange>,
}

/// A time in which the rate changes evenly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProfilePart {
    /// Requests a second at its beginning.
    pub from: f64,
    /// Requests a second at its end.
    pub to: f64,
    /// How long it is.
    pub lasts: Duration,
}

/// What must hold under load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// The largest share of requests that may fail.
    pub error_rate: Option<f64>,
    /// The 99th percentile of latency, counted from when a request should have been sent.
    pub latency_p99: Option<Duration>,
}

/// An access log that is played again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessLog {
    /// Where it is; a relative path starts at the plan's folder.
    pub file: PathBuf,
    /// What its lines are.
    pub format: LogFormat,
    /// So many times as fast as it was.
    pub times: f64,
}

/// The format of an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// The Common Log Format, or the combined one, which only adds to it.
    Common,
    /// An object a line.
    Json,
}

/// Real requests, asked of both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mirror {
    /// Of 10 000 requests so many are mirrored.
    pub sample_of_10k: u16,
    /// For how long.
    pub lasts: Duration,
    /// The largest share of the compared answers that may differ.
    pub at_most: f64,
    /// With fewer comparisons than this there is no verdict, which is a failure.
    pub least: u64,
    /// Headers that are compared, in lower case.
    pub headers: Vec<String>,
    /// Fields that are not compared, as they are told: `/items/*/id`, `header etag`.
    pub ignore: Vec<String>,
    /// What too many differences make happen.
    pub on_fail: OnFail,
}
