//! Several futures side by side in one task: dropping the whole drops every one.
//!
//! Not `tokio::spawn`: tasks belong to the engine's supervisor, and a copy that outlives the
//! future that started it would be a second writer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Runs all futures; gives their results in order, or the first error as soon as it occurs.
pub(crate) async fn all<F, T, E>(futures: impl IntoIterator<Item = F>) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut running: Vec<Option<Pin<Box<F>>>> =
        futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut done: Vec<Option<T>> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut open = false;
        for (slot, result) in running.iter_mut().zip(&mut done) {
            let Some(future) = slot else { continue };
            match future.as_mut().poll(context) {
                Poll::Pending => open = true,
                Poll::Ready(Ok(value)) => {
                    *result = Some(value);
                    *slot = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        if open { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(done.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Boxed<E> = Pin<Box<dyn Future<Output = Result<u32, E>>>>;

    #[tokio::test]
    async fn the_first_error_ends_the_others() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let waits: Boxed<&str> = Box::pin(async move {
            let kept = sender;
            std::future::pending::<()>().await;
            drop(kept);
            Ok(1)
        });
        let fails = Box::pin(async { Err("no") });
        assert_eq!(all([waits, fails]).await, Err("no"));
        assert!(receiver.await.is_err(), "the other future was dropped");
        let fine: [Boxed<()>; 2] = [Box::pin(async { Ok(1) }), Box::pin(async { Ok(2) })];
        assert_eq!(all(fine).await, Ok(vec![1, 2]));
    }
}
