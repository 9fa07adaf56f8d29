//! What happens to one request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use changeover_routing::PERMILLE_ALL;
use changeover_types::{Share, Side};
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use tokio_util::sync::CancellationToken;

use super::body::{AnswerBody, Passage, RequestBody, Upload};
use super::client_io::Ambiguity;
use super::decided::Decided;
use super::forward::{Failure, Forwarder};
use super::head::{self, Reject};
use super::parking::{Parking, Turned};
use super::pool::Pool;
use super::sticky::Key;
use super::stream::SharedStream;
use super::upstream::Upstreams;
use crate::state::{
    CoreCounters, CoreDecisions, DecideRules, HttpGateConfig, Shared, WorkGuard, WorkLabel,
};

/// How often it is looked whether a held client with an unread body is still there.
const LOOK_AFTER: Duration = Duration::from_millis(250);

/// What the connections of one core share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) forwarder: Forwarder,
    pub(super) parking: Parking,
    pub(super) drain: CancellationToken,
    counters: Arc<CoreCounters>,
    /// By the place of the route.
    decisions: Vec<Arc<CoreDecisions>>,
    sticky_cookie: Option<String>,
    holds: bool,
}

impl Core {
    pub(super) fn new(
        config: &HttpGateConfig,
        shared: Arc<Shared>,
        drain: CancellationToken,
    ) -> Core {
        let upstreams = Upstreams::new(config);
        let rules = |after| DecideRules {
            after,
            sticky: config.sticky_cookie.is_some(),
            warm_up: config.warm_up,
        };
        let ages = config.routes.iter().map(|route| route.decide_after);
        let ages = ages.chain([config.decide_after]).enumerate();
        Core {
            forwarder: Forwarder { pool: Pool::new(upstreams.len()), upstreams },
            parking: Parking::new(Arc::clone(&shared)),
            counters: shared.core_counters(),
            decisions: ages.map(|(place, age)| shared.core_decisions(place, rules(age))).collect(),
            sticky_cookie: config.sticky_cookie.clone(),
            holds: config.holds,
            shared,
            drain,
        }
    }

    /// The place of the request's route, by its head as the client sent it.
    fn place_of(&self, request: &Request<Incoming>) -> usize {
        let table = self.shared.table();
        if table.is_plain() {
            return table.rest();
        }
        // An absolute target overrides Host (RFC 9112, 3.2.2).
        let absolute = request.uri().host();
        let named = || request.headers().get(header::HOST)?.to_str().ok();
        let path = request.uri().path();
        table.choose(absolute.or_else(named), request.method().as_str(), path)
    }

    pub(super) fn count_client(&self) -> impl Drop + use<> {
        struct Counted(Arc<Shared>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.client_left();
            }
        }
        self.shared.client_came();
        Counted(Arc::clone(&self.shared))
    }
}

/// One client connection.
#[derive(Debug)]
pub(super) struct Peer {
    client: SocketAddr,
    stream: SharedStream,
    ambiguity: Arc<Ambiguity>,
    requests: AtomicU64,
}

impl Peer {
    pub(super) fn new(client: SocketAddr, stream: SharedStream, ambiguity: Arc<Ambiguity>) -> Peer {
        Peer { client, stream, ambiguity, requests: AtomicU64::new(0) }
    }
}

/// The client left; hyper closes what remains of its connection.
#[derive(Debug, thiserror::Error)]
#[error("the client left")]
pub(super) struct ClientLeft;

