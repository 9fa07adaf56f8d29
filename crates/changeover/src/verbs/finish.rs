//! `finish`: the only verb that cannot be taken back, so the name is typed again.

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState};

use crate::cli::{Global, Migration};
use crate::output::{Output, ask};
use crate::{migration, verbs};

pub(super) fn run(args: &Migration, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.migration, global)?;
    let name = target.name.to_string();
    if !global.yes {
        output.note("After `finish` nothing can be taken back, and the source stays sealed.");
        let typed = ask(&format!("Type the migration's name ({name}) to go on: "))?;
        if typed != name {
            return Err(Report::new("CO0003", "left as it was, for the name was not typed"));
        }
    }
    verbs::order_and_follow(&target, Ask::Finish { confirm: name }, output, |state| {
        verbs::wanted(state, |state| matches!(state, RunState::Finished))
    })
}
