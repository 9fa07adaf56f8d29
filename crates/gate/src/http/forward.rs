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
    /// No instance of the side could be connected to.
    Unreachable(String),
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
        let repeatable = upload.is_none() && is_idempotent(request.method());
        let mut why = format!("the {side} has no upstream");
        for upstream in self.upstreams.in_turn(side) {
            let mut stale = 0;
            loop {
                let pooled =
                    if stale < MOST_STALE { self.pool.take(upstream, !repeatable) } else { None };
                let reused = pooled.is_some();
                let mut connection = match pooled {
                    Some(connection) => connection,
                    None => match self.upstreams.connect(upstream).await {
                        Ok(connection) => connection,
                        Err(error) => {
                            let name = self.upstreams.get(upstream);
                            why = format!("{name} of the {side} cannot be reached: {error}");
                            break;
                        }
                    },
                };
                let copy = (reused && repeatable).then(|| head_of(&request));
                match attempt(&mut connection, request, upload.as_deref()).await {
                    Outcome::Answer(answer) => {
                        let (pool, last) = (Arc::clone(&self.pool), is_last(&answer));
                        return Ok((answer, Lease { pool, upstream, connection, last }));
                    }
                    Outcome::Unsent(unsent) => request = unsent,
                    Outcome::Lost(error) => {
                        if reused {
                            self.pool.closed_unannounced(upstream);
                        }
                        match copy {
                            Some(copy) => request = copy,
                            None => {
                                return Err(self.broken(upstream, side, &error, upload.as_deref()));
                            }
                        }
                    }
                    Outcome::Late => {
                        let name = self.upstreams.get(upstream);
                        let seconds = ANSWER_TIMEOUT.as_secs();
                        return Err(Failure::Late(format!(
                            "{name} of the {side} sent no answer within {seconds} s"
                        )));
                    }
                }
                if !reused {
                    // A fresh connection that closes before taking a request: try the next.
                    let name = self.upstreams.get(upstream);
                    why = format!("{name} of the {side} closes connections at once");
                    break;
                }
                stale += 1;
            }
        }
        Err(Failure::Unreachable(why))
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
