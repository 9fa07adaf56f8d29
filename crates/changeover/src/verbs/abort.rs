//! `abort`: before the grant, everything we made is removed.

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState};

use crate::cli::{Global, Migration};
use crate::output::{Output, confirm};
use crate::{migration, verbs};

pub(super) fn run(args: &Migration, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.migration, global)?;
    let question =
        format!("Remove everything that {} made, what was copied included?", target.name);
    confirm(&question, global.yes)?;
    verbs::order_and_follow(&target, Ask::Abort, output, |state| {
        verbs::wanted(state, |state| matches!(state, RunState::Aborted))
    })
}
