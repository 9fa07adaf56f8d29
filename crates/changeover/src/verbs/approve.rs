//! `approve`: yes or no to a phase that waits, for what is known of it now.

use changeover_engine::Report;
use changeover_engine::protocol::Ask;

use crate::cli::{Approve, Global};
use crate::migration::{self, Target};
use crate::output::Output;
use crate::{follow, verbs};

pub(super) fn run(args: &Approve, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.which.migration, global)?;
    if args.component.is_some() {
        return Err(Report::new("CO0038", "--component is for a program")
            .cause(format!("{} is one migration", target.name)));
    }
    give(args, &target, output)
}

/// Answers what this migration asks.
///
/// # Errors
/// If it asks nothing, or refuses the answer.
pub(crate) fn give(args: &Approve, target: &Target, output: &Output) -> Result<u8, Report> {
    let status = follow::block_on(target.status())?;
    let Some(asked) = status.control.approval else {
        return Err(Report::new("CO0031", "nothing waits for an approval")
            .hint(format!("changeover status {}", target.words())));
    };
    verbs::order_and_show(target, answer(args, asked.facts), output)
}

/// The yes or the no to these facts.
pub(crate) fn answer(args: &Approve, facts: String) -> Ask {
    match &args.reason {
        Some(why) if args.reject => Ask::Reject { facts, why: why.clone() },
        _ => Ask::Approve { facts },
    }
}
