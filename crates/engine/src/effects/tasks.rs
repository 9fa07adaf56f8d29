//! What the restore left to do, tried again: once the target has caught up, and before the first
//! cutover.

use changeover_postgres::error::Result as PgResult;
use changeover_postgres::schema;
use changeover_types::{Side, Task, TaskObject};

use super::Effects;
use super::data::no_databases;
use crate::protocol::EventKind;
use crate::report::chain;

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
        let mut left = schema::try_again(&target, &others).await?;
        if !views.is_empty() {
            let (mut source, mut control) = self.both().await?;
            left.extend(schema::refresh_views(&mut source, &mut control, &moved.catalog).await?);
        }
        Ok(left)
    }
}
