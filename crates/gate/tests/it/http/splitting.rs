//! Who goes where.

use std::collections::HashMap;

use crate::harness::{Client, RunningGate, Server};

async fn environments() -> (Server, Server, RunningGate) {
    let source = Server::named("source").await;
    let target = Server::named("target").await;
    let gate = RunningGate::start(&[source.address], &[target.address]);
    (source, target, gate)
}

#[tokio::test]
async fn new_clients_are_split_by_weight() {
    let (_source, _target, gate) = environments().await;
    gate.weight(250).await;
    let mut client = Client::connect(gate.address).await;
    let mut on_target = 0;
    let all = 2000;
    for _ in 0..all {
        let (status, side) = client.get("/").await.unwrap();
        assert_eq!(status, 200);
        on_target += u32::from(side == "target");
    }
    // Six standard deviations of a binomial of 2000 at 0.25.
    assert!((383..=617).contains(&on_target), "{on_target} of {all}");
}

#[tokio::test]
async fn a_client_keeps_its_side_while_the_weight_grows() {
    let (_source, _target, gate) = environments().await;
    let mut client = Client::connect(gate.address).await;
    let mut cookies = Vec::new();
    for _ in 0..100 {
        let answer = client.send(http::Request::get("/"), "").await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        cookies.push(cookie.split(';').next().unwrap().to_owned());
    }
    let mut on_target: HashMap<String, bool> = HashMap::new();
    for permille in [0, 50, 250, 250, 500, 900, 1000] {
        gate.weight(permille).await;
        for cookie in &cookies {
            let request = http::Request::get("/").header("cookie", format!("a=b; {cookie}"));
            let answer = client.send(request, "").await.unwrap();
            assert!(!answer.headers().contains_key("set-cookie"));
            let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
            let now = body.to_bytes() == "target";
            let before = on_target.insert(cookie.clone(), now).unwrap_or(false);
            assert!(now || !before, "{cookie} left the target at {permille}");
        }
        let count = on_target.values().filter(|t| **t).count();
        match permille {
            0 => assert_eq!(count, 0),
            500 => assert!((20..=80).contains(&count), "{count}"),
            1000 => assert_eq!(count, cookies.len()),
            _ => {}
        }
    }
    let metrics = gate.metrics().await;
    let requests: u64 = metrics.http.values().map(|side| side.requests).sum();
    assert_eq!(requests, 800);
    for (side, http) in &metrics.http {
        assert_eq!(http.latency_us.iter().map(|(_, n)| n).sum::<u64>(), http.requests, "{side}");
        assert_eq!(http.errors, 0);
    }
}

#[tokio::test]
async fn instances_of_a_side_take_turns_and_a_dead_one_is_passed_over() {
    let (one, two) = (Server::named("one").await, Server::named("two").await);
    let dead = {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        unused.local_addr().unwrap()
    };
    let gate = RunningGate::start(&[one.address, dead, two.address], &[one.address]);
    let mut client = Client::connect(gate.address).await;
    let mut seen: HashMap<String, u32> = HashMap::new();
    for _ in 0..60 {
        let (status, body) = client.get("/").await.unwrap();
        assert_eq!(status, 200);
        *seen.entry(body).or_default() += 1;
    }
    assert!(seen["one"] >= 15 && seen["two"] >= 15, "{seen:?}");
}
