//! Mirrored requests: what is found, what is noise, and that no client notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use changeover_routing::Answer;
use changeover_routing::Order;
use changeover_routing::mirror::{MirrorOrder, MirrorStatus};

use crate::harness::{Client, Reply, RunningGate, Server, eventually, reply};

fn order(id: u64, lease_ms: u64) -> MirrorOrder {
    let (headers, ignore) = (vec!["etag".to_owned()], vec!["/ignored".to_owned()]);
    MirrorOrder { id, lease_ms, sample_of_10k: 10_000, headers, ignore }
}

async fn mirror(gate: &RunningGate, order: MirrorOrder) -> MirrorStatus {
    match gate.control().await.send(Order::Mirror(order)).await.unwrap() {
        Answer::Mirror(status) => status,
        other => panic!("not mirrored: {other:?}"),
    }
}

fn json(text: String, etag: &str) -> Reply {
    let mut reply = reply(text);
    reply.headers_mut().insert("content-type", "application/json".parse().unwrap());
    reply.headers_mut().insert("etag", etag.parse().unwrap());
    reply
}

/// A shop whose answers hold a number that is another one each time.
async fn shop(price: u32, etag: &'static str) -> (Server, Arc<AtomicU64>) {
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    let server = Server::start(move |request| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let copy = request.headers().contains_key("x-changeover-copy");
        // A price that only copies see: a client that got one would tell.
        let price = if copy { price } else { 1 };
        let ignored = u8::from(etag == "v2");
        let text = format!(
            "{{\"items\": [{{\"id\": 7}}, {{\"id\": 8, \"price\": {price}}}], \
             \"served\": {number}, \"ignored\": {ignored}}}"
        );
        async move { json(text, etag) }
    })
    .await;
    (server, served)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_difference_is_found_and_a_changing_field_is_not() {
    let ((source, _), (target, _)) = (shop(1, "v1").await, shop(2, "v2").await);
    let gate = RunningGate::start(&[source.address], &[target.address]);
    mirror(&gate, order(1, 60_000)).await;
    let mut client = Client::connect(gate.address).await;
    for _ in 0..30 {
        let (status, body) = client.get("/p?token=hunter2").await.unwrap();
        assert_eq!((status, body.contains("\"price\": 1")), (200, true), "{body}");
    }
    // What may change something, or has a body, is no one's to repeat.
    for method in ["POST", "DELETE"] {
        let request = http::Request::builder().method(method).uri("/p");
        client.send(request, "").await.unwrap();
        client = Client::connect(gate.address).await;
    }
    let status = eventually("all to be compared", || async {
        let status = mirror(&gate, order(1, 60_000)).await;
        (status.compared + status.unanswered >= 30).then_some(status)
    })
    .await;
    assert_eq!((status.seen, status.copied, status.dropped), (30, 30, 0));
    assert_eq!((status.compared, status.differing), (30, 30));
    let told: Vec<(&str, u64, bool, &str)> =
        status.fields.iter().map(|f| (&*f.field, f.candidate, f.noise, &*f.example)).collect();
    assert_eq!(
        told,
        [
            ("/items/*/price", 30, false, "GET /p, /items/1/price"),
            ("header etag", 30, false, "GET /p, header etag"),
            ("/served", 0, true, ""),
        ]
    );
    let text = serde_json::to_string(&status).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("v2"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_target_is_a_difference_and_no_clients_matter() {
    let (source, _) = shop(1, "v1").await;
    let nobody = "127.0.0.1:1".parse().unwrap();
    let gate = RunningGate::start(&[source.address], &[nobody]);
    mirror(&gate, order(1, 60_000)).await;
    let mut client = Client::connect(gate.address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/p").await.unwrap().0, 200);
    }
    let status = eventually("all to be compared", || async {
        let status = mirror(&gate, order(1, 60_000)).await;
        (status.compared >= 20).then_some(status)
    })
    .await;
    assert_eq!((status.differing, &*status.fields[0].field), (20, "answer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_never_answers_fills_the_queue_and_no_client_waits() {
    let (source, _) = shop(1, "v1").await;
    let target = Server::start(|_| std::future::pending::<Reply>()).await;
    let gate = RunningGate::start(&[source.address], &[target.address]);
    mirror(&gate, order(1, 60_000)).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let address = gate.address;
        clients.push(tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..100 {
                assert_eq!(client.get("/p").await.unwrap().0, 200);
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    // 32 wait for the target, 256 wait for them; nobody was asked to wait for either.
    let status = mirror(&gate, order(1, 60_000)).await;
    assert_eq!(status.seen, 800);
    assert_eq!(status.copied + status.dropped, 800, "{status:?}");
    assert!(status.dropped >= 400, "{status:?}");
    assert_eq!(gate.status().await.open, vec![], "a copy is no work that a hold waits for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_renewal_it_ends_by_itself() {
    let ((source, _), (target, copies)) = (shop(1, "v1").await, shop(1, "v1").await);
    let gate = RunningGate::start(&[source.address], &[target.address]);
    mirror(&gate, order(1, 100)).await;
    // Whoever asks to stop it is refused when it has ended by itself; asking does not prolong it.
    let mut client = Client::connect(gate.address).await;
    eventually("the lease to end", || async {
        let seen = copies.load(Ordering::Relaxed);
        let mut client = Client::connect(gate.address).await;
        client.get("/p").await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        (copies.load(Ordering::Relaxed) == seen).then_some(())
    })
    .await;
    let answer = gate.control().await.send(Order::MirrorStop { id: 1 }).await.unwrap();
    assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    let before = copies.load(Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(client.get("/p").await.unwrap().0, 200);
    }
    assert_eq!(copies.load(Ordering::Relaxed), before, "copies after the end");
    // Another one begins at zero.
    let status = mirror(&gate, order(2, 60_000)).await;
    assert_eq!((status.id, status.seen, status.compared), (2, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_is_a_share_and_senseless_orders_are_refused() {
    let ((source, _), (target, _)) = (shop(1, "v1").await, shop(1, "v1").await);
    let gate = RunningGate::start(&[source.address], &[target.address]);
    for (sample_of_10k, lease_ms) in [(0, 1000), (100, 0), (100, 3_600_000)] {
        let order = MirrorOrder { sample_of_10k, ..order(1, lease_ms) };
        let answer = gate.control().await.send(Order::Mirror(order)).await.unwrap();
        assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    }
    let tenth = MirrorOrder { sample_of_10k: 1000, ..order(1, 60_000) };
    mirror(&gate, tenth.clone()).await;
    let mut client = Client::connect(gate.address).await;
    for _ in 0..500 {
        client.get("/p").await.unwrap();
    }
    let status = mirror(&gate, tenth).await;
    assert_eq!(status.seen, 500);
    // A tenth of 500 is 50; seven standard deviations to each side.
    assert!((5..100).contains(&(status.copied + status.dropped)), "{status:?}");
}
