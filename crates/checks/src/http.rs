//! One HTTP/1.1 request on a connection of ours, and the whole answer.
//!
//! A connection is driven by whoever waits for an answer on it: no task outlives its question, and
//! dropping the question is enough to end it.

use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What a request of ours says of itself.
pub const AGENT: &str = concat!("changeover-check/", env!("CARGO_PKG_VERSION"));

/// A request that is ready to be sent anywhere.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Its headers, without `Host`. Their values may be secret.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A request that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be sent")]
pub struct NoAsk(String);

impl Ask {
    /// From texts, secrets among them read already.
    ///
    /// # Errors
    /// If a text cannot be what it is meant for; its value is not told.
    pub fn new(
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Option<&str>,
    ) -> Result<Ask, NoAsk> {
        let no = |what: &str| NoAsk(what.to_owned());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value)
                .map_err(|_| no(&format!("the value of the header `{name}`")))?;
            map.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| no(name))?, value);
        }
        map.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        Ok(Ask {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| no("the method"))?,
            path: path.to_owned(),
            headers: map,
            body: Bytes::from(body.unwrap_or_default().to_owned()),
        })
    }

    fn request(&self, host: &str) -> Result<Request<Full<Bytes>>, Broken> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().map_err(|_| Broken::Request)?;
        *request.headers_mut() = self.headers.clone();
        if !self.headers.contains_key(HOST) {
            let host = HeaderValue::from_str(host).map_err(|_| Broken::Request)?;
            request.headers_mut().insert(HOST, host);
        }
        Ok(request)
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or the beginning of it.
    pub body: Bytes,
    /// Whether the body went on.
    pub cut_off: bool,
}

/// Why there is no answer. Says nothing of what was sent.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Nobody listens there.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The request is none.
    #[error("the request cannot be written")]
    Request,
    /// The connection broke, or what came is not HTTP/1.
    #[error("the connection broke before the answer was complete: {0}")]
    Http(hyper::Error),
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A connection that is kept for more than one question.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Option<Driver>,
    used: bool,
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn open(address: &str) -> Result<Connection, Broken> {
        let stream = TcpStream::connect(address).await.map_err(Broken::Connect)?;
        stream.set_nodelay(true).map_err(Broken::Connect)?;
        let (sender, driver) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Broken::Http)?;
        Ok(Connection { sender, driver: Some(Box::pin(driver)), used: false })
    }

    /// Whether an earlier answer came on it: its server may just be closing it.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// Whether another question may be asked on it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.driver.is_some() && !self.sender.is_closed()
    }

    /// Asks, and reads the answer; of its body at most `body_max` bytes are kept. A body that goes
    /// on is read to its end if `to_end`, else the connection is of no more use.
    ///
    /// # Errors
    /// If no whole answer came.
    pub async fn ask(
        &mut self,
        ask: &Ask,
        host: &str,
        body_max: usize,
        to_end: bool,
    ) -> Result<Answer, Broken> {
        let request = ask.request(host)?;
        let Connection { sender, driver, used } = self;
        let mut exchange = std::pin::pin!(async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            read(response, body_max, to_end).await
        });
        let answer = loop {
            let Some(driving) = driver else { break exchange.await };
            tokio::select! {
                biased;
                answer = &mut exchange => break answer,
                ended = driving => {
                    *driver = None;
                    if let Err(e) = ended {
                        break Err(e);
                    }
                }
            }
        };
        *used = true;
        answer.map_err(Broken::Http)
    }
}

async fn read(
    response: Response<Incoming>,
    body_max: usize,
    to_end: bool,
) -> hyper::Result<Answer> {
    let (head, mut incoming) = response.into_parts();
    let mut body = BytesMut::new();
    let mut cut_off = false;
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = body_max - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        cut_off |= data.len() > room;
        if cut_off && !to_end {
            break;
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body: body.freeze(), cut_off })
}

/// Asks on a connection of its own.
///
/// # Errors
/// If no whole answer came.
pub async fn ask(address: &str, ask: &Ask, body_max: usize) -> Result<Answer, Broken> {
    Connection::open(address).await?.ask(ask, address, body_max, false).await
}
