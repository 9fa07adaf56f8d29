//! Who would keep the next move of authority from happening, looked at all along: a person who is
//! told before can do something about it.

use std::sync::Arc;
use std::time::Duration;

use changeover_plan::{Plan, Unmovable};
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::session::Session;
use changeover_postgres::unmovable::{self, Unmovable as Kept};
use changeover_types::Side;
use tokio::time::{sleep, timeout};

use super::{Effects, application};
use crate::board::Board;
use crate::databases::Databases;
use crate::report::chain;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A server that does not answer by then is asked again later.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How many are named.
const NAMED: usize = 5;

impl Effects {
    /// Shows them while the migration lives; only a PostgreSQL gate holds sessions.
    pub(crate) async fn keep_unmovable_shown(
        plan: Arc<Plan>,
        databases: Option<Databases>,
        board: Arc<Board>,
    ) {
        let (Some(databases), Some(_)) = (databases, &plan.gates.postgres) else { return };
        loop {
            let status = board.status();
            // Sessions are let alone while they move.
            if !status.control.authority_is_moving {
                let looked = look(&plan, &databases, status.authority);
                if let Ok(Ok(kept)) = timeout(ANSWER_WITHIN, looked).await {
                    board.show_unmovable(named(&kept));
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// For a look at the way back: who stands against it, and what helps.
    pub(super) async fn unmovable_on_target(&self, within: Duration) -> Option<String> {
        let (Some(databases), Some(_)) = (&self.databases, &self.plan.gates.postgres) else {
            return None;
        };
        if self.unmovable == Unmovable::Terminate {
            return None;
        }
        let unknown = |why: String| Some(format!("which sessions cannot move is not known: {why}"));
        let kept = match timeout(within, look(&self.plan, databases, Side::Target)).await {
            Ok(Ok(kept)) => kept,
            Ok(Err(e)) => return unknown(chain(&e)),
            Err(_) => return unknown(format!("no answer within {} s", within.as_secs())),
        };
        (!kept.is_empty()).then(|| {
            format!(
                "{} cannot move: {}; stop them, or `changeover rollback --unmovable terminate`",
                counted(kept.len()),
                named(&kept).join("; ")
            )
        })
    }
}

fn counted(sessions: usize) -> String {
    if sessions == 1 { "1 session".to_owned() } else { format!("{sessions} sessions") }
}

fn named(kept: &[Kept]) -> Vec<String> {
    let mut names: Vec<String> = kept.iter().take(NAMED).map(ToString::to_string).collect();
    if kept.len() > names.len() {
        names.push(format!("and {} more", kept.len() - names.len()));
    }
    names
}

async fn look(plan: &Plan, databases: &Databases, side: Side) -> PgResult<Vec<Kept>> {
    let mut session = Session::connect(databases.of(side), &application(&plan.name)).await?;
    let kept = unmovable::look(&mut session).await?;
    session.close().await;
    Ok(kept)
}
