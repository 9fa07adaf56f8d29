//! One request to one side: pick an instance, take or open a connection, send, wait for the head.
//!
//! A request is sent a second time only if hyper says that it never left, or, once, if it may be
//! repeated (an idempotent method without a body), the connection it was lost on was an old one, which
//! its server may just have been closing, and nothing was heard on it. A request that ends its server
//! reaches at most one more.

use std::sync::Arc;
use std::time::Duration;

use changeover_types::Side;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::pool::{Connection, Lease, Pool, Turn};
use super::slots::Slots;
use super::upload::{RequestBody, Upload};
use super::upstream::Upstreams;
use crate::state::{CoreCounters, HttpGateConfig, HttpLimits};

/// So many pooled connections may turn out to be dead before a fresh one is opened.
const MOST_STALE: usize = 3;

/// An upstream that says nothing to `Expect: 100-continue` gets the body after this, as clients do it.
const EXPECT_WAIT: Duration = Duration::from_secs(1);

/// Why a side did not answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No instance of the side could be connected to; nothing of the request was sent.
    Unreachable { why: String, unsent: Box<Request<RequestBody>> },
    /// The connection broke before an answer.
    Broken(String),
    /// No head within the time.
    Late(String),
    /// The client did not send the rest of its request.
    Client,
    /// As many connections as may be are in use, and none became free in time.
    Full(String),
}

/// What one core needs to reach the upstreams.
#[derive(Debug)]
pub(super) struct Forwarder {
    upstreams: Upstreams,
    pool: Arc<Pool>,
    limits: HttpLimits,
    /// Where refused connections are counted.
    counters: Option<Arc<CoreCounters>>,
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

/// One request on its way through the instances of a side.
struct Sending {
    side: Side,
    upload: Option<Arc<Upload>>,
    repeatable: bool,
    /// It was lost on an old connection and is sent again: not a third time.
    replayed: bool,
    /// The client named no host (HTTP/1.0): the instance's own is put in.
    hostless: bool,
}

impl Forwarder {
    pub(super) fn new(
        config: &HttpGateConfig,
        slots: Arc<Slots>,
        counters: Option<Arc<CoreCounters>>,
    ) -> Forwarder {
        let upstreams = Upstreams::new(config);
        let pool = Pool::new(upstreams.len(), slots);
        Forwarder { upstreams, pool, limits: config.limits, counters }
    }

    /// Drops connections that have been idle too long.
    pub(super) fn sweep(&self) {
        self.pool.sweep();
    }

    /// Sends the request to an instance of `side` and returns the answer's head with the
    /// connection it comes on.
    pub(super) async fn send(
        &self,
        side: Side,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let upload = request.body().upload();
        let mut sending = Sending {
            side,
            repeatable: upload.is_none() && is_idempotent(request.method()),
            upload,
            replayed: false,
            hostless: !request.headers().contains_key(header::HOST),
        };
        let mut why = format!("the {side} has no upstream");
        for upstream in self.upstreams.in_turn(side, |it| self.pool.is_full(it)) {
            match self.send_to(upstream, request, &mut sending).await {
                Attempted::Answered(answer, lease) => return Ok((answer, lease)),
                Attempted::Failed(failure) => return Err(failure),
                Attempted::NotThere(unsent, reason) => {
                    request = *unsent;
                    let name = self.upstreams.get(upstream).to_string();
                    if let Some(counters) = &self.counters {
                        counters.http_refused(side, &name);
                    }
                    why = format!("{name} of the {side} {reason}");
                }
            }
        }
        if sending.replayed {
            return Err(Failure::Broken(why));
        }
        if sending.hostless {
            request.headers_mut().remove(header::HOST);
        }
        Err(Failure::Unreachable { why, unsent: Box::new(request) })
    }

