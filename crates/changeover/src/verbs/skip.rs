//! `skip`: the present check or wait is left out. Which one is meant is read first, so that a word
//! that arrives twice leaves out one.

use changeover_engine::Report;
use changeover_engine::protocol::Ask;

use crate::cli::{Global, Skip};
use crate::output::Output;
use crate::{follow, migration, verbs};

pub(super) fn run(args: &Skip, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.which.migration, global)?;
    let step = follow::block_on(async { Ok(target.status().await?.step) })?;
    let Some(step) = step else {
        return Err(Report::new("CO0030", "there is nothing to skip").cause("all steps are done"));
    };
    verbs::order_and_show(&target, Ask::Skip { step, why: args.reason.clone() }, output)
}
