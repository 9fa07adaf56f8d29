//! `stop`: ends the daemon and leaves the migration as it is. Slots retain while it is away.

use changeover_engine::Report;
use changeover_engine::client::ClientError;
use changeover_engine::protocol::{Answer, Ask};

use crate::cli::{Global, Migration};
use crate::output::{Output, confirm};
use crate::{exit, follow, migration};

pub(super) fn run(args: &Migration, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.migration, global)?;
    follow::block_on(async {
        let mut daemon = match changeover_engine::find_daemon(&target.state_dir).await {
            Ok(daemon) => daemon,
            Err(ClientError::NotRunning { .. }) => {
                output.line(format!("no daemon runs {}: nothing to do", target.name));
                return Ok(exit::OK);
            }
            Err(error) => return Err(error.report()),
        };
        let question = "While the daemon is away nothing follows, and the servers keep their log \
                        for it until their disks are full. Stop it?";
        confirm(question, global.yes)?;
        match daemon.request(Ask::Shutdown).await {
            // It may be gone before its answer.
            Ok(Answer::Accepted) | Err(ClientError::NotRunning { .. }) => {}
            Ok(Answer::Refused(fault)) => return Err(migration::refusal(fault)),
            Ok(_) => {
                return Err(Report::new("CO0012", "the daemon answered `stop` out of protocol"));
            }
            Err(error) => return Err(error.report()),
        }
        output.emit("stopped", &serde_json::json!({"name": target.name}));
        let words = if target.plan.is_some() { target.words() } else { "PLAN".to_owned() };
        output.line(format!("stopped; `changeover apply {words}` goes on where it was"));
        Ok(exit::OK)
    })
}
