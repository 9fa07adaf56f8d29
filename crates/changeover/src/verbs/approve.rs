//! `approve`: yes or no to a phase that waits, for what is known of it now.

use changeover_engine::Report;
use changeover_engine::protocol::Ask;

use crate::cli::{Approve, Global};
use crate::output::Output;
use crate::{follow, migration, verbs};

pub(super) fn run(args: &Approve, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.which.migration, global)?;
    let status = follow::block_on(target.status())?;
    let Some(asked) = status.control.approval else {
        return Err(Report::new("CO0031", "nothing waits for an approval")
            .hint(format!("changeover status {}", target.words())));
    };
    let facts = asked.facts;
    let ask = match &args.reason {
        Some(why) if args.reject => Ask::Reject { facts, why: why.clone() },
        _ => Ask::Approve { facts },
    };
    verbs::order_and_show(&target, ask, output)
}
