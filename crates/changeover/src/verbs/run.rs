//! `run`: the daemon. Hidden, for `apply` starts it.

use changeover_engine::{Begin, Report};

use crate::cli::{Global, Run};
use crate::{exit, migration, program};

pub(super) fn run(args: &Run, global: &Global) -> Result<u8, Report> {
    if let Some(programmed) = program::read(&args.plan, global)? {
        if args.at_rest {
            return Err(Report::new("CO0028", "a program has no --at-rest"));
        }
        changeover_engine::run_program_daemon(programmed.files, args.until.clone())?;
        return Ok(exit::OK);
    }
    let planned = migration::read_plan(&args.plan, global)?;
    let begin = match &args.until {
        Some(phase) => Begin::Until(phase),
        None if args.at_rest => Begin::AtRest,
        None => Begin::ToTheEnd,
    };
    changeover_engine::run_daemon(&planned.path, &planned.state_dir, begin)?;
    Ok(exit::OK)
}
