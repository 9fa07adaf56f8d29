//! A small HTTP/1.1 client with a pool of connections, which tells *not sent* from *unanswered*.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use http::header::SET_COOKIE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) version: Option<String>,
    pub(crate) outcome_unknown: bool,
    pub(crate) cookie: Option<String>,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The start of the body, for a message.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(200).collect()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum SendError {
    /// No byte left us.
    NotSent(String),
    /// It was sent, at least in part.
    Broken(String),
}

/// The connections to one address.
#[derive(Debug)]
pub(crate) struct Client {
    to: SocketAddr,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    pub(crate) fn new(to: SocketAddr) -> Client {
        Client { to, idle: Mutex::new(Vec::new()) }
    }

    /// Sends a request once. Another connection is tried only if nothing at all was sent on an
    /// idle one that the other end had closed, as every client with keep-alive does.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(crate) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Reply, SendError> {
        loop {
            let kept = self.take();
            let fresh = kept.is_none();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let response = match connection.try_send_request(request).await {
                Ok(response) => response,
                Err(mut e) => match e.take_message() {
                    Some(unsent) if !fresh => {
                        request = unsent;
                        continue;
                    }
                    Some(_) => return Err(SendError::NotSent(causes(e.error()))),
                    None => return Err(SendError::Broken(causes(e.error()))),
                },
            };
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| SendError::Broken(causes(&e)))?.to_bytes();
            self.give_back(connection);
            let header = |name: &str| {
                head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
            };
            return Ok(Reply {
                status: head.status,
                version: header("x-shop-version"),
                outcome_unknown: header("x-shop-outcome").is_some_and(|v| v == "unknown"),
                cookie: header(SET_COOKIE.as_str())
                    .and_then(|v| v.split(';').next().map(str::to_owned)),
                body,
            });
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, SendError> {
        let not_sent =
            |why: String| SendError::NotSent(format!("connecting to {}: {why}", self.to));
        let stream = TcpStream::connect(self.to).await.map_err(|e| not_sent(e.to_string()))?;
        stream.set_nodelay(true).map_err(|e| not_sent(e.to_string()))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| not_sent(causes(&e)))?;
        tokio::spawn(async move {
            // What breaks here is told to the request under way, if there is one.
            connection.await.ok();
        });
        Ok(sender)
    }

    fn take(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(&self, connection: SendRequest<Full<Bytes>>) {
        if !connection.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

fn causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
