//! `verify`: compares both sides now.

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState, RunStatus, VerifyStatus};

use crate::cli::{Global, Migration};
use crate::follow::{self, Followed};
use crate::output::Output;
use crate::{exit, migration, view};

pub(super) fn run(args: &Migration, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.migration, global)?;
    follow::block_on(async {
        target.order(Ask::Verify).await?;
        let compared = |status: &RunStatus| {
            let stopped = matches!(status.state, RunState::Failed { .. });
            stopped || status.verify.as_ref().is_some_and(VerifyStatus::is_over)
        };
        match follow::until(&target, output, None, compared).await? {
            Followed::Left => {
                follow::farewell(&target, output);
                Ok(exit::DETACHED)
            }
            Followed::Rested(_, Some(status)) => show(&status, output),
            Followed::Rested(state, None) => Err(Report::new(
                "CO0024",
                format!("the comparison was not completed: the run is {}", state.word()),
            )),
        }
    })
}

fn show(status: &RunStatus, output: &Output) -> Result<u8, Report> {
    let Some(verify) = status.verify.as_ref().filter(|verify| verify.complete) else {
        let failed = status.verify.as_ref().and_then(|verify| verify.failed.clone());
        return Err(Report::new("CO0024", "the comparison was not completed")
            .cause(failed.unwrap_or_else(|| view::state(&status.state))));
    };
    output.emit("result", &serde_json::json!({"verify": verify}));
    output.line(format!(
        "{} rows in {} tables compared, {} different",
        verify.rows_compared, verify.tables, verify.rows_different
    ));
    for example in &verify.examples {
        output.line(format!("  {example}"));
    }
    Ok(if verify.rows_different == 0 { exit::OK } else { exit::ERROR })
}
