use changeover_probe::ask;

use super::asking;
use super::server::{NOT_FOUND, clear, ok};

#[tokio::test]
async fn the_usual_paths_are_tried_and_the_answer_is_read() {
    let server = clear(|path| {
        Some(match path {
            "/health" => ok(
                "date: Thu, 26 Nov 2020 14:00:00 GMT\r\n",
                r#"{"version":"1.4.2","database":"up"}"#,
            ),
            _ => NOT_FOUND.to_owned(),
        })
    });
    let upstream = ask(&format!("http://{}", server.await), &asking(None)).await;
    let health = upstream.health.get().unwrap();
    assert_eq!((health.path.as_str(), health.status), ("/health", 200));
    assert_eq!(health.http, "HTTP/1.1");
    assert!(health.keep_alive && health.names_database);
    assert!(health.latency_ms > 0.0 && health.latency_ms <= health.latency_max_ms);
    assert_eq!(upstream.version.get().unwrap(), "1.4.2");
    // Years behind: exactly how far depends on now.
    assert!(*upstream.clock_skew_ms.get().unwrap() < -100_000_000_000);
    assert!(upstream.tls.is_none());
}

#[tokio::test]
async fn what_is_not_there_is_a_status_and_what_is_not_said_is_unknown() {
    let server = clear(|path| match path {
        "/deep" => {
            Some("HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".into())
        }
        _ => None,
    });
    let upstream = ask(&format!("http://{}", server.await), &asking(Some("/deep"))).await;
    let health = upstream.health.get().unwrap();
    assert_eq!((health.status, health.keep_alive), (503, false));
    assert_eq!(upstream.clock_skew_ms.get().unwrap_err(), "its answer has no Date header");
    assert!(upstream.version.get().is_err());
}

#[tokio::test]
async fn who_does_not_answer_is_unknown_with_the_reason() {
    let hangs_up = clear(|_| None).await;
    let upstream = ask(&format!("http://{hangs_up}"), &asking(None)).await;
    assert!(upstream.health.get().unwrap_err().starts_with("GET /healthz: "));

    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let upstream = ask(&format!("http://{address}"), &asking(None)).await;
    assert!(upstream.health.get().unwrap_err().starts_with("connecting: "));

    let upstream = ask("http://user:secret@host/", &asking(None)).await;
    let why = upstream.health.get().unwrap_err();
    assert_eq!(why, "it is not http://host:port or https://host:port");
}

#[tokio::test]
async fn who_is_silent_is_waited_for_until_the_limit() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut asking = asking(None);
    asking.limit = std::time::Duration::from_millis(50);
    let upstream = ask(&url, &asking).await;
    assert_eq!(upstream.health.get().unwrap_err(), "no answer within 0.05 s");
}
