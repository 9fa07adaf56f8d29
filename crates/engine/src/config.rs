//! What a daemon is told before it starts.

use std::path::PathBuf;
use std::sync::Arc;

use changeover_plan::Plan;
use changeover_run::Input;

/// Where the plan's file is, in the state folder.
pub const PLAN_PATH_FILE: &str = "plan.path";

/// What a daemon is made of.
pub(crate) struct Config {
    /// The checked plan.
    pub(crate) plan: Arc<Plan>,
    /// Its text as it goes into the journal.
    pub(crate) plan_text: String,
    /// Where it was read; relative secret files start there.
    pub(crate) plan_path: PathBuf,
    /// The migration's own folder.
    pub(crate) state_dir: PathBuf,
    /// What a run that begins now hears before anything else, if not to go to its end.
    pub(crate) first: Option<Input>,
}
