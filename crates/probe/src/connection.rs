//! One connection, in clear or with TLS, and one request after another on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use changeover_assess::inventory::Certificate;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::response::Parts;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::address::Address;
use crate::certificate::{Witness, config};

/// More of an answer is not read.
const BODY_BYTES: usize = 64 * 1024;

/// What moves the bytes of a connection while somebody waits for an answer; gone at its end.
type Driver = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// A connection and what drives it: no task of its own, so nothing outlives the asking.
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: Driver,
    host: String,
    /// What the handshake showed.
    pub(crate) certificate: Option<Certificate>,
}

/// Waits for something while the connection moves.
async fn driven<T>(driver: &mut Driver, doing: impl Future<Output = T>) -> T {
    let mut doing = std::pin::pin!(doing);
    loop {
        let Some(connection) = driver else { return doing.await };
        tokio::select! {
            biased;
            done = &mut doing => return done,
            () = connection => *driver = None,
        }
    }
}

impl Connection {
    pub(crate) async fn open(address: &Address) -> Result<Connection, String> {
        let place = (address.host.as_str(), address.port);
        let stream = TcpStream::connect(place).await.map_err(|e| format!("connecting: {e}"))?;
        stream.set_nodelay(true).map_err(|e| format!("connecting: {e}"))?;
        if !address.tls {
            return Connection::over(TokioIo::new(stream), address, None).await;
        }
        let witness = Arc::new(Witness::new()?);
        let connector = TlsConnector::from(Arc::new(config(Arc::clone(&witness))?));
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| format!("`{}` cannot be a name in a certificate", address.host))?;
        let stream =
            connector.connect(name, stream).await.map_err(|e| format!("the TLS handshake: {e}"))?;
        let seen = witness.seen();
        Connection::over(TokioIo::new(stream), address, seen).await
    }

    async fn over<S>(
        stream: TokioIo<S>,
        address: &Address,
        certificate: Option<Certificate>,
    ) -> Result<Connection, String>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) =
            http1::handshake(stream).await.map_err(|e| format!("speaking HTTP: {e}"))?;
        // Why it ended shows in the sender.
        let driver: Driver = Some(Box::pin(async move { connection.await.unwrap_or(()) }));
        Ok(Connection { sender, driver, host: address.authority(), certificate })
    }

    /// Whether another request can be sent.
    pub(crate) async fn is_open(&mut self) -> bool {
        driven(&mut self.driver, self.sender.ready()).await.is_ok()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<(Parts, Bytes), String> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header("host", &self.host)
            .header("user-agent", "changeover-assess")
            .header("accept", "application/json, */*")
            .body(Empty::new())
            .map_err(|e| format!("the path {path}: {e}"))?;
        let answer = driven(&mut self.driver, self.sender.send_request(request)).await;
        let (parts, body) = answer.map_err(|e| format!("GET {path}: {e}"))?.into_parts();
        let body = driven(&mut self.driver, Limited::new(body, BODY_BYTES).collect()).await;
        let body = body.map_err(|e| format!("reading the answer to GET {path}: {e}"))?;
        Ok((parts, body.to_bytes()))
    }
}
