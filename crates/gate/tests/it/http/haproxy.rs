//! The gate beside a real HAProxy, which people know: the same bytes get the same answer; and behind
//! one, which asks whether the gate is alive.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::harness::{RawClient, RunningGate, Server, eventually, raw_upstream, read_request};

/// HAProxy before one server.
struct Haproxy {
    address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Haproxy {
    async fn before(server: SocketAddr, more: &str) -> Haproxy {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let file = folder.path().join("haproxy.cfg");
        let config = format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             listen all\n bind {address}\n {more}\n server one {server} check inter 50ms rise 1\n"
        );
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("haproxy; scripts/install haproxy");
        let haproxy = Haproxy { address, child, _folder: folder };
        eventually("HAProxy serves", async || {
            tokio::net::TcpStream::connect(address).await.ok().map(drop)
        })
        .await;
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An upstream that frames its answer as the path says.
async fn framing() -> SocketAddr {
    raw_upstream(|mut stream| async move {
        while let Some(head) = read_request(&mut stream).await {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let chunked = "Transfer-Encoding: chunked\r\n";
            let (fields, body) = match path.as_str() {
                "/both" => (format!("{chunked}Content-Length: 3\r\n"), "5\r\nhello\r\n0\r\n\r\n"),
                "/chunked" => (chunked.to_owned(), "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
                "/until-the-end" => ("Connection: close\r\n".to_owned(), "hello"),
                "/nothing" => ("Content-Length: 0\r\n".to_owned(), ""),
                _ => ("Content-Length: 5\r\n".to_owned(), "hello"),
            };
            let body = if head.starts_with("HEAD") { "" } else { body };
            let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if path == "/until-the-end" {
                return;
            }
        }
    })
    .await
}

/// Status and body of each answer in these bytes; a request line says which of them has no body.
fn answers(bytes: &str, requests: &str) -> Vec<(String, String)> {
    let heads: Vec<bool> = requests
        .lines()
        .filter(|it| it.contains(" HTTP/"))
        .map(|it| it.starts_with("HEAD"))
        .collect();
    let (mut all, mut rest) = (Vec::new(), bytes);
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let head = head.to_ascii_lowercase();
        let field = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
        };
        let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut body = String::new();
        rest = after;
        if heads.get(all.len()) == Some(&true) {
        } else if field("transfer-encoding:").is_some() {
            while let Some((size, more)) = rest.split_once("\r\n") {
                let size = usize::from_str_radix(size, 16).unwrap();
                body.push_str(&more[..size]);
                rest = &more[size + 2..];
                if size == 0 {
                    break;
                }
            }
        } else {
            let length = field("content-length:").map_or(rest.len(), |it| it.parse().unwrap());
            body.push_str(&rest[..length.min(rest.len())]);
            rest = &rest[length.min(rest.len())..];
        }
        // Each has its own words for what it refuses.
        let body = if status.starts_with('4') { String::new() } else { body };
        all.push((status, body));
    }
    all
}

const ENDS: &str = "Connection: close\r\n";

#[tokio::test]
async fn the_same_bytes_get_the_same_answer_as_from_haproxy() {
    let upstream = framing().await;
    let gate = RunningGate::start(&[upstream], &[upstream]);
    let haproxy = Haproxy::before(upstream, "option http-server-close").await;
    let mut requests = Vec::new();
    for path in ["/plain", "/both", "/chunked", "/until-the-end", "/nothing"] {
        for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
            requests.push(format!("{method} {path} HTTP/1.0\r\n\r\n"));
            requests.push(format!("{method} {path} HTTP/1.0\r\nHost: a\r\n\r\n"));
            requests.push(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{ENDS}\r\n"));
        }
        let body = "Content-Length: 5\r\n";
        requests.push(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{body}{ENDS}\r\nhello"));
    }
    let mut two = String::new();
    for ends in ["", ENDS] {
        write!(two, "GET /chunked HTTP/1.1\r\nHost: a\r\n{ends}\r\n").unwrap();
    }
    requests.push(two);
    // What is no request.
    for wrong in [
        "nonsense\r\n\r\n",
        "GET /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "GET /plain HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET /plain HTTP/1.1\r\nHo st: a\r\n\r\n",
    ] {
        requests.push(wrong.to_owned());
    }
    for request in requests {
        for half_closes in [false, true] {
            let mut given = Vec::new();
            for address in [haproxy.address, gate.address] {
                let mut client = RawClient::send(address, &request).await;
                if half_closes {
                    client = client.half_close().await;
                }
                given.push(answers(&client.rest().await, &request));
            }
            assert_eq!(given[1], given[0], "{request:?}, half closed: {half_closes}");
            assert!(!given[0].is_empty(), "{request:?}");
        }
    }
}

#[tokio::test]
async fn haproxy_in_front_finds_the_gate_alive() {
    let blue = Server::named("blue").await;
    let gate = RunningGate::start(&[blue.address], &[blue.address]);
    // Its usual question is `OPTIONS / HTTP/1.0`, without a Host.
    let haproxy = Haproxy::before(gate.address, "option httpchk").await;
    eventually("the check has passed some times", async || {
        (gate.metrics().await.http.values().map(|it| it.requests).sum::<u64>() > 3).then_some(())
    })
    .await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{ENDS}\r\n");
    let answer = RawClient::send(haproxy.address, &request).await.rest().await;
    assert_eq!(answers(&answer, &request)[0].0, "200", "{answer}");
    let metrics = gate.metrics().await;
    assert!(metrics.http.values().all(|side| side.errors == 0), "{metrics:?}");
    // And one whose upstream is gone, dead.
    drop(blue);
    eventually("HAProxy serves nobody", async || {
        let answer = RawClient::send(haproxy.address, &request).await.rest().await;
        answer.starts_with("HTTP/1.1 503").then_some(())
    })
    .await;
}
