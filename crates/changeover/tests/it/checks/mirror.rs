//! Mirrored traffic as a step.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;

use super::site::{Server, Site};
use crate::stage::{PATIENCE, Stage, until};

/// A shop with a number that changes all the time, and a price. `copies` counts mirrored requests.
fn shop(price: u32, copies: &Arc<AtomicU64>) -> Server {
    let (copies, served) = (Arc::clone(copies), Arc::new(AtomicU64::new(0)));
    let answer = move |headers: HeaderMap| {
        let number = served.fetch_add(1, Ordering::Relaxed);
        if headers.contains_key("x-changeover-copy") {
            copies.fetch_add(1, Ordering::Relaxed);
        }
        let body = format!("{{\"price\": {price}, \"served\": {number}}}");
        async move { ([("content-type", "application/json")], body) }
    };
    Server::start(Router::new().fallback(get(answer)))
}

/// A client that reads all the time; every answer must be a 200.
struct Clients {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Clients {
    fn start(port: u16) -> Clients {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut good = 0;
            while !stopped.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let request =
                    "GET /p?q=hunter2 HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                good += 1;
            }
            good
        });
        Clients { stop, thread: Some(thread) }
    }

    fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

const STEP: &str = "      - mirror: {sample: 100%, for: 3s, at_most: 0.1%, least: 20}\n";

#[test]
fn equal_versions_pass_and_different_ones_are_told_with_places() {
    let copies = Arc::default();
    let (blue, green) = (shop(5, &copies), shop(5, &copies));
    let site = Site::new(&blue, &green, STEP).with_gate();
    let clients = Clients::start(site.port);
    let text = site.apply(0);
    assert!(text.contains("requests compared, 0 differ, 1 fields are noise"), "{text}");
    assert!(clients.stop() > 20);
    assert!(site.checks()[0]["numbers"]["compared"].as_u64().unwrap() >= 20);

    let (blue, green) = (shop(5, &copies), shop(6, &copies));
    let site = Site::new(&blue, &green, STEP).with_gate();
    let clients = Clients::start(site.port);
    let text = site.apply(5);
    let failures = Site::failures(&site.checks()[0]).join("\n");
    let wanted = "`/price` differs in";
    assert!(failures.contains(wanted) && failures.contains("GET /p, /price"), "{failures}");
    assert!(!failures.contains("served"), "{failures}");
    assert!(text.contains(wanted), "{text}");
    assert!(!format!("{text}{:?}{}", site.checks(), site.log()).contains("hunter2"));
    clients.stop();
}

#[test]
fn without_clients_there_is_no_verdict() {
    let copies = Arc::default();
    let (blue, green) = (shop(5, &copies), shop(5, &copies));
    let site = Site::new(&blue, &green, STEP).with_gate();
    let text = site.apply(5);
    assert!(text.contains("at least 20 requests are compared: only 0 were"), "{text}");
}

#[test]
fn a_dead_run_leaves_no_mirroring_and_a_killed_daemon_begins_it_again() {
    let copies = Arc::new(AtomicU64::new(0));
    let (blue, green) = (shop(5, &copies), shop(5, &copies));
    let site = Site::new(&blue, &green, &STEP.replace("3s", "6s")).with_gate();
    let clients = Clients::start(site.port);
    let mut apply = site.command(&["apply", "plan.yaml"]).spawn().unwrap();
    let mirrored = |more: u64| {
        let from = copies.load(Ordering::Relaxed);
        let there =
            until(PATIENCE, || (copies.load(Ordering::Relaxed) >= from + more).then_some(()));
        assert!(there.is_some(), "nothing is mirrored: {}", site.log());
    };
    mirrored(30);
    site.kill_daemon();
    assert!(apply.wait().unwrap().success(), "{}", site.log());
    assert_eq!(site.checks().len(), 1, "a check that was cut short has no outcome");

    let site = Site::new(&blue, &green, &STEP.replace("3s", "1h")).with_gate();
    let second = Clients::start(site.port);
    let mut apply = site.command(&["apply", "plan.yaml"]).spawn().unwrap();
    mirrored(30);
    apply.kill().unwrap();
    apply.wait().unwrap();
    for file in ["supervisor.pid", "run.pid"] {
        let pid = fs::read_to_string(site.state(file)).unwrap();
        Stage::signal(pid.trim().parse().unwrap(), "KILL");
    }
    let lapsed = until(PATIENCE, || {
        let log = fs::read_to_string(site.path().join("gate.log")).unwrap();
        log.contains("the mirroring lapsed").then_some(())
    });
    assert!(lapsed.is_some(), "the gate mirrors for ever");
    clients.stop();
    assert!(second.stop() > 0);
}
