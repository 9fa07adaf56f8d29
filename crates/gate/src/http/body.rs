//! Bodies on their way: never buffered, and watched, so that it is known who broke one off.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

use super::pool::Lease;
use crate::state::WorkGuard;

use super::decided::Decided;

/// What is known of a client's body while an upstream reads it.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// The client broke it off: not the environment's error.
    pub(super) client_failed: AtomicBool,
    /// It moved on: the upstream is not late yet.
    pub(super) moved: Notify,
}

/// A request's body towards an upstream.
#[derive(Debug)]
pub(super) enum RequestBody {
    Empty,
    Client { body: Incoming, upload: Arc<Upload> },
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Client { body, upload } => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                if let Some(Err(_)) = &frame {
                    upload.client_failed.store(true, Ordering::Relaxed);
                }
                upload.moved.notify_one();
                Poll::Ready(frame)
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

/// What must live until an answer has been passed on whole.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) lease: Lease,
    pub(super) decided: Decided,
    /// Listed as open until this is dropped.
    pub(super) _work: Option<WorkGuard>,
}

/// An answer's body towards the client.
#[derive(Debug)]
pub(super) enum AnswerBody {
    /// The gate's own words.
    Own(Full<Bytes>),
    /// An upstream's.
    Upstream { body: Incoming, passage: Option<Box<Passage>> },
}

impl AnswerBody {
    pub(super) fn upstream(body: Incoming, passage: Passage) -> AnswerBody {
        if body.is_end_stream() {
            passage.lease.give_back();
            return AnswerBody::Upstream { body, passage: None };
        }
        AnswerBody::Upstream { body, passage: Some(Box::new(passage)) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            AnswerBody::Own(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})))
            }
            AnswerBody::Upstream { body, passage } => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                let failed = matches!(frame, Some(Err(_)));
                if (failed || frame.is_none() || body.is_end_stream())
                    && let Some(passage) = passage.take()
                {
                    if failed {
                        passage.decided.broken_off();
                    } else {
                        passage.lease.give_back();
                    }
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Own(body) => body.is_end_stream(),
            AnswerBody::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Own(body) => body.size_hint(),
            AnswerBody::Upstream { body, .. } => body.size_hint(),
        }
    }
}
