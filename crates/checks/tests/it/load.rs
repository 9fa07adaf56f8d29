//! Load against real servers: what is sent, when it counts, and what is never left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use changeover_checks::figures::Figures;
use changeover_checks::http::Ask;
use changeover_checks::load::{Load, Question, run};
use changeover_checks::schedule::{Profile, Schedule};
use changeover_plan::{ProfilePart, StatusRange};
use tokio::net::TcpListener;
use tokio::time::Instant;

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

fn constant(rate: f64, lasts: Duration) -> Schedule {
    Schedule::Profile(Profile::new(&[ProfilePart { from: rate, to: rate, lasts }]))
}

fn load(address: &str, schedule: Schedule, connections: usize) -> Load {
    let ask = Ask::new("GET", "/", &[], None).unwrap();
    let status = vec![StatusRange { from: 200, to: 399 }];
    Load {
        schedule,
        order: vec![],
        asks: vec![Question { ask, name: "GET /".to_owned(), status }],
        addresses: vec![address.to_owned()],
        connections,
        within: Duration::from_secs(30),
    }
}

async fn measured(load: Load) -> Figures {
    run(load, |_| {}).await
}

#[tokio::test]
async fn a_stall_counts_for_everybody_who_should_have_been_served_in_it() {
    const STALL: Duration = Duration::from_secs(2);
    // The server stalls as a whole, for everybody who comes within a time that begins with the
    // 50th request; two connections only, so that a closed loop would send next to nothing then.
    let stall: Arc<Mutex<Option<Instant>>> = Arc::default();
    let served = Arc::new(AtomicU64::new(0));
    let answer = {
        let (stall, served) = (Arc::clone(&stall), Arc::clone(&served));
        move || {
            let until = {
                let mut stall = stall.lock().unwrap();
                if served.fetch_add(1, Ordering::Relaxed) == 50 {
                    *stall = Some(Instant::now() + STALL);
                }
                *stall
            };
            async move {
                if let Some(until) = until {
                    tokio::time::sleep_until(until).await;
                }
                "ok"
            }
        }
    };
    let address = serve(Router::new().route("/", get(answer))).await;
    // 100/s for 5 s: 500 requests, about 200 of which are due during the stall.
    let figures = measured(load(&address, constant(100.0, Duration::from_secs(5)), 2)).await;
    assert_eq!(served.load(Ordering::Relaxed), 500, "nothing is left out");
    assert_eq!((figures.done, figures.failed, figures.unsent), (500, 0, 0));
    // Whoever was due in the middle of the stall waited for half of it, though only two requests
    // were under way: a closed loop would have two slow answers in 500, less than a per cent.
    assert!(figures.late >= 150, "{figures:?}");
    assert!(figures.quantile_us(0.75).unwrap() > 200_000, "{:?}", figures.numbers());
    assert!(figures.quantile_us(0.99).unwrap() > 1_500_000, "{:?}", figures.numbers());
}

#[tokio::test]
async fn what_could_not_be_sent_is_counted_as_failed() {
    // The only connection waits for an answer that never comes.
    let never = || async { std::future::pending::<&str>().await };
    let address = serve(Router::new().route("/", get(never))).await;
    let mut load = load(&address, constant(50.0, Duration::from_secs(1)), 1);
    load.within = Duration::from_millis(300);
    let figures = measured(load).await;
    assert_eq!((figures.done, figures.failed), (50, 50), "{figures:?}");
    assert!(figures.unsent > 30 && figures.unsent < 50, "{figures:?}");
    assert!(figures.quantile_us(0.5).unwrap() > 300_000, "{:?}", figures.numbers());
}

#[tokio::test]
async fn failures_are_told_by_kind() {
    let counter = Arc::new(AtomicU64::new(0));
    let answer = move || {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        let bad = number.is_multiple_of(10);
        let status = if bad { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        async move { status }
    };
    let address = serve(Router::new().route("/", get(answer))).await;
    let figures = measured(load(&address, constant(100.0, Duration::from_secs(1)), 8)).await;
    assert_eq!((figures.done, figures.failed), (100, 10));
    let gone = measured(load("127.0.0.1:1", constant(50.0, Duration::from_secs(1)), 2)).await;
    assert_eq!((gone.done, gone.failed), (50, 50));
    let limits = changeover_plan::Limits { error_rate: Some(0.05), latency_p99: None };
    let told = |figures: &Figures| {
        changeover_checks::figures::judge(&limits, figures)[0].failures.join("; ")
    };
    assert_eq!(told(&figures), "10 of 100 failed, 10 %: 10 GET / answered 503");
    assert_eq!(
        told(&gone),
        "50 of 50 failed, 100 %: 50 GET / without a connection (ConnectionRefused)"
    );
}

#[tokio::test]
async fn connections_that_a_server_closes_between_requests_fail_none() {
    let answer = || async { ([("connection", "close")], "bye") };
    let address = serve(Router::new().route("/", get(answer))).await;
    let figures = measured(load(&address, constant(100.0, Duration::from_secs(1)), 4)).await;
    assert_eq!((figures.done, figures.failed), (100, 0), "{figures:?}");
}

#[tokio::test]
async fn a_log_is_played_again_at_its_own_times() {
    let begun: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
    let seen = Arc::clone(&begun);
    let answer = move |uri: axum::http::Uri| {
        seen.lock().unwrap().push((Instant::now(), uri.to_string()));
        async { "ok" }
    };
    let address = serve(Router::new().fallback(get(answer))).await;
    let mut log = changeover_checks::access_log::Log::new(changeover_plan::LogFormat::Common);
    for (second, path) in [(0, "/a"), (0, "/b"), (4, "/a?c=1")] {
        log.line(&format!(
            "1.2.3.4 - - [10/Oct/2026:13:55:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 1"
        ));
    }
    let replay = log.replay(4.0);
    let status = vec![StatusRange { from: 100, to: 499 }];
    let question = |(method, target): &(String, String)| Question {
        ask: Ask::new(method, target, &[], None).unwrap(),
        name: String::new(),
        status: status.clone(),
    };
    let load = Load {
        schedule: Schedule::Times(replay.due),
        order: replay.which,
        asks: replay.requests.iter().map(question).collect(),
        ..load(&address, constant(1.0, Duration::ZERO), 4)
    };
    let start = Instant::now();
    let figures = measured(load).await;
    assert_eq!((figures.done, figures.failed), (3, 0));
    let seen = begun.lock().unwrap();
    let paths: Vec<&str> = seen.iter().map(|(_, path)| &**path).collect();
    assert_eq!(paths, ["/a", "/b", "/a?c=1"]);
    // Four seconds of log at four times its rate: never earlier than after one second.
    assert!(seen[2].0.duration_since(start) >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_load_that_is_dropped_sends_nothing_more() {
    let served = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&served);
    let answer = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        async { "ok" }
    };
    let address = serve(Router::new().route("/", get(answer))).await;
    let running = run(load(&address, constant(200.0, Duration::from_secs(600)), 16), |_| {});
    let enough = async {
        while served.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = running => panic!("it ended"),
        () = enough => {}
    }
    // Requests that were on their way may arrive; sixteen connections carry no more than that.
    let at_the_end = served.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(served.load(Ordering::Relaxed) <= at_the_end + 16);
}
