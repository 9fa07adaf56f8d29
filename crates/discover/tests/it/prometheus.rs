//! Prometheus' targets. `targets.json` is what a real Prometheus 2.42 (Debian's) answered under
//! the prefix `/prom`, with one job up, one down and one not scraped yet; a server of the test's
//! gives it again.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use changeover_assess::hints::HintKind;
use changeover_assess::map::{Relation, Sight};
use changeover_discover::{PrometheusError, from_prometheus};
use changeover_types::WallMs;

const RECORDED: &str = include_str!("prometheus/targets.json");

/// Answers one request with `status` and `body`, if the path is the expected one.
fn serve(status: &'static str, body: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert_eq!(first, "GET /prom/api/v1/targets?state=active HTTP/1.1");
        while !lines.next().unwrap().unwrap().is_empty() {}
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    });
    at
}

async fn ask(at: SocketAddr) -> Result<changeover_assess::map::Discovery, PrometheusError> {
    from_prometheus(&format!("http://{at}/prom/"), Duration::from_secs(20), WallMs(5)).await
}

#[tokio::test]
async fn targets_with_their_health_and_time() {
    let found = ask(serve("200 OK", RECORDED.to_owned())).await.unwrap();
    let mut targets: Vec<String> = found
        .hints
        .iter()
        .map(|hint| {
            let HintKind::ScrapeTarget { job, up } = &hint.what else { panic!("{hint:?}") };
            let seen = matches!(hint.evidence.sight, Sight::Observed { last_seen } if last_seen.0 > 1_700_000_000_000);
            format!("{job} {} up={up:?} seen={seen}", hint.component)
        })
        .collect();
    targets.sort();
    insta::assert_snapshot!(targets.join("\n"));
    assert!(found.links.iter().all(|link| link.relation == Relation::Watches));
    assert!(found.unread.is_empty());
}

#[tokio::test]
async fn other_answers_are_errors_that_say_what_was_asked() {
    for (status, body, expected) in [
        ("404 Not Found", "nope".to_owned(), "with status 404"),
        ("200 OK", "<html>".to_owned(), "not JSON"),
        ("200 OK", "{\"status\":\"error\"}".to_owned(), "without `\"status\": \"success\"`"),
    ] {
        let error = ask(serve(status, body)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(ask(closed).await, Err(PrometheusError::Talk { .. })));
    for url in ["https://prom:9090", "prom:9090", "http://user:pw@prom:9090"] {
        let error = from_prometheus(url, Duration::from_secs(1), WallMs(5)).await.unwrap_err();
        assert!(!error.to_string().contains("pw"), "{error}");
        assert!(matches!(error, PrometheusError::Address(_)));
    }
}

#[tokio::test]
async fn a_server_that_never_answers_has_a_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/prom", listener.local_addr().unwrap());
    let error = from_prometheus(&url, Duration::from_millis(50), WallMs(5)).await.unwrap_err();
    assert!(matches!(error, PrometheusError::Silent { .. }), "{error}");
}
