//! Tasks beside a daemon's loop. Each has a name and an owner, with whom it ends; and one that panics
//! is told of, so that it is never taken for one that has nothing to say.
//!
//! Nothing else in this crate spawns tasks (`clippy.toml`), but for sets that live within one call.

use std::future::{Future, Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

use crate::board::Board;
use crate::protocol::EventKind;

/// A task that panicked is begun again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// A task; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Owned(JoinHandle<()>);

impl Owned {
    /// Whether it has ended, by itself or not.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) {
        // What a panic has to say was told already.
        (&mut self.0).await.ok();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a task once. If it panics, `dying` is told of it.
pub(crate) fn once<F>(
    name: impl Into<String>,
    task: impl Future<Output = ()> + Send + 'static,
    dying: impl FnOnce(String) -> F + Send + 'static,
) -> Owned
where
    F: Future<Output = ()> + Send,
{
    let name = name.into();
    own(async move {
        if let Some(why) = panic_of(&name, task).await {
            dying(why).await;
        }
    })
}

/// Runs a task until it returns. If it panics, `dying` is told of it, and it is begun again.
pub(crate) fn lasting<T, F>(
    name: impl Into<String>,
    begin: impl Fn() -> T + Send + 'static,
    dying: impl Fn(String) -> F + Send + 'static,
) -> Owned
where
    T: Future<Output = ()> + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let name = name.into();
    own(async move {
        while let Some(why) = panic_of(&name, begin()).await {
            dying(why).await;
            tokio::time::sleep(AGAIN).await;
        }
    })
}

/// Tells the board of a panic: for tasks that only show something.
pub(crate) fn told_on(board: &Arc<Board>) -> impl Fn(String) -> Ready<()> + Send + 'static {
    let board = Arc::clone(board);
    move |why| {
        board.say(EventKind::Warning, why);
        ready(())
    }
}

#[expect(clippy::disallowed_methods, reason = "here every task gets its owner")]
fn own(task: impl Future<Output = ()> + Send + 'static) -> Owned {
    Owned(tokio::spawn(task))
}

/// Runs the task to its end; what it panicked with, if it did.
async fn panic_of(name: &str, task: impl Future<Output = ()> + Send + 'static) -> Option<String> {
    // A set of its own, so that whoever drops us ends it.
    let mut alone = JoinSet::new();
    alone.spawn(task);
    let panic = alone.join_next().await?.err()?.try_into_panic().ok()?;
    let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(name, said, "a task panicked");
    Some(format!("{name} died of a defect in changeover: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::{mpsc, oneshot};

    #[tokio::test]
    async fn a_panic_is_told_and_an_end_is_none() {
        let (tell, told) = oneshot::channel();
        let mut task = once("the proof", async { panic!("at {}", 7) }, async |why| {
            tell.send(why).unwrap();
        });
        assert_eq!(told.await.unwrap(), "the proof died of a defect in changeover: at 7");
        task.ended().await;
        let (tell, told) = oneshot::channel::<String>();
        let mut task = once("the proof", async {}, async |why| tell.send(why).unwrap());
        task.ended().await;
        assert!(task.is_over() && told.await.is_err());
    }

    #[tokio::test]
    async fn one_that_lasts_is_begun_again() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let begun = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&begun);
        let begin = move || {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            async move { assert!(number >= 2, "not yet") }
        };
        let mut task = lasting("a watch", begin, move |why| {
            tell.send(why).unwrap();
            ready(())
        });
        task.ended().await;
        assert_eq!(begun.load(Ordering::SeqCst), 3);
        assert!(told.recv().await.unwrap().contains("a watch died"));
        assert!(told.recv().await.is_some() && told.recv().await.is_none());
    }

    #[tokio::test]
    async fn it_ends_with_its_owner() {
        let (held, ended) = oneshot::channel::<()>();
        let task = once(
            "a watch",
            async move {
                let _held = held;
                std::future::pending().await
            },
            |_| ready(()),
        );
        drop(task);
        assert!(ended.await.is_err(), "what it held is dropped");
    }
}
