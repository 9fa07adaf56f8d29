//! `resume`: a paused run goes on.

use changeover_engine::Report;
use changeover_engine::protocol::Ask;

use crate::cli::{Global, Migration};
use crate::output::Output;
use crate::{migration, verbs};

pub(super) fn run(args: &Migration, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.migration, global)?;
    verbs::order_and_show(&target, Ask::Resume, output)
}
