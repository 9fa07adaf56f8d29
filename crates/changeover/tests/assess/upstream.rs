//! Upstreams: one answer for every request, in clear or with a certificate that has ended.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How an upstream answers.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) status: &'static str,
    pub(crate) headers: &'static str,
    pub(crate) body: &'static str,
    /// Whether its clock is right; otherwise it says that it is 2020.
    pub(crate) in_time: bool,
}

impl Answers {
    fn text(&self) -> String {
        let date = match self.in_time {
            true => httpdate::fmt_http_date(SystemTime::now()),
            false => "Thu, 26 Nov 2020 14:00:00 GMT".to_owned(),
        };
        let Answers { status, headers, body, .. } = self;
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ndate: {date}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        )
    }
}

/// Serves in clear until the test's process ends.
pub(crate) fn clear(answers: Answers) -> SocketAddr {
    listen(move |stream| answer(stream, &answers))
}

/// Serves with TLS and a certificate that ended in 2021 and is for another name.
pub(crate) fn ended(answers: Answers) -> SocketAddr {
    let certificate = include_bytes!("../../../probe/tests/it/ended.crt");
    let key = include_bytes!("../../../probe/tests/it/ended.key");
    let chain = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key).unwrap())
        .unwrap();
    let config = Arc::new(config);
    listen(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        answer(StreamOwned::new(connection, stream), &answers);
    })
}

fn listen(serve: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Answers one request after another until the client leaves.
fn answer(mut stream: impl Read + Write, answers: &Answers) {
    let mut heard = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        heard.extend_from_slice(&chunk[..n]);
        while let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
            heard.drain(..end + 4);
            let sent = stream.write_all(answers.text().as_bytes());
            if sent.and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }
}
