//! `status`: where a migration stands, from its daemon, or from its journal when that is gone.

use changeover_engine::Report;
use changeover_engine::protocol::RunStatus;

use crate::cli::{Global, Status};
use crate::migration::{self, Journalled, Target};
use crate::output::Output;
use crate::{exit, follow, verbs, view};

pub(super) fn run(args: &Status, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.which.migration, global)?;
    let Some(journalled) = migration::journalled(&target.state_dir)? else {
        output.emit("result", &serde_json::json!({"name": target.name, "state": null}));
        output.line(format!("{}: nothing was applied yet", target.name));
        return Ok(exit::OK);
    };
    let code = show(args, &target, &journalled, output)?;
    if let Some(file) = &args.junit {
        super::junit::save(&target, file)?;
    }
    Ok(code)
}

fn show(
    args: &Status,
    target: &Target,
    journalled: &Journalled,
    output: &Output,
) -> Result<u8, Report> {
    if journalled.state.mode.is_over() {
        from_journal(target, journalled, output);
        return Ok(exit::OK);
    }
    follow::block_on(async {
        if args.watch {
            let enough = |status: &RunStatus| status.state.is_resting();
            return verbs::rest(target, output, None, enough, exit::of_status).await;
        }
        match target.status().await {
            Ok(status) => {
                output.emit("status", &status);
                output.line(view::lines(&view::table(&status)));
                Ok(exit::of_status(&status.state))
            }
            // What the journal says is worth more than nothing, so it comes before the fault.
            Err(report) => {
                from_journal(target, journalled, output);
                Err(report)
            }
        }
    })
}

fn from_journal(target: &Target, journalled: &Journalled, output: &Output) {
    let (meta, state) = (&journalled.meta, &journalled.state);
    let run_state = journalled.run_state();
    output.emit(
        "journal",
        &serde_json::json!({
            "name": target.name, "run_id": meta.run_id, "plan_digest": journalled.plan_digest(),
            "state": run_state, "steps_done": state.at, "authority": state.cutover.authority,
            "target_permille": state.target_permille, "routes": state.split.own,
            "records": journalled.records,
        }),
    );
    let mut rows = vec![
        ("migration", format!("{} (run {})", target.name, meta.run_id)),
        ("state", view::state(&run_state)),
        ("steps done", state.at.to_string()),
        ("authority", state.cutover.authority.to_string()),
        ("requests", format!("{} to the target", view::journalled_shares(state))),
        ("journal", format!("{} records", journalled.records)),
    ];
    rows.extend(view::next_command(&run_state).map(|next| ("next", next)));
    output.line(view::lines(&rows));
}
