//! A server that says exactly what a test wants.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers a request for a path with the whole text of an answer; `None` hangs up.
pub(crate) type Answers = fn(&str) -> Option<String>;

/// `200` with a body and more headers.
pub(crate) fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

pub(crate) const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// Serves in clear for as long as the test lives.
pub(crate) async fn clear(answers: Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answers));
        }
    });
    address
}

/// Answers one request after another on a connection.
pub(crate) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: Answers) {
    let mut heard = Vec::new();
    loop {
        while let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&heard[..end]).into_owned();
            heard.drain(..end + 4);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let Some(answer) = answers(path) else { return };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            if answer.contains("connection: close") {
                return;
            }
        }
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).await {
            Ok(n) if n > 0 => heard.extend_from_slice(&chunk[..n]),
            _ => return,
        }
    }
}
