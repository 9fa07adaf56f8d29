//! A guard on a query, asked of a real Prometheus.

use super::service::Service;
use crate::faults::program::has;
use crate::stage::{PATIENCE, Prometheus, until};

#[test]
fn a_query_is_watched_and_its_server_s_silence_is_no_success() {
    let mut prometheus = Prometheus::start("busy 0.2\n");
    let service = Service::start(&format!(
        "guards: [{{name: busy, prometheus: {{url: \"http://127.0.0.1:{}\", query: 'max(busy)'}}, \
         below: 80%, for: 0s, every: 1s, on_fail: pause}}]\n\
         phases: [{{name: move, steps: [{{soak: {{for: 1h}}}}, {{shift: {{to: 100%}}}}]}}]\n",
        prometheus.port
    ));
    service.expect("apply", &["--detach"], 0);
    let seen = until(PATIENCE, || {
        let guard = service.status()["control"]["guards"][0].clone();
        (guard["is"] == "good" && guard["seen"] == "0.2").then_some(())
    });
    assert!(seen.is_some(), "{}", service.report());

    prometheus.says("busy 0.95\n");
    let status = service.wait_for_state("paused");
    has(status["state"]["reason"].as_str().unwrap(), &["guard busy", "0.95", "below 0.8"]);

    // Resumed although it is bad: it acts again when it was good in between, or nothing is known.
    service.expect("resume", &[], 0);
    prometheus.stop();
    let status = service.wait_for_state("waiting");
    has(status["state"]["reason"].as_str().unwrap(), &["guard busy", "no data"]);
    assert_eq!(service.state().target_permille, 0);
}
