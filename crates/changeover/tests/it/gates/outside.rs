//! A canary that is also judged by a metric of a real Prometheus.

use serde_json::Value;

use super::canary::{Service, result};
use super::web::{Load, Upstream, from};
use crate::faults::program::has;
use crate::stage::{PATIENCE, Prometheus, until};

const BOTH_AS_BUSY: &str = "busy{side=\"blue\"} 1\nbusy{side=\"green\"} 1\n";

fn pairs(metric: &Value) -> Option<u64> {
    let seen = metric["seen"].as_str()?;
    let words: Vec<&str> = seen.split(' ').collect();
    let at = words.iter().position(|word| word.starts_with("pairs"))?;
    words[at - 1].parse().ok()
}

/// Every request is good: only the metric tells. It survives a dead daemon, its silence is no
/// success, and what it says at last takes the canary back, with its name.
#[test]
fn a_metric_from_outside_takes_back_a_canary_whose_requests_are_all_good() {
    let prometheus = Prometheus::start("other 1\n");
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let steps = format!(
        "{{canary: {{weights: [50%], at_least: 5m, latency: [], warm_up: 1s, within: 1h, false_alarm: 20%, \
         outside: [{{name: busy, prometheus: {{url: \"http://127.0.0.1:{}\", \
         query: 'max(busy{{side=\"$side\"}})'}}, sides: {{source: blue, target: green}}, \
         every: 1s}}]}}}}",
        prometheus.port
    );
    let service = Service::start(&blue, &[&green], &steps);
    // What the canary would wait for is told before anything begins.
    let told = "busy of the source, which move/canary would wait for: ";
    let planned = || Some(service.verb("plan").all());
    let missing = |text: &String| text.contains(told) && text.contains("the query gives no series");
    assert!(until(PATIENCE, || planned().filter(missing)).is_some(), "{:?}", planned());
    prometheus.says(BOTH_AS_BUSY);
    let there = until(PATIENCE, || planned().filter(|text| !text.contains(told)));
    assert!(there.is_some_and(|text| text.contains("from outside")), "{:?}", planned());
    let load = Load::start(service.port);
    let metric = || Some(service.canary()?["outside"][0].clone());
    std::thread::scope(|scope| {
        let apply = scope.spawn(|| service.verb("apply"));
        let before = until(PATIENCE, || pairs(&metric()?).filter(|pairs| *pairs >= 2));
        let limit = service.canary().unwrap()["until"].clone();
        service.kill_daemon();
        let after = until(PATIENCE, || pairs(&metric()?));
        assert!(before.is_some() && after >= before, "{before:?} became {after:?}");
        assert!(limit.is_u64(), "{limit}");
        assert_eq!(service.canary().unwrap()["until"], limit, "another life, another limit");

        prometheus.says("busy{side=\"blue\"} 1\n");
        let silent = until(PATIENCE, || metric()?["silent"].as_str().map(str::to_owned));
        has(&silent.expect("no silence"), &["target: http://127.0.0.1:", "no series"]);
        let waits = || service.canary()?["waiting_for"].as_str().map(str::to_owned);
        has(&waits().unwrap(), &["values of busy on both sides"]);

        prometheus.says("busy{side=\"blue\"} 1\nbusy{side=\"green\"} 2\n");
        let said = apply.join().unwrap();
        assert_eq!(said.code, Some(3), "{}", said.all());
        let why = result(&said)["state"]["why"].as_str().unwrap().to_owned();
        let seen = "busy, from outside: the target's value was more than 10 % above the source's";
        has(&why, &[seen, ", last 2 against 1; ", "to 1 against chance", "(asked for: 10)"]);
    });
    load.more(5);
    assert_eq!(from(&load.more(50), "blue"), 50, "green is still asked");
    let failed = load.since(0).into_iter().filter(|a| !a.as_ref().is_ok_and(|g| g.status == 200));
    assert_eq!(failed.count(), 0);
}
