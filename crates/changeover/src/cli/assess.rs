//! The arguments of `assess`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Places;

/// `assess`.
#[derive(Debug, Args)]
pub(crate) struct Assess {
    /// A plan that names both sides; its `declared` and `waivers` count too
    #[arg(value_name = "PLAN", conflicts_with_all = ["source", "target", "source_http", "target_http"])]
    pub(crate) plan: Option<PathBuf>,
    /// The source's database: env:NAME, file:PATH, or a URL without a password
    #[arg(long, value_name = "URL")]
    pub(crate) source: Option<String>,
    /// The target's database, likewise
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    /// An upstream of the source, http:// or https://; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) source_http: Vec<String>,
    /// An upstream of the target; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) target_http: Vec<String>,
    /// The migration's name, for a plan that is drafted [default: the source database's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A schema or schema.table that moves, if not everything does; may be repeated
    #[arg(long, value_name = "TABLES", conflicts_with = "plan")]
    pub(crate) include: Vec<String>,
    /// A schema or schema.table that stays; may be repeated
    #[arg(long, value_name = "TABLES", conflicts_with = "plan")]
    pub(crate) exclude: Vec<String>,
    /// What only people know, and waivers: see --questions
    #[arg(long, value_name = "FILE")]
    pub(crate) answers: Option<PathBuf>,
    /// The path of the upstreams' health endpoint [default: the usual ones are tried]
    #[arg(long, value_name = "PATH")]
    pub(crate) health_path: Option<String>,
    #[command(flatten)]
    pub(crate) places: Places,
    /// For how long the change rate is measured; servers count once a second
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub(crate) sample: Duration,
    /// The longest that one question to a server may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) limit: Duration,
    /// Exit with 2 if there is such a finding or a worse one, or an unknown check
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "blocker",
        value_name = "LEVEL"
    )]
    pub(crate) fail_on: Vec<FailOn>,
    /// Write the report into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The report's form [default: by the file's name, or for people]
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) format: Option<Format>,
    /// Draft a plan file from what is found
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    pub(crate) write_plan: Option<PathBuf>,
    /// Print the catalogue of risks and leave
    #[arg(long, exclusive = true)]
    pub(crate) catalogue: bool,
    /// Print an answers file to fill in and leave
    #[arg(long, exclusive = true)]
    pub(crate) questions: bool,
}

/// What ends with exit code 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// A blocker
    Blocker,
    /// High or worse
    High,
    /// Medium or worse
    Medium,
    /// Any finding
    Low,
    /// A check that could not tell
    Unknown,
    /// Nothing
    Never,
}

impl FailOn {
    /// The words that a register has for it and for what is worse.
    pub(crate) fn severities(self) -> &'static [&'static str] {
        match self {
            FailOn::Blocker => &["blocker"],
            FailOn::High => &["blocker", "high"],
            FailOn::Medium => &["blocker", "high", "medium"],
            FailOn::Low => &["blocker", "high", "medium", "low"],
            FailOn::Unknown => &["unknown"],
            FailOn::Never => &[],
        }
    }
}

/// The report's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// For a ticket or a change board
    Markdown,
    /// NDJSON, as --json writes it
    Json,
    /// SARIF 2.1.0, for code-scanning pages
    Sarif,
}

fn duration(text: &str) -> Result<Duration, String> {
    let read: jiff::SignedDuration =
        text.parse().map_err(|_| "write a time like 500ms, 3s or 1m".to_owned())?;
    let read = Duration::try_from(read).map_err(|_| "a time cannot be negative".to_owned())?;
    let most = Duration::from_secs(3_600);
    if read <= most { Ok(read) } else { Err("at most an hour".to_owned()) }
}
