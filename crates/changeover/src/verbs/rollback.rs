//! `rollback`: weights first, then authority, back to the source.

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState};

use crate::cli::{Global, Rollback};
use crate::output::{Output, confirm};
use crate::{exit, follow, migration, verbs};

pub(super) fn run(args: &Rollback, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.which.migration, global)?;
    if args.give_up {
        let question = format!("Leave {} on the target?", target.name);
        confirm(&question, global.yes)?;
        return verbs::order_and_follow(&target, Ask::GiveUpRollback, output, exit::of_apply);
    }
    let question = format!("Take {} back to the source?", target.name);
    confirm(&question, global.yes)?;
    if let Some(policy) = args.unmovable {
        follow::block_on(target.order(Ask::Unmovable { policy }))?;
    }
    let ask = Ask::Rollback { why: args.why.clone() };
    verbs::order_and_follow(&target, ask, output, |state| {
        verbs::wanted(state, |state| matches!(state, RunState::RolledBack { .. }))
    })
}
