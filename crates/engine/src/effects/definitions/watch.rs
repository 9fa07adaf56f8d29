//! A look now and then while the relay follows: what changed is named long before a cutover.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use changeover_plan::Plan;
use changeover_postgres::access::{Loss, roles_lost};
use changeover_postgres::catalog::Selection;
use changeover_postgres::definitions::Definitions;
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::session::Session;
use changeover_types::Side;
use tokio::time::{Instant, sleep, timeout};

use super::super::access::accepts_access;
use super::super::application;
use super::{Against, Notes, Now};
use crate::board::Board;
use crate::databases::Databases;
use crate::declared;
use crate::report::chain;

/// How often, at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A look that takes longer hangs: a server's connection has died without a word.
const LOOK_WITHIN: Duration = Duration::from_secs(300);

/// A look may take this share of the time: a catalogue of many thousand objects is looked at less
/// often.
const SHARE: u32 = 50;

/// What a look has shown.
#[derive(PartialEq, Eq)]
struct Seen {
    hashes: [String; 2],
    roles: Vec<String>,
}

/// Looks for ever; ends with the daemon.
pub(crate) async fn keep(
    plan: Arc<Plan>,
    databases: Option<Databases>,
    state_dir: PathBuf,
    run_id: String,
    board: Arc<Board>,
) {
    let Some(databases) = databases else { return };
    let mut notes = Notes::new(&state_dir, &run_id);
    let mut seen = None;
    loop {
        let begun = Instant::now();
        notes.expect_what_is_there();
        match timeout(LOOK_WITHIN, look(&plan, &databases, &notes, &board, &mut seen)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::debug!("looking for changed objects: {}", chain(&e)),
            Err(_) => tracing::debug!("looking for changed objects: no answer"),
        }
        sleep(LOOK_EVERY.max(begun.elapsed() * SHARE)).await;
    }
}

async fn look(
    plan: &Plan,
    databases: &Databases,
    notes: &Notes,
    board: &Board,
    seen: &mut Option<Seen>,
) -> PgResult<()> {
    if notes.digest(Side::Target).is_none() {
        return Ok(());
    }
    let selection = declared::selection(plan)?;
    let hash = async |side: Side| {
        let mut session = Session::connect(databases.of(side), &application(&plan.name)).await?;
        let hash = Definitions::hash(&mut session, &selection).await?;
        session.close().await;
        PgResult::Ok(hash)
    };
    let (source, target) = tokio::try_join!(hash(Side::Source), hash(Side::Target))?;
    let from = board.status().authority;
    let roles = match from {
        Side::Source => Vec::new(),
        Side::Target => roles_back(plan, databases, &selection).await?,
    };
    let looked = Some(Seen { hashes: [source, target], roles });
    if *seen == looked {
        return Ok(());
    }
    let now = Now::read(databases, &selection, &plan.name).await?;
    if let Ok(mut against) = Against::moving(from, notes, &now, plan) {
        against.objects.extend(looked.iter().flat_map(|seen| &seen.roles).cloned());
        board.show_changes(against.objects);
    }
    *seen = looked;
    Ok(())
}

/// Roles that use the target and that the source does not have as they are: a rollback does not wait
/// for them, so they are named long before one.
async fn roles_back(
    plan: &Plan,
    databases: &Databases,
    selection: &Selection,
) -> PgResult<Vec<String>> {
    if accepts_access(plan) {
        return Ok(Vec::new());
    }
    let name = application(&plan.name);
    let mut here = Session::connect(databases.of(Side::Target), &name).await?;
    let mut there = Session::connect(databases.of(Side::Source), &name).await?;
    let lost = roles_lost(&mut here, &mut there, selection, &declared::users(plan)).await?;
    here.close().await;
    there.close().await;
    let said = |it: &Loss| format!("source: role {it} ({})", it.statements.join(" "));
    Ok(lost.iter().map(said).collect())
}
