//! What the restore left to do, tried again: once the target has caught up, before the first cutover,
//! and now and then after it.

use std::sync::Arc;
use std::time::Duration;

use changeover_plan::Plan;
use changeover_postgres::catalog::Catalog;
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::schema;
use changeover_postgres::session::Session;
use changeover_run::Input;
use changeover_types::{Side, Task, TaskObject};
use tokio::time::{Instant, sleep};

use super::data::no_databases;
use super::{Effects, application};
use crate::board::Board;
use crate::databases::Databases;
use crate::declared::selection;
use crate::protocol::EventKind;
use crate::report::chain;
use crate::words::Words;

/// How long a task may wait for a lock while no client is on the target.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The same while clients work there: they wait behind it.
const SHORT_LOCK_WAIT: Duration = Duration::from_millis(300);

/// How often tasks are tried once authority has moved, at most.
const TRY_EVERY: Duration = Duration::from_secs(10);

/// Trying may take this share of the time.
const SHARE: u32 = 50;

/// How often the target is waited for: an answer takes four seconds at most.
const BEATS: usize = 5;

impl Effects {
    /// The same, with what was mended on the source a moment ago.
    pub(super) async fn try_tasks_of_now(&mut self, tasks: &[Task]) -> Vec<Task> {
        for _ in 0..if tasks.is_empty() { 0 } else { BEATS } {
            match self.beat().await {
                Ok(()) => break,
                Err(e) => tracing::debug!("not caught up yet: {}", chain(&e)),
            }
        }
        self.try_tasks(tasks).await
    }

    /// What is left after another try. Nothing here stops a run.
    pub(super) async fn try_tasks(&mut self, tasks: &[Task]) -> Vec<Task> {
        if tasks.is_empty() {
            return Vec::new();
        }
        match self.patiently(async |this: &mut Self| this.try_again(tasks).await).await {
            Ok(left) => left,
            Err(e) => {
                let text = format!("what was left to do could not be tried again: {}", chain(&e));
                self.board.say(EventKind::Warning, text);
                tasks.to_vec()
            }
        }
    }

    async fn try_again(&mut self, tasks: &[Task]) -> PgResult<Vec<Task>> {
        let moved = self.moved().await?;
        let target = self.databases().map_err(no_databases)?.of(Side::Target).clone();
        let is_view = |task: &&Task| matches!(task.object, TaskObject::View { .. });
        let (views, others): (Vec<&Task>, Vec<&Task>) = tasks.iter().partition(is_view);
        let others: Vec<Task> = others.into_iter().cloned().collect();
        let mut left = schema::try_again(&target, &others, LOCK_WAIT).await?;
        if !views.is_empty() {
            let (mut source, mut control) = self.both().await?;
            left.extend(schema::refresh_views(&mut source, &mut control, &moved.catalog).await?);
        }
        Ok(left)
    }
}

/// Tries again, as long as clients work on the target, what keeps no writer waiting; ends with the
/// daemon. Nothing here stops a run.
pub(crate) async fn keep(
    plan: Arc<Plan>,
    databases: Option<Databases>,
    board: Arc<Board>,
    words: Words,
) {
    let Some(databases) = databases else { return };
    loop {
        let begun = Instant::now();
        let status = board.status();
        let tasks = status.control.tasks;
        if status.authority == Side::Target && !tasks.is_empty() {
            match try_beside_clients(&plan, &databases, &tasks).await {
                Ok(left) if left != tasks => words.say(Input::TasksTried { tasks: left }).await,
                Ok(_) => {}
                Err(e) => tracing::debug!("trying what was left to do: {}", chain(&e)),
            }
        }
        sleep(TRY_EVERY.max(begun.elapsed() * SHARE)).await;
    }
}

/// What is left of `tasks`, in their order.
async fn try_beside_clients(
    plan: &Plan,
    databases: &Databases,
    tasks: &[Task],
) -> PgResult<Vec<Task>> {
    let [source, target] = [Side::Source, Side::Target].map(|side| databases.of(side));
    let is_view = |task: &Task| matches!(task.object, TaskObject::View { .. });
    // A constraint that is not there yet locks its table while it looks at every row.
    let is_quick =
        |task: &&Task| !is_view(task) && !matches!(task.object, TaskObject::Constraint { .. });
    let quick: Vec<Task> = tasks.iter().filter(is_quick).cloned().collect();
    let mut left = schema::try_again(target, &quick, SHORT_LOCK_WAIT).await?;
    if tasks.iter().any(is_view) {
        let name = application(&plan.name);
        let (mut reader, mut writer) =
            tokio::try_join!(Session::connect(source, &name), Session::connect(target, &name))?;
        let catalog = Catalog::read(&mut reader, &selection(plan)?).await?;
        left.extend(schema::refresh_views(&mut reader, &mut writer, &catalog).await?);
    }
    let stays = |task: &Task| {
        let now = left.iter().find(|it| it.object == task.object).cloned();
        now.or_else(|| matches!(task.object, TaskObject::Constraint { .. }).then(|| task.clone()))
    };
    Ok(tasks.iter().filter_map(stays).collect())
}
