//! `abort`: before the grant, everything we made is removed.

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState};

use crate::cli::{Abort, Global};
use crate::output::{Output, confirm};
use crate::{migration, verbs};

pub(super) fn run(args: &Abort, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.which.migration, global)?;
    let question =
        format!("Remove everything that {} made, what was copied included?", target.name);
    confirm(&question, global.yes)?;
    let lost = args.force;
    verbs::order_and_follow(&target, Ask::Abort { lost }, output, |state| {
        verbs::wanted(state, |state| matches!(state, RunState::Aborted))
    })
}
