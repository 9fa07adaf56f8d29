//! The thread that sends copies and compares their answers.

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use changeover_routing::mirror::{Body as Compared, Copied, Difference, differences};
use changeover_types::Side;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Job, Mirror, Running};
use crate::http::forward::Forwarder;
use crate::http::head;
use crate::http::slots::Slots;
use crate::http::upload::RequestBody;
use crate::state::HttpGateConfig;

/// So many requests are compared at the same time, each with three copies under way.
const AT_ONCE: usize = 32;
/// A copy that takes longer has no answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often idle connections and the lease are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A JSON document larger than this is compared as a whole.
const JSON_BYTES: usize = 512 * 1024;
/// Of a larger body the beginning is compared.
const BODY_BYTES: usize = 8 * 1024 * 1024;

/// Tells an application that nobody waits for this answer.
const COPY: HeaderName = HeaderName::from_static("x-changeover-copy");

/// Sends what is offered, until the gate drains.
pub(crate) async fn run(config: &HttpGateConfig, mirror: &Mirror, drain: CancellationToken) {
    let taken = mirror.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut jobs) = taken else { return };
    // Copies never take a connection from a client: they have their own.
    let slots = Slots::new(config.source.len() + config.target.len(), 3 * AT_ONCE);
    let forwarder = Arc::new(Forwarder::new(config, slots, None));
    let mut copies = JoinSet::new();
    let mut under_way: Vec<(AbortHandle, Arc<Running>)> = Vec::new();
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = drain.cancelled() => return,
            Some(_) = copies.join_next(), if !copies.is_empty() => {
                under_way.retain(|(copy, _)| !copy.is_finished());
            }
            // The word may come late: copies of the mirroring that has begun since stay.
            () = mirror.stopped.notified() => under_way
                .iter()
                .filter(|(_, running)| !mirror.wants(running))
                .for_each(|(copy, _)| copy.abort()),
            _ = look.tick() => {
                forwarder.sweep();
                if !mirror.is_on() {
                    copies.abort_all();
                }
            }
            Some(job) = jobs.recv(), if copies.len() < AT_ONCE => {
                if mirror.wants(&job.running) {
                    let running = Arc::clone(&job.running);
                    let copy = copies.spawn(compare(Arc::clone(&forwarder), job));
                    under_way.push((copy, running));
                }
            }
        }
    }
}

async fn compare(forwarder: Arc<Forwarder>, job: Job) {
    let (primary, secondary, candidate) = tokio::join!(
        ask(&forwarder, Side::Source, &job),
        ask(&forwarder, Side::Source, &job),
        ask(&forwarder, Side::Target, &job),
    );
    let mut tally = job.running.tally();
    let (Some(primary), Some(secondary)) = (primary, secondary) else {
        tally.count_unanswered();
        return;
    };
    let noise = differences(&primary, &secondary);
    let found = match candidate {
        Some(candidate) => differences(&primary, &candidate),
        None => vec![Difference::at("answer")],
    };
    tally.count(&format!("{} {}", job.method, job.uri.path()), &noise, &found);
}

/// One copy to one side; nothing if no whole answer came.
async fn ask(forwarder: &Forwarder, side: Side, job: &Job) -> Option<Copied> {
    let asking = async {
        let (answer, lease) = forwarder.send(side, job.request()).await.ok()?;
        let (copied, whole) = read(answer, &job.running).await?;
        if whole {
            lease.give_back();
        }
        Some(copied)
    };
    timeout(ANSWER_WITHIN, asking).await.ok()?
}

impl Job {
    fn request(&self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        head::to_upstream(&mut request, self.client);
        let headers = request.headers_mut();
        // Answers are to be whole and as they are: what one version has cached says nothing of the
        // other, and compressed bodies cannot be compared place by place.
        for name in [
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_RANGE,
            header::RANGE,
            header::ACCEPT_ENCODING,
        ] {
            headers.remove(name);
        }
        headers.insert(COPY, HeaderValue::from_static("1"));
        request
    }
}

/// The answer as far as it is compared, and whether its body was read to the end.
async fn read(answer: Response<Incoming>, running: &Running) -> Option<(Copied, bool)> {
    let (head, mut body) = answer.into_parts();
    let is_json = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        String::from_utf8_lossy(kind.as_bytes()).to_ascii_lowercase().contains("json")
    });
    let mut hasher = DefaultHasher::new();
    let (mut text, mut length, mut whole) = (Vec::new(), 0_usize, true);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        let kept = data.len().min(BODY_BYTES - length);
        hasher.write(&data[..kept]);
        length += kept;
        if is_json && length <= JSON_BYTES {
            text.extend_from_slice(&data[..kept]);
        }
        if kept < data.len() {
            whole = false;
            break;
        }
    }
    let json = (is_json && length <= JSON_BYTES).then(|| serde_json::from_slice(&text).ok());
    let body = match json.flatten() {
        Some(json) => Compared::Json(json),
        None => Compared::Hash(hasher.finish(), length as u64),
    };
    let headers = running
        .order
        .headers
        .iter()
        .map(|name| (name.clone(), value(&head.headers, name)))
        .collect();
    Some((Copied { status: head.status.as_u16(), headers, body }, whole))
}

/// All values of a header.
fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}
