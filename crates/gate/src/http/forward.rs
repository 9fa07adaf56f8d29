//! One request to one side: pick an instance, take or open a connection, send, wait for the head.
//!
//! A request is sent a second time only if hyper says that it never left, or if it may be repeated
//! (an idempotent method without a body) and the connection it was lost on was an old one, which
//! its server may just have been closing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use changeover_types::Side;
use http::{Method, Request, Response, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::body::{RequestBody, Upload};
use super::pool::{Connection, Lease, Pool};
use super::upstream::Upstreams;

/// The head of an answer must come within this, counted from the last movement of the request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// So many pooled connections may turn out to be dead before a fresh one is opened.
const MOST_STALE: usize = 3;

/// Why a side did not answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No instance of the side could be connected to; nothing of the request was sent.
    Unreachable { why: String, unsent: Box<Request<RequestBody>> },
    /// The connection broke before an answer.
    Broken(String),
    /// No head within the time.
    Late(String),
    /// The client broke its own request off.
    ClientLeft,
}

/// What one core needs to reach the upstreams.
#[derive(Debug)]
pub(super) struct Forwarder {
    pub(super) upstreams: Upstreams,
    pub(super) pool: Arc<Pool>,
}

/// What came of one instance.
enum Attempted {
    Answered(Response<Incoming>, Lease),
    Failed(Failure),
    /// It took nothing; here is the request again, and why.
    NotThere(Box<Request<RequestBody>>, String),
}

/// What came of one connection.
enum Outcome {
    Answer(Response<Incoming>),
    /// It never left; here it is again.
    Unsent(Request<RequestBody>),
    /// It may have left.
    Lost(hyper::Error),
    Late,
}

impl Forwarder {
    /// Sends the request to an instance of `side` and returns the answer's head with the
    /// connection it comes on.
    pub(super) async fn send(
        &self,
        side: Side,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let upload = match request.body() {
            RequestBody::Client { upload, .. } => Some(Arc::clone(upload)),
            RequestBody::Empty => None,
        };
        let mut why = format!("the {side} has no upstream");
        for upstream in self.upstreams.in_turn(side) {
            match self.send_to(upstream, side, request, upload.as_deref()).await {
                Attempted::Answered(answer, lease) => return Ok((answer, lease)),
                Attempted::Failed(failure) => return Err(failure),
                Attempted::NotThere(unsent, reason) => {
                    request = *unsent;
                    why = format!("{} of the {side} {reason}", self.upstreams.get(upstream));
                }
            }
        }
        Err(Failure::Unreachable { why, unsent: Box::new(request) })
    }

    async fn send_to(
        &self,
        upstream: usize,
        side: Side,
        mut request: Request<RequestBody>,
        upload: Option<&Upload>,
    ) -> Attempted {
        let repeatable = upload.is_none() && is_idempotent(request.method());
        for tried in 0.. {
            let pooled =
                if tried < MOST_STALE { self.pool.take(upstream, !repeatable) } else { None };
            let reused = pooled.is_some();
            let mut connection = match pooled {
                Some(connection) => connection,
                None => match self.upstreams.connect(upstream).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        let reason = format!("cannot be reached: {error}");
                        return Attempted::NotThere(Box::new(request), reason);
                    }
                },
            };
            let copy = (reused && repeatable).then(|| head_of(&request));
            request = match attempt(&mut connection, request, upload).await {
                Outcome::Answer(answer) => {
                    let (pool, last) = (Arc::clone(&self.pool), is_last(&answer));
                    let lease = Lease { pool, upstream, connection, last };
                    return Attempted::Answered(answer, lease);
                }
                Outcome::Late => return Attempted::Failed(self.late(upstream, side)),
                Outcome::Unsent(unsent) => unsent,
                Outcome::Lost(error) => {
                    if reused {
                        self.pool.closed_unannounced(upstream);
                    }
                    match copy {
                        Some(copy) => copy,
                        None => {
                            let failure = self.broken(upstream, side, &error, upload);
                            return Attempted::Failed(failure);
                        }
                    }
                }
            };
            if !reused {
                break;
            }
        }
        // A fresh connection that took nothing: another instance may do better.
        Attempted::NotThere(Box::new(request), "closes connections at once".to_owned())
    }

    fn late(&self, upstream: usize, side: Side) -> Failure {
        let name = self.upstreams.get(upstream);
        let seconds = ANSWER_TIMEOUT.as_secs();
        Failure::Late(format!("{name} of the {side} sent no answer within {seconds} s"))
    }

    fn broken(
        &self,
        upstream: usize,
        side: Side,
        error: &hyper::Error,
        upload: Option<&Upload>,
    ) -> Failure {
        if upload.is_some_and(|upload| upload.client_failed.load(Ordering::Relaxed)) {
            return Failure::ClientLeft;
        }
        let name = self.upstreams.get(upstream);
        Failure::Broken(format!("{name} of the {side} broke off before answering: {error}"))
    }
}

async fn attempt(
    connection: &mut Connection,
    request: Request<RequestBody>,
    upload: Option<&Upload>,
) -> Outcome {
    let sending = connection.sender.try_send_request(request);
    tokio::pin!(sending);
    let late = tokio::time::sleep(ANSWER_TIMEOUT);
    tokio::pin!(late);
    loop {
        let moved = async {
            match upload {
                Some(upload) => upload.moved.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            sent = &mut sending => return outcome(sent),
            () = moved => late.as_mut().reset(tokio::time::Instant::now() + ANSWER_TIMEOUT),
            () = &mut late => return Outcome::Late,
        }
    }
}

fn outcome(sent: Result<Response<Incoming>, TrySendError<Request<RequestBody>>>) -> Outcome {
    match sent {
        Ok(answer) => Outcome::Answer(answer),
        Err(mut error) => match error.take_message() {
            Some(request) => Outcome::Unsent(request),
            None => Outcome::Lost(error.into_error()),
        },
    }
}

/// Whether the server closes the connection behind this answer.
fn is_last(answer: &Response<Incoming>) -> bool {
    let says_close = answer
        .headers()
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
    says_close || answer.version() != Version::HTTP_11
}

/// A second copy of a request without a body.
fn head_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE]
        .contains(method)
}
