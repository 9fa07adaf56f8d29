//! The command line.

mod assess;
mod places;

use std::path::PathBuf;

use changeover_plan::Unmovable;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use assess::{Assess, FailOn, Format};
pub(crate) use places::Places;

use crate::exit;

/// Moves a live service, its traffic and its data, from one environment to another: no request
/// fails, no row is lost, and every step can be taken back until `finish`.
#[derive(Debug, Parser)]
#[command(name = "changeover", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// What holds for every verb.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What holds for every verb.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Write NDJSON to standard output; the first line names the version
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Folder that holds a folder for each migration [default: $XDG_STATE_HOME/changeover]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Do not ask
    #[arg(long, short = 'y', global = true)]
    pub(crate) yes: bool,
    /// Who you are, for the journal and for approvals [default: the user of the system]
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write a commented plan
    Init(Init),
    /// Look at both sides: what is there, what could go wrong, what to do about it
    Assess(Box<Assess>),
    /// Check a plan, connect, and print what will happen in order
    Plan(PlanArgs),
    /// Carry the plan out against throw-away databases, the way back included, and measure it
    Rehearse(RehearseArgs),
    /// Carry the clients' traffic: long-lived, one for each plan and host
    Gate(PlanFile),
    /// Begin the migration, or go on with it
    Apply(Apply),
    /// Say where a migration stands
    Status(Status),
    /// Compare both sides now
    Verify(Migration),
    /// Begin nothing more until `resume`; what goes on, goes on
    Pause(Pause),
    /// Go on after a pause
    Resume(Migration),
    /// Leave the present check or wait out
    Skip(Skip),
    /// Say yes, or no, to a phase that waits for it
    Approve(Approve),
    /// Take authority and traffic back to the source
    Rollback(Rollback),
    /// Before the cutover: remove everything that was made
    Abort(Abort),
    /// End the way back: the one step that cannot be undone
    Finish(Migration),
    /// Stop the daemon and leave the migration as it is
    Stop(Migration),
    /// Look into a migration's journal
    Journal(Journal),
    /// Print the JSON Schema of the plan file, for editors
    Schema(SchemaArgs),
    /// Print completions for a shell
    Completions(Completions),
    /// The guard of a command that a check runs: ends it with us
    #[command(name = changeover_engine::GUARD_VERB, hide = true)]
    GuardCommand(GuardCommand),
    /// The daemon that `apply` starts
    #[command(hide = true)]
    Run(Run),
}

/// `abort`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Abort {
    #[command(flatten)]
    pub(crate) which: Migration,
    /// Also remove what another run left that rests and never moved authority: its state folder is
    /// lost for good
    #[arg(long)]
    pub(crate) force: bool,
}

/// A plan's file.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanFile {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
}

/// `plan`.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanArgs {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    /// Check only the file, connect to nothing
    #[arg(long, conflicts_with_all = ["out", "Places"])]
    pub(crate) offline: bool,
    /// Do not measure; durations that need it stay unknown
    #[arg(long)]
    pub(crate) no_sample: bool,
    /// Write nothing at all: do not try the schema on the target
    #[arg(long, conflicts_with = "offline")]
    pub(crate) read_only: bool,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = DocumentFormat::Text)]
    pub(crate) format: DocumentFormat,
    /// Write the plan for a change board to this file too: .html, .md or .json; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) document: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) places: Places,
    /// Save the plan, bound to what was found, for one `apply FILE`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// For how long a saved plan may be applied
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(crate) valid_for: std::time::Duration,
    /// Write the statements that mend what was found to this file
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    pub(crate) fix: Option<PathBuf>,
    /// Exit with 2 if there is such a risk or a worse one that the plan does not accept; a blocker
    /// is an error always
    #[arg(long, value_enum, value_delimiter = ',', default_value = "high", value_name = "LEVEL")]
    pub(crate) fail_on: Vec<FailOn>,
    /// Exit with 2 if `apply` would do something, and with 1 for what --fail-on names
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

