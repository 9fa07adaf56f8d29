//! `pause`: nothing more is begun. A change of authority that is under way is called off, or brought
//! to its end, before this verb ends.

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState};

use crate::cli::{Global, Pause};
use crate::output::Output;
use crate::{follow, migration, verbs};

pub(super) fn run(args: &Pause, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.which.migration, global)?;
    follow::block_on(async {
        let after = target.last_event().await?;
        target.order(Ask::Pause { why: args.reason.clone() }).await?;
        let enough = |status: &changeover_engine::protocol::RunStatus| {
            status.state.is_resting() && !status.control.authority_is_moving
        };
        verbs::rest(&target, output, Some(after), enough, |state| {
            verbs::wanted(state, |state| matches!(state, RunState::Paused { .. }))
        })
        .await
    })
}
