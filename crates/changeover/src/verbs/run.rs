//! `run`: the daemon. Hidden, for `apply` starts it.

use changeover_engine::Report;

use crate::cli::{Global, Run};
use crate::{exit, migration};

pub(super) fn run(args: &Run, global: &Global) -> Result<u8, Report> {
    let planned = migration::read_plan(&args.plan, global)?;
    changeover_engine::run_daemon(&planned.path, &planned.state_dir, args.until.clone())?;
    Ok(exit::OK)
}