/// Answers one request.
pub(super) async fn answer(
    core: Arc<Core>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, ClientLeft> {
    let arrived = Instant::now();
    let number = peer.requests.fetch_add(1, Ordering::Relaxed);
    if peer.ambiguity.concerns(number) {
        return Ok(own(Reject {
            status: StatusCode::BAD_REQUEST,
            why: "the request could be read in two ways",
        }));
    }
    if let Err(reject) = head::check(&request) {
        return Ok(own(reject));
    }
    let work = match admit(&core, &peer, &request).await? {
        Ok(work) => work,
        Err(turned) => return Ok(unavailable(turned)),
    };
    let place = core.place_of(&request);
    let (Some(share), Some(decisions)) = (core.shared.share(place), core.decisions.get(place))
    else {
        // An open gate has a route: `Router` sees to it.
        return Ok(unavailable(Turned::TooLong));
    };
    core.shared.mirror().offer(&request, peer.client);
    let key = Key::of(request.headers(), core.sticky_cookie.as_deref());
    let side = key.side(share);
    let sinks = (&core.shared, &core.counters, decisions);
    let decided = Decided::drawn(sinks, place, side, share, key.hash(), arrived);
    let other = other_side(side, share);
    let mut answer = forward(&core, &peer, request, (side, other), decided, work).await?;
    if let Some(cookie) = key.set_cookie {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    if core.drain.is_cancelled() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

/// Registers the request as open work, after waiting for the end of a hold.
async fn admit(
    core: &Core,
    peer: &Peer,
    request: &Request<Incoming>,
) -> Result<Result<Option<WorkGuard>, Turned>, ClientLeft> {
    if !core.holds && core.shared.route().is_some() {
        return Ok(Ok(None));
    }
    let mut waited = false;
    loop {
        // Registered before the hold is looked at: see `state`.
        let work = core.shared.begin_work(WorkLabel::Http {
            client: peer.client,
            method: request.method().clone(),
            uri: request.uri().clone(),
        });
        let view_open = core.shared.hold_view() == changeover_routing::HoldView::Open;
        if core.parking.is_open() || (waited && view_open) {
            return Ok(Ok(Some(work)));
        }
        drop(work);
        let unread_body = !request.body().is_end_stream();
        tokio::select! {
            turn = core.parking.wait() => {
                if let Err(turned) = turn {
                    return Ok(Err(turned));
                }
            }
            // Without an unread body hyper sees the client leave and drops this future.
            () = has_left(&peer.stream), if unread_body => return Err(ClientLeft),
        }
        waited = true;
    }
}

async fn has_left(stream: &SharedStream) {
    while !stream.peer_left().await {
        tokio::time::sleep(LOOK_AFTER).await;
    }
}

/// Who takes a request that its side refuses to be connected for: the source, while it serves a
/// part of them anyhow.
fn other_side(side: Side, share: Share) -> Option<Side> {
    let shared = share.target_permille < PERMILLE_ALL;
    (side == Side::Target && shared).then_some(Side::Source)
}

async fn forward(
    core: &Core,
    peer: &Peer,
    request: Request<Incoming>,
    (mut side, other): (Side, Option<Side>),
    mut decided: Decided,
    work: Option<WorkGuard>,
) -> Result<Response<AnswerBody>, ClientLeft> {
    let mut request = request.map(|body| {
        if body.is_end_stream() {
            RequestBody::Empty
        } else {
            RequestBody::Client { body, upload: Arc::new(Upload::default()) }
        }
    });
    head::to_upstream(&mut request, peer.client);
    let mut sent = core.forwarder.send(side, request).await;
    if let (Err(Failure::Unreachable { .. }), Some(other)) = (&sent, other)
        && let Err(Failure::Unreachable { why, unsent }) = sent
    {
        tracing::warn!(client = %peer.client, %side, %why, "a request goes to the {other} instead");
        decided = decided.refused(other);
        side = other;
        sent = core.forwarder.send(side, *unsent).await;
    }
    let failure = match sent {
        Ok((answer, lease)) => {
            let error = answer.status().is_server_error();
            decided.answered(error);
            if let Some(work) = &work {
                work.set_state("answer under way");
            }
            let passage = Passage { lease, decided, _work: work };
            let mut answer = answer.map(|body| AnswerBody::upstream(body, passage));
            head::strip_hop_by_hop(answer.headers_mut());
            *answer.version_mut() = Version::HTTP_11;
            return Ok(answer);
        }
        Err(failure) => failure,
    };
    let (status, why) = match failure {
        Failure::ClientLeft => return Err(ClientLeft),
        Failure::Unreachable { why, .. } | Failure::Broken(why) => (StatusCode::BAD_GATEWAY, why),
        Failure::Late(why) => (StatusCode::GATEWAY_TIMEOUT, why),
    };
    decided.answered(true);
    tracing::warn!(client = %peer.client, %side, %why, "a request failed");
    let text = format!("changeover: the {side} environment did not answer\n");
    Ok(plain(status, text))
}

fn own(reject: Reject) -> Response<AnswerBody> {
    let mut answer = plain(reject.status, format!("changeover: {}\n", reject.why));
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn unavailable(turned: Turned) -> Response<AnswerBody> {
    let why = match turned {
        Turned::Full => "too many requests are waiting while the service moves",
        Turned::TooLong => "the service is moving and this request has waited too long",
    };
    let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, format!("changeover: {why}\n"));
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn plain(status: StatusCode, text: String) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::Own(Full::new(Bytes::from(text))));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
