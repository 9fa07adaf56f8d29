//! What a proxy must do to a head on its way: refuse what can be read two ways, drop what
//! concerns one connection only, and say who the client was.

use std::net::SocketAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri, Version};

/// A request that is answered by the gate itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reject {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

const fn bad(why: &'static str) -> Reject {
    Reject { status: StatusCode::BAD_REQUEST, why }
}

/// Refuses what hyper let through and another server might read differently, and what the gate
/// cannot carry.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Reject> {
    let headers = request.headers();
    if request.method() == Method::CONNECT {
        return Err(Reject {
            status: StatusCode::NOT_IMPLEMENTED,
            why: "CONNECT is not carried by this gate",
        });
    }
    if headers.get_all(header::UPGRADE).iter().any(asks_for_another_protocol) {
        return Err(Reject {
            status: StatusCode::NOT_IMPLEMENTED,
            why: "WebSocket is not carried yet, nor is any other upgrade",
        });
    }
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(first) = encodings.next() {
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(bad("both Transfer-Encoding and Content-Length are given"));
        }
        if encodings.next().is_some() || !first.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(bad("the only Transfer-Encoding carried is a single `chunked`"));
        }
        if request.version() != Version::HTTP_11 {
            return Err(bad("Transfer-Encoding needs HTTP/1.1"));
        }
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 {
        return Err(bad("more than one Host is given"));
    }
    if hosts == 0 && request.version() == Version::HTTP_11 {
        return Err(bad("HTTP/1.1 needs a Host"));
    }
    Ok(())
}

/// An offer of h2c may be ignored, and some clients make it with every first request.
fn asks_for_another_protocol(upgrade: &HeaderValue) -> bool {
    !upgrade.as_bytes().split(|b| *b == b',').all(|p| p.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

/// Turns a client's head into the one for an upstream.
pub(super) fn to_upstream<B>(request: &mut Request<B>, client: SocketAddr) {
    let expects = expects_word(request);
    let trailers = wants_trailers(request.headers());
    let authority = request.uri().authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    strip_hop_by_hop(headers);
    // Who has to wait for a word waits for the upstream's.
    if !expects {
        headers.remove(header::EXPECT);
    }
    // An absolute target overrides Host (RFC 9112, 3.2.2).
    if let Some(authority) = authority {
        headers.insert(header::HOST, authority);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    forwarded(headers, client);
}

/// Whether the client sends its body only once it is told to go on. HTTP/1.0 knows no such thing.
pub(super) fn expects_word<B>(request: &Request<B>) -> bool {
    let named = request.headers().get(header::EXPECT);
    request.version() == Version::HTTP_11
        && named.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Drops what concerns one connection, including what `Connection` names.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .filter(may_be_nominated)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ] {
        headers.remove(name);
    }
}

/// A client must not be able to remove, by naming them, what frames or routes the message or says
/// who it is.
fn may_be_nominated(name: &HeaderName) -> bool {
    let kept = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::AUTHORIZATION,
        header::COOKIE,
        header::SET_COOKIE,
    ];
    !kept.contains(name) && !name.as_str().starts_with("x-forwarded-")
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

fn forwarded(headers: &mut HeaderMap, client: SocketAddr) {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    let mut chain = Vec::new();
    for value in headers.get_all(FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(client.ip().to_string().as_bytes());
    // Joined from valid values and an address, so it is valid.
    if let Ok(chain) = HeaderValue::from_maybe_shared(bytes::Bytes::from(chain)) {
        headers.insert(FOR, chain);
    }
    if !headers.contains_key(PROTO) {
        headers.insert(PROTO, HeaderValue::from_static("http"));
    }
    if !headers.contains_key(HOST)
        && let Some(host) = headers.get(header::HOST).cloned()
    {
        headers.insert(HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::get("http://elsewhere:81/a?b=c");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn what_concerns_one_connection_does_not_travel() {
        let mut request = request(&[
            ("host", "shop"),
            ("connection", "close, X-Secret, host"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers"),
            ("proxy-authorization", "Basic x"),
            ("x-forwarded-for", "10.0.0.1"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
        ]);
        to_upstream(&mut request, "192.0.2.7:4711".parse().unwrap());
        let mut left: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "accept: */*",
                "expect: 100-continue",
                "host: elsewhere:81",
                "te: trailers",
                "x-forwarded-for: 10.0.0.1, 192.0.2.7",
                "x-forwarded-host: elsewhere:81",
                "x-forwarded-proto: http",
            ]
        );
        assert_eq!(request.uri(), "/a?b=c");
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let host = ("host", "shop");
        for (headers, status) in [
            (vec![host], None),
            (vec![host, ("upgrade", "h2c")], None),
            (vec![host, ("upgrade", "websocket")], Some(501)),
            (vec![], Some(400)),
            (vec![host, host], Some(400)),
            (vec![host, ("transfer-encoding", "chunked")], None),
            (vec![host, ("transfer-encoding", "gzip, chunked")], Some(400)),
            (vec![host, ("transfer-encoding", "chunked"), ("content-length", "3")], Some(400)),
        ] {
            let outcome = check(&request(&headers)).err().map(|reject| reject.status.as_u16());
            assert_eq!(outcome, status, "{headers:?}");
        }
    }
}
