//! Answers on their way: never buffered, and watched, so that it is known who broke one off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::decided::Decided;
use super::pool::Lease;
use super::upload::Upload;
use crate::state::WorkGuard;

/// What must live until an answer has been passed on whole.
#[derive(Debug)]
pub(super) struct Passage {
    /// Taken when the connection is given back.
    pub(super) lease: Option<Lease>,
    pub(super) decided: Decided,
    pub(super) upload: Option<Arc<Upload>>,
    /// Listed as open until this is dropped.
    pub(super) _work: Option<WorkGuard>,
}

impl Passage {
    /// The answer came whole. A connection on which the request is still being sent is not kept.
    fn whole(&mut self) {
        let sent = self.upload.as_ref().is_none_or(|upload| upload.has_ended());
        if let Some(lease) = self.lease.take().filter(|_| sent) {
            lease.give_back();
        }
    }

    /// It did not. If the client broke its own request off, that is why.
    fn broken_off(&self) {
        if !self.upload.as_ref().is_some_and(|upload| upload.failed()) {
            self.decided.broken_off();
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            upload.give_up();
        }
    }
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
    pub(super) fn upstream(body: Incoming, mut passage: Passage) -> AnswerBody {
        if body.is_end_stream() {
            passage.whole();
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
                    && let Some(mut passage) = passage.take()
                {
                    if failed {
                        passage.broken_off();
                    } else {
                        passage.whole();
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
