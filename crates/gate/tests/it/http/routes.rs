//! Each route has its share: of the requests, of the users, of the evidence.

use std::sync::Arc;
use std::time::Duration;

use changeover_gate::state::{GateConfig, GateRoute};
use changeover_routing::{Answer, Order, Route};
use changeover_types::{Epoch, PathRule, RouteName, RouteRule, Share, Side, Split};
use tempfile::TempDir;

use crate::harness::{Client, RunningGate, Server, config, eventually};

fn name(text: &str) -> RouteName {
    RouteName::new(text).unwrap()
}

fn share(target_permille: u16, salt: u64) -> Share {
    Share { target_permille, salt }
}

fn own<const N: usize>(shares: [(&str, Share); N]) -> Split {
    Split { salt: 0, own: shares.map(|(route, share)| (name(route), share)).into() }
}

/// `/search` exactly, decided after 100 ms; reads below `/products/` of one host.
fn routed(folder: &Arc<TempDir>, source: &Server, target: &Server) -> GateConfig {
    let rule = |route, host: Option<&str>, methods: &[&str], path| RouteRule {
        name: name(route),
        host: host.map(str::to_owned),
        methods: methods.iter().map(|it| (*it).to_owned()).collect(),
        paths: vec![PathRule::new(path).unwrap()],
    };
    let route = |rule, ms| GateRoute { rule, decide_after: Duration::from_millis(ms) };
    let mut config = config(folder.path(), &[source.address], &[target.address]);
    config.http.as_mut().unwrap().routes = vec![
        route(rule("search", None, &[], "/search"), 100),
        route(rule("catalogue", Some("shop"), &["GET"], "/products/"), 400),
    ];
    config
}

async fn environments() -> (Server, Server) {
    (Server::named("source").await, Server::named("target").await)
}

fn start(folder: &Arc<TempDir>, source: &Server, target: &Server) -> RunningGate {
    RunningGate::start_with(Arc::clone(folder), routed(folder, source, target))
}

async fn side_of(client: &mut Client, method: &str, path: &str) -> String {
    let request = http::Request::builder().method(method).uri(path);
    let answer = client.send(request, "").await.unwrap();
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn each_route_goes_where_its_share_says_also_after_a_restart() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (source, target) = environments().await;
    let shares = own([("search", share(1000, 0)), ("rest", share(0, 0))]);
    let check = async |gate: &RunningGate, catalogue: &str| {
        let mut client = Client::connect(gate.address).await;
        for (method, path, side) in [
            ("GET", "/search", "target"),
            ("POST", "/search?q=/products/", "target"),
            ("GET", "/search/", "source"),
            ("GET", "/%73earch", "source"),
            ("GET", "/x/../search", "source"),
            ("GET", "http://other/search", "target"),
            ("GET", "/products/../search", catalogue),
            ("GET", "/products/1", catalogue),
            ("GET", "http://Shop.:80/products/1", catalogue),
            ("GET", "http://other/products/1", "source"),
            ("POST", "/products/1", "source"),
            ("GET", "/products", "source"),
        ] {
            assert_eq!(side_of(&mut client, method, path).await, side, "{method} {path}");
        }
    };
    {
        let gate = start(&folder, &source, &target);
        gate.split(0, shares.clone()).await;
        check(&gate, "source").await;
        // The common share is for what has none of its own.
        gate.split(1000, shares.clone()).await;
        check(&gate, "target").await;
        let metrics = gate.metrics().await;
        let all: u64 = metrics.http.values().map(|http| http.requests).sum();
        let of = |route: &str, side| metrics.routes[&name(route)][&side].requests;
        let split: u64 = ["search", "catalogue", "rest"]
            .map(|it| of(it, Side::Source) + of(it, Side::Target))
            .iter()
            .sum();
        assert_eq!((all, split), (24, 24));
        assert_eq!((of("search", Side::Target), of("search", Side::Source)), (6, 0));
        assert_eq!((of("catalogue", Side::Target), of("catalogue", Side::Source)), (3, 3));
    }
    let gate = start(&folder, &source, &target);
    let status = gate.status().await;
    assert_eq!((status.split, status.routes.len()), (shares, 2));
    check(&gate, "target").await;
}

