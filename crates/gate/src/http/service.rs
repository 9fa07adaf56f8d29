//! What happens to one request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use changeover_routing::PERMILLE_ALL;
use changeover_types::{Share, Side};
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use tokio_util::sync::CancellationToken;

use super::answer;
use super::body::{AnswerBody, Passage};
use super::decided::Decided;
use super::forward::{Failure, Forwarder};
use super::head::{self, Reject};
use super::parking::{Parking, Turned};
use super::sticky::Key;
use super::stream::SharedStream;
use super::upload::RequestBody;
use super::watched::{ClientFault, Watched};
use crate::state::{
    CoreCounters, CoreDecisions, DecideRules, HttpGateConfig, HttpLimits, Shared, WorkGuard,
    WorkLabel,
};

/// How often it is looked whether a held client is still there.
const LOOK_AFTER: Duration = Duration::from_millis(250);

/// What the connections of one core share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) forwarder: Forwarder,
    pub(super) parking: Parking,
    pub(super) drain: CancellationToken,
    pub(super) limits: HttpLimits,
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
        let counters = shared.core_counters();
        let slots = shared.slots(config);
        let rules = |after| DecideRules {
            after,
            sticky: config.sticky_cookie.is_some(),
            warm_up: config.warm_up,
        };
        let ages = config.routes.iter().map(|route| route.decide_after);
        let ages = ages.chain([config.decide_after]).enumerate();
        Core {
            forwarder: Forwarder::new(config, slots, Some(Arc::clone(&counters))),
            parking: Parking::new(Arc::clone(&shared)),
            counters,
            decisions: ages.map(|(place, age)| shared.core_decisions(place, rules(age))).collect(),
            sticky_cookie: config.sticky_cookie.clone(),
            holds: config.holds,
            limits: config.limits,
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
    pub(super) client: SocketAddr,
    pub(super) stream: SharedStream,
    pub(super) watched: Arc<Watched>,
}

/// The client left; hyper closes what remains of its connection.
#[derive(Debug, thiserror::Error)]
#[error("the client left")]
pub(super) struct ClientLeft;

/// Answers one request, unless its client's connection breaks before. One whose client has merely
/// closed its sending half is answered like any other.
pub(super) async fn answer(
    core: Arc<Core>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, ClientLeft> {
    tokio::select! {
        biased;
        answer = answer_if_there(&core, &peer, request) => answer,
        () = peer.stream.gone() => Err(ClientLeft),
    }
}

async fn answer_if_there(
    core: &Core,
    peer: &Peer,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, ClientLeft> {
    let arrived = Instant::now();
    if peer.watched.is_ambiguous(peer.watched.request()) {
        return Ok(own(Reject {
            status: StatusCode::BAD_REQUEST,
            why: "the request could be read in two ways",
        }));
    }
    if let Err(reject) = head::check(&request) {
        return Ok(own(reject));
    }
    let work = match admit(core, peer, &request).await {
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
    let decided = Decided::drawn(sinks, place, side, (share, key.hash()), arrived);
    let other = other_side(side, share);
    let version = request.version();
    let mut answer = forward(core, peer, request, (side, other), decided, work).await?;
    // Without a length an old client sees the end by the connection's.
    if version != Version::HTTP_11 && answer.body().size_hint().exact().is_none() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
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
) -> Result<Option<WorkGuard>, Turned> {
    if !core.holds && core.shared.route().is_some() {
        return Ok(None);
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
            return Ok(Some(work));
        }
        drop(work);
        // A client that closes while it waits has left, or waits with its sending half closed: the
        // two look the same. What changes nothing is answered; an order is not carried out for
        // somebody who may not hear of it and may have given it again elsewhere.
        let harmless = request.method().is_safe() && request.body().is_end_stream();
        tokio::select! {
            turn = core.parking.wait() => turn?,
            () = has_left(&peer.stream), if !harmless => return Err(Turned::Left),
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
    let (method, version) = (request.method().clone(), request.version());
    let expects = head::expects_word(&request);
    let mut request = request.map(|body| RequestBody::of(body, expects));
    let upload = request.body().upload();
    head::to_upstream(&mut request, peer.client);
    if let Some(upload) = upload.clone().filter(|_| expects) {
        hyper::ext::on_informational(&mut request, move |word| {
            if word.status() == StatusCode::CONTINUE {
                upload.go_on();
            }
        });
    }
    let whole = async {
        match &upload {
            Some(upload) => upload.end().await,
            None => decided.owed(),
        }
        decided.owed();
    };
    let sent = {
        let sending = core.forwarder.send(side, request);
        tokio::pin!(sending, whole);
        tokio::select! {
            biased;
            sent = &mut sending => sent,
            () = whole => sending.await,
        }
    };
    let waited = || upload.as_ref().map_or(Duration::ZERO, |upload| upload.waited());
    let sent = match (sent, other) {
        (Err(Failure::Unreachable { why, unsent }), Some(other)) => {
            tracing::warn!(client = %peer.client, %side, %why, "a request goes to the {other} instead");
            decided.refused(other);
            side = other;
            core.forwarder.send(side, *unsent).await
        }
        (sent, _) => sent,
    };
    let failure = match sent {
        Ok((mut answer, lease)) => match answer::for_client(&mut answer, &method, version) {
            Ok(()) => {
                decided.answered(answer.status().is_server_error(), waited());
                if let Some(work) = &work {
                    work.set_state("answer under way");
                }
                if upload.as_ref().is_some_and(|upload| upload.is_held_back()) {
                    // Nobody asked for the body, and what comes next might be it.
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(header::CONNECTION, close);
                }
                let lease = Some(lease);
                let passage = Passage { lease, decided, upload, _work: work };
                return Ok(answer.map(|body| AnswerBody::upstream(body, passage)));
            }
            Err(why) => Failure::Broken(format!("the answer cannot be passed on: {why}")),
        },
        Err(failure) => failure,
    };
    let (status, why) = match failure {
        Failure::Client => {
            decided.client_failed();
            return clients_fault(peer.watched.fault());
        }
        Failure::Full(why) => {
            decided.limited();
            tracing::warn!(client = %peer.client, %side, %why, "a request was turned away");
            return Ok(busy("too many requests are under way"));
        }
        Failure::Unreachable { why, .. } | Failure::Broken(why) => (StatusCode::BAD_GATEWAY, why),
        Failure::Late(why) => (StatusCode::GATEWAY_TIMEOUT, why),
    };
    decided.answered(true, waited());
    tracing::warn!(client = %peer.client, %side, %why, "a request failed");
    let text = format!("changeover: the {side} environment did not answer\n");
    let mut answer = plain(status, text);
    if upload.is_some_and(|upload| !upload.has_ended()) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

/// What a client is told that did not send the rest of its request.
fn clients_fault(fault: Option<ClientFault>) -> Result<Response<AnswerBody>, ClientLeft> {
    let (status, why) = match fault {
        Some(ClientFault::Gone) => return Err(ClientLeft),
        Some(ClientFault::BodyLate) => {
            (StatusCode::REQUEST_TIMEOUT, "the rest of the request did not come in time")
        }
        Some(ClientFault::CutShort) => {
            (StatusCode::BAD_REQUEST, "the request's body was cut short")
        }
        _ => (StatusCode::BAD_REQUEST, "the request's body is malformed"),
    };
    Ok(own(Reject { status, why }))
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
        Turned::Left => "the client closed its connection while the service moved",
    };
    busy(why)
}

fn busy(why: &str) -> Response<AnswerBody> {
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