fn unmovable(text: &str) -> Result<Unmovable, String> {
    match text {
        "wait" => Ok(Unmovable::Wait),
        "terminate" => Ok(Unmovable::Terminate),
        _ => Err("wait or terminate is needed".to_owned()),
    }
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let read = changeover_plan::read_duration(text).filter(|it| !it.is_zero());
    read.ok_or_else(|| "a duration like 30m, 24h or 3d is needed".to_owned())
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocumentFormat {
    /// For the terminal
    Text,
    /// Markdown
    Markdown,
    /// One self-contained page
    Html,
    /// One JSON object
    Json,
}

/// `rehearse`.
#[derive(Debug, Args)]
pub(crate) struct RehearseArgs {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    /// Only remove what an interrupted rehearsal left
    #[arg(long)]
    pub(crate) clean_up: bool,
}

/// `apply`.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The plan, or one that `plan --out` saved
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    /// Leave as soon as the run goes on by itself
    #[arg(long)]
    pub(crate) detach: bool,
    /// Rest at the end of this phase; a later `apply` goes on
    #[arg(long, value_name = "PHASE")]
    pub(crate) until: Option<String>,
    /// Write every check that was carried out to this file, as JUnit
    #[arg(long, value_name = "FILE", conflicts_with = "detach")]
    pub(crate) junit: Option<PathBuf>,
    /// From now on: wait for sessions whose state cannot move, or end them when authority has moved
    #[arg(long, value_name = "POLICY", value_parser = unmovable)]
    pub(crate) unmovable: Option<Unmovable>,
    /// Leave with exit code 4 when an approval is waited for
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Approve as this person whatever this run waits for: what `--yes` never does
    #[arg(long, value_name = "NAME")]
    pub(crate) approve_as: Option<String>,
}

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    /// A run that begins now rests at the end of this phase
    #[arg(long, value_name = "PHASE")]
    pub(crate) until: Option<String>,
    /// A run that begins now begins no step
    #[arg(long, conflicts_with = "until")]
    pub(crate) at_rest: bool,
}

/// A migration, by its plan or by its name.
#[derive(Clone, Debug, Args)]
pub(crate) struct Migration {
    /// The plan's file, or the name of a migration that was begun
    #[arg(value_name = "PLAN|NAME")]
    pub(crate) migration: PathBuf,
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Which.
    #[command(flatten)]
    pub(crate) which: Migration,
    /// Stay and show what happens
    #[arg(long, short = 'w')]
    pub(crate) watch: bool,
    /// Write every check that was carried out to this file, as JUnit
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

/// `pause`.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Which.
    #[command(flatten)]
    pub(crate) which: Migration,
    /// Why, for the journal
    #[arg(long, default_value = "asked for by the operator", value_name = "TEXT")]
    pub(crate) reason: String,
}

/// `skip`.
#[derive(Debug, Args)]
pub(crate) struct Skip {
    /// Which.
    #[command(flatten)]
    pub(crate) which: Migration,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// `approve`.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// Which.
    #[command(flatten)]
    pub(crate) which: Migration,
    /// Say no
    #[arg(long, requires = "reason")]
    pub(crate) reject: bool,
    /// Why not, for the journal
    #[arg(long, requires = "reject", value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Which component of a program is meant, if several wait
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Option<String>,
}

/// `rollback`.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// Which.
    #[command(flatten)]
    pub(crate) which: Migration,
    /// Why, for the journal
    #[arg(long, default_value = "asked for by the operator")]
    pub(crate) why: String,
    /// From now on: wait for sessions whose state cannot move, or end them when authority has moved
    #[arg(long, value_name = "POLICY", value_parser = unmovable, conflicts_with = "give_up")]
    pub(crate) unmovable: Option<Unmovable>,
    /// Stay on the target: gives up a rollback that has not changed authority yet
    #[arg(long, conflicts_with = "why")]
    pub(crate) give_up: bool,
}

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to write it
    #[arg(value_name = "FILE", default_value = "changeover.yaml")]
    pub(crate) file: PathBuf,
    /// What the plan moves
    #[arg(long, value_enum, default_value_t = Kind::Service)]
    pub(crate) kind: Kind,
}

/// What a new plan moves.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// Requests and data
    Service,
    /// Only a database
    Database,
    /// Only requests
    Http,
}

/// `journal`.
#[derive(Debug, Args)]
pub(crate) struct Journal {
    /// What to do with it.
    #[command(subcommand)]
    pub(crate) act: JournalAct,
}

/// What to do with a journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalAct {
    /// Print its records, checking the chain
    Show(JournalShow),
}

/// `journal show`.
#[derive(Debug, Args)]
pub(crate) struct JournalShow {
    /// Which.
    #[command(flatten)]
    pub(crate) which: Migration,
    /// Only records after this number
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    pub(crate) after: u64,
}

/// `schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Of what
    #[arg(value_enum, default_value_t = SchemaOf::Plan)]
    pub(crate) of: SchemaOf,
    /// Write it to this file instead
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SchemaOf {
    /// The plan file
    Plan,
    /// A program's file
    Program,
}

/// The guard of a command.
#[derive(Debug, Args)]
pub(crate) struct GuardCommand {
    /// The command and its arguments
    #[arg(required = true, last = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