/// One salt is one draw, whatever the route; another one is another draw.
#[tokio::test]
async fn a_user_is_drawn_once_for_each_salt() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (source, target) = environments().await;
    let gate = start(&folder, &source, &target);
    let mut client = Client::connect(gate.address).await;
    let mut sides = async |path: &str| {
        let mut sides = Vec::new();
        for user in 0..200 {
            let request = http::Request::get(path).header("cookie", format!("side=user{user}"));
            let answer = client.send(request, "").await.unwrap();
            let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
            sides.push(body.to_bytes() == "target");
        }
        sides
    };
    let split = |search, rest| own([("search", share(500, search)), ("rest", share(500, rest))]);
    gate.split(0, split(7, 7)).await;
    let (search, rest) = (sides("/search").await, sides("/").await);
    assert_eq!(search, rest);
    gate.split(0, split(8, 7)).await;
    assert_eq!(sides("/").await, rest, "the other route's users stay where they are");
    let anew = sides("/search").await;
    let moved = search.iter().zip(&anew).filter(|(before, after)| before != after).count();
    assert!((50..=150).contains(&moved), "{moved} of 200");
    // As the share grows, nobody leaves the target.
    gate.split(0, own([("search", share(900, 8)), ("rest", share(500, 7))])).await;
    let more = sides("/search").await;
    assert!(anew.iter().zip(&more).all(|(before, after)| *after || !before));
}

#[tokio::test]
async fn a_route_is_judged_by_its_own_requests_at_its_own_age() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let source = Server::named("source").await;
    // Later than the age of /search, earlier than that of all others.
    let target = Server::start(|_| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        crate::harness::reply("target")
    })
    .await;
    let gate = start(&folder, &source, &target);
    gate.split(1000, Split::default()).await;
    for path in ["/search", "/products/1", "/products/2", "/"] {
        Client::connect(gate.address).await.get(path).await.unwrap();
    }
    let counted = async |routes: &[RouteName], requests: u64| {
        eventually("the requests to be decided", || async {
            let seconds = gate.decided_of(routes).await;
            let sum = |of: fn(&changeover_types::Decided) -> u64| -> u64 {
                seconds.iter().map(|second| of(&second.target)).sum()
            };
            (sum(|it| it.requests) == requests).then(|| sum(|it| it.bad))
        })
        .await
    };
    assert_eq!(counted(&[], 4).await, 1);
    assert_eq!(counted(&[name("search")], 1).await, 1);
    assert_eq!(counted(&[name("catalogue"), name("rest")], 3).await, 0);
    let unknown = Order::Decided { from: 0, routes: vec![name("nowhere")] };
    let Answer::Refused { why, .. } = gate.control().await.send(unknown).await.unwrap() else {
        panic!("an unknown route was told of");
    };
    assert!(why.contains("no route `nowhere`"), "{why}");
}

#[tokio::test]
async fn a_share_for_a_route_of_another_plan_is_refused() {
    let (source, target) = environments().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let gate = RunningGate::start_in(Arc::clone(&folder), &[source.address], &[target.address]);
    let before = gate.status().await;
    let route = Route { target_permille: 0, authority: Side::Source, authority_epoch: Epoch(1) };
    let split = own([("search", share(500, 0))]);
    let order = Order::Route { number: gate.number(), route, split };
    let Answer::Refused { why, .. } = gate.control().await.send(order).await.unwrap() else {
        panic!("obeyed");
    };
    assert!(why.contains("no route `search`") && why.contains("another plan"), "{why}");
    assert_eq!(gate.status().await.obeyed, before.obeyed);
}