    async fn send_to(
        &self,
        upstream: usize,
        mut request: Request<RequestBody>,
        sending: &mut Sending,
    ) -> Attempted {
        let name = self.upstreams.get(upstream);
        if sending.hostless
            && let Ok(host) = HeaderValue::try_from(name.to_string())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        for tried in 0.. {
            let fresh = tried >= MOST_STALE || sending.replayed;
            let (mut connection, reused) =
                match self.connection(upstream, fresh, !sending.repeatable).await {
                    Ok(Some(had)) => had,
                    Ok(None) => {
                        let why = format!("all connections to {name} are in use");
                        return Attempted::Failed(Failure::Full(why));
                    }
                    Err(error) => {
                        let reason = format!("cannot be reached: {error}");
                        return Attempted::NotThere(Box::new(request), reason);
                    }
                };
            let may_replay = reused && sending.repeatable && !sending.replayed;
            let copy = may_replay.then(|| head_of(&request));
            let upload = sending.upload.as_deref();
            request = match self.attempt(&mut connection, request, upload).await {
                Outcome::Answer(answer) => {
                    let (pool, last) = (Arc::clone(&self.pool), is_last(&answer));
                    let lease = Lease { pool, upstream, connection, last };
                    return Attempted::Answered(answer, lease);
                }
                Outcome::Late => return Attempted::Failed(self.late(upstream, sending.side)),
                Outcome::Unsent(unsent) => unsent,
                Outcome::Lost(error) => {
                    if reused {
                        self.pool.closed_unannounced(upstream);
                    }
                    match copy.filter(|_| !connection.heard.anything()) {
                        Some(copy) => {
                            sending.replayed = true;
                            copy
                        }
                        None => return Attempted::Failed(self.broken(upstream, sending, &error)),
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

    /// A connection, and whether it was used before. Nothing if none became free in time.
    ///
    /// # Errors
    /// If the instance cannot be connected to.
    async fn connection(
        &self,
        upstream: usize,
        fresh: bool,
        once: bool,
    ) -> std::io::Result<Option<(Connection, bool)>> {
        if !fresh
            && !self.pool.has_queue(upstream)
            && let Some(connection) = self.pool.take(upstream, once)
        {
            return Ok(Some((connection, true)));
        }
        let place = match self.pool.place(upstream) {
            Some(place) => place,
            None => {
                let waiting = self.pool.wait(upstream, once);
                match tokio::time::timeout(self.limits.queue, waiting).await {
                    Ok(Some(Turn::Kept(connection))) => return Ok(Some((connection, true))),
                    Ok(Some(Turn::Place(place))) => place,
                    Ok(None) | Err(_) => return Ok(None),
                }
            }
        };
        self.upstreams.connect(upstream, place).await.map(|connection| Some((connection, false)))
    }

    fn late(&self, upstream: usize, side: Side) -> Failure {
        let (name, within) = (self.upstreams.get(upstream), self.limits.answer);
        Failure::Late(format!("{name} of the {side} sent no answer within {within:?}"))
    }

    fn broken(&self, upstream: usize, sending: &Sending, error: &hyper::Error) -> Failure {
        if sending.upload.as_ref().is_some_and(|upload| upload.failed()) {
            return Failure::Client;
        }
        let (name, side) = (self.upstreams.get(upstream), sending.side);
        let cause = std::error::Error::source(error).map(|it| format!(": {it}"));
        let cause = cause.unwrap_or_default();
        Failure::Broken(format!("{name} of the {side} broke off before answering: {error}{cause}"))
    }

    /// The head of an answer must come within its time, counted from the last movement of the
    /// request and without the time in which the client is awaited.
    async fn attempt(
        &self,
        connection: &mut Connection,
        request: Request<RequestBody>,
        upload: Option<&Upload>,
    ) -> Outcome {
        connection.heard.forget();
        let sending = connection.sender.try_send_request(request);
        let late = tokio::time::sleep(self.limits.answer);
        tokio::pin!(sending, late);
        let Some(upload) = upload else {
            return tokio::select! {
                biased;
                sent = &mut sending => outcome(sent),
                () = late => Outcome::Late,
            };
        };
        let unasked = tokio::time::sleep(EXPECT_WAIT);
        tokio::pin!(unasked);
        let again = || tokio::time::Instant::now() + self.limits.answer;
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return outcome(sent),
                () = upload.moved() => late.as_mut().reset(again()),
                () = &mut unasked, if upload.is_held_back() => upload.go_on(),
                () = &mut late => {
                    if !upload.is_clients_turn() {
                        return Outcome::Late;
                    }
                    late.as_mut().reset(again());
                }
            }
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
