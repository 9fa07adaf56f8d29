//! A client's body on its way to an upstream, and whose turn it is.
//!
//! While the upstream wants more and the client sends nothing, it is the client's turn: that time is
//! neither the upstream's lateness nor part of its latency, and what goes wrong in it is the client's
//! fault. With `Expect: 100-continue` the client is not asked for its body before the upstream is.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

/// What is known of a client's body while an upstream reads it.
#[derive(Debug, Default)]
pub(super) struct Upload {
    state: Mutex<State>,
    moved: Notify,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing is asked of the client before the upstream says that it wants it.
    held_back: bool,
    abandoned: bool,
    ended: bool,
    failed: bool,
    /// Since when it is the client's turn.
    asked: Option<Instant>,
    /// How long it was.
    waited: Duration,
    waker: Option<Waker>,
}

/// Why a body came to no end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyFault {
    #[error("the client broke its request off")]
    Client(#[source] hyper::Error),
    #[error("the upstream answered without wanting it")]
    NotWanted,
}

impl Upload {
    /// With `expects` the client waits for a word before it sends anything.
    pub(super) fn new(expects: bool) -> Arc<Upload> {
        let state = State { held_back: expects, ..State::default() };
        Arc::new(Upload { state: Mutex::new(state), ..Upload::default() })
    }

    /// The client broke it off: not the environment's error.
    pub(super) fn failed(&self) -> bool {
        self.lock().failed
    }

    /// The upstream waits for the client.
    pub(super) fn is_clients_turn(&self) -> bool {
        self.lock().asked.is_some()
    }

    /// How long the upstream has waited for the client, all in all.
    pub(super) fn waited(&self) -> Duration {
        let state = self.lock();
        state.waited + state.asked.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether all of it has gone to the upstream.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// The client was not asked for it yet.
    pub(super) fn is_held_back(&self) -> bool {
        self.lock().held_back
    }

    /// The upstream wants it, or says nothing and shall have it.
    pub(super) fn go_on(&self) {
        self.change(|state| state.held_back = false);
    }

    /// The upstream has answered without it: nobody will ask for it any more.
    pub(super) fn give_up(&self) {
        self.change(|state| state.abandoned |= state.held_back);
    }

    /// Resolves when it has moved on since this was last asked.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Resolves once, when all of it has gone to the upstream.
    pub(super) async fn end(&self) {
        self.ended.notified().await;
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.lock();
            how(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it may be polled; keeps the waker if not.
    fn may_go(&self, cx: &Context<'_>) -> Poll<Result<(), BodyFault>> {
        let mut state = self.lock();
        if state.abandoned {
            return Poll::Ready(Err(BodyFault::NotWanted));
        }
        if state.held_back {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn note(&self, polled: &Poll<Option<hyper::Result<Frame<Bytes>>>>, is_last: bool) {
        let mut state = self.lock();
        let Poll::Ready(frame) = polled else {
            state.asked.get_or_insert_with(Instant::now);
            return;
        };
        if let Some(since) = state.asked.take() {
            state.waited += since.elapsed();
        }
        match frame {
            Some(Err(_)) => state.failed = true,
            Some(Ok(_)) if !is_last => {}
            Some(Ok(_)) | None => state.ended = true,
        }
        let ended = state.ended;
        drop(state);
        self.moved.notify_one();
        if ended {
            self.ended.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body towards an upstream.
#[derive(Debug)]
pub(super) enum RequestBody {
    Empty,
    Client { body: Incoming, upload: Arc<Upload> },
}

impl RequestBody {
    /// The client's body, if it sends one. With `expects` it waits to be asked for it.
    pub(super) fn of(body: Incoming, expects: bool) -> RequestBody {
        if body.is_end_stream() {
            RequestBody::Empty
        } else {
            RequestBody::Client { body, upload: Upload::new(expects) }
        }
    }

    pub(super) fn upload(&self) -> Option<Arc<Upload>> {
        match self {
            RequestBody::Empty => None,
            RequestBody::Client { upload, .. } => Some(Arc::clone(upload)),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Client { body, upload } => {
                if let Err(fault) = ready!(upload.may_go(cx)) {
                    return Poll::Ready(Some(Err(fault)));
                }
                let polled = Pin::new(&mut *body).poll_frame(cx);
                upload.note(&polled, body.is_end_stream());
                polled.map(|frame| frame.map(|frame| frame.map_err(BodyFault::Client)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Client { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Client { body, .. } => body.size_hint(),
        }
    }
}
