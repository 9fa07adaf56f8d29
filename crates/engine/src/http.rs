//! One plain HTTP/1.1 request and its answer, bounded in bytes; the caller bounds the time.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest body that is read.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body, whole.
    pub(crate) body: Bytes,
}

/// Asks `http://host:port[/prefix]` for a path and query, on a connection of its own.
///
/// # Errors
/// In words, without the path: a query may be long.
pub(crate) async fn get(base: &str, path: &str) -> Result<Answer, String> {
    let rest = base.strip_prefix("http://").unwrap_or(base);
    let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let with_port =
        |text: &str| text.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok());
    let address =
        if with_port(authority) { authority.to_owned() } else { format!("{authority}:80") };
    let stream = TcpStream::connect(&address).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let request = Request::get(format!("{}{path}", prefix.trim_end_matches('/')))
        .header(HOST, authority)
        .header(USER_AGENT, "changeover")
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), BODY_MAX_BYTES).collect().await;
        let body = body.map_err(|e| format!("its answer cannot be read: {e}"))?.to_bytes();
        Ok(Answer { status, body })
    };
    // The connection is driven here, so that dropping this future ends it.
    tokio::pin!(exchange);
    tokio::pin!(connection);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(e) => Err(e.to_string()),
        },
    }
}
