//! Requests alone: the canary's verdict, the shift, the way back, and the hold of the gate.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use changeover_routing::{
    Answer, GateStatus, Order, OrderNumber, PROTOCOL_VERSION, Request, Response,
};
use changeover_types::Epoch;
use serde_json::Value;
use tempfile::TempDir;

use super::web::{Load, Upstream, ask, from};
use crate::faults::program::{Said, changeover, has};
use crate::stage::{PATIENCE, Stage, free_port, until};

/// A service of requests alone, with its gate.
pub(super) struct Service {
    pub(super) folder: TempDir,
    pub(super) port: u16,
    gate: Child,
}

impl Service {
    pub(super) fn start(blue: &Upstream, green: &[&Upstream], steps: &str) -> Service {
        Service::with(blue, green, steps, "")
    }

    /// With more in the plan: lines of their own.
    pub(super) fn with(blue: &Upstream, green: &[&Upstream], steps: &str, more: &str) -> Service {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let urls = |side: &[&Upstream]| {
            side.iter().map(|it| format!("\"{}\"", it.url())).collect::<Vec<_>>().join(", ")
        };
        let plan = format!(
            "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: web}}\n\
             source: {{http: {{upstreams: [{}]}}}}\ntarget: {{http: {{upstreams: [{}]}}}}\n\
             gates: {{http: {{listen: \"127.0.0.1:{port}\", sticky: {{cookie: side}}, limits: \
             {{head_timeout: 500ms, body_timeout: 500ms}}}}}}\n{more}\
             phases: [{{name: move, steps: [{steps}]}}]\n",
            urls(&[blue]),
            urls(green)
        );
        fs::write(folder.path().join("plan.yaml"), plan).unwrap();
        fs::create_dir_all(folder.path().join("state/web")).unwrap();
        let gate = std::process::Command::new(env!("CARGO_BIN_EXE_changeover"))
            .args(["gate", "plan.yaml", "--state-dir"])
            .arg(folder.path().join("state"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("gate.log")).unwrap())
            .spawn()
            .unwrap();
        let service = Service { folder, port, gate };
        assert!(until(PATIENCE, || ask(port, None).ok()).is_some(), "the gate does not come up");
        service
    }

    pub(super) fn verb(&self, verb: &str) -> Said {
        changeover(self.folder.path(), &[verb, "plan.yaml", "--json", "--yes"], &[])
    }

    /// Ends the daemon as an outage would, and waits for the next one.
    pub(super) fn kill_daemon(&self) {
        let file = self.folder.path().join("state/web/run.pid");
        let old = fs::read_to_string(&file).unwrap();
        Stage::signal(old.trim().parse().unwrap(), "KILL");
        let anew = || fs::read_to_string(&file).ok().filter(|pid| !pid.is_empty() && *pid != old);
        assert!(until(PATIENCE, anew).is_some(), "no other daemon comes");
    }

    /// What the status says of the canary, if a daemon answers.
    pub(super) fn canary(&self) -> Option<Value> {
        let said = self.verb("status");
        let lines = said.out.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        lines.map(|line| line["canary"].clone()).rfind(|canary| !canary.is_null())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("state/web/gate.sock")
    }

    fn order(&self, order: Order) -> GateStatus {
        order_gate(&self.socket(), order)
    }
}

/// Where the gate stands after this order.
pub(crate) fn order_gate(socket: &Path, order: Order) -> GateStatus {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = Request { v: PROTOCOL_VERSION, id: 1, order };
    writeln!(stream, "{}", serde_json::to_string(&request).unwrap()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let response: Response = serde_json::from_str(&line).unwrap();
    match response.answer {
        Answer::Status(status) => status,
        other => panic!("not obeyed: {other:?}"),
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for file in ["supervisor.pid", "run.pid"] {
            let path = self.folder.path().join("state/web").join(file);
            if let Some(pid) = fs::read_to_string(path).ok().and_then(|pid| pid.trim().parse().ok())
            {
                Stage::signal(pid, "KILL");
            }
        }
        self.gate.kill().ok();
        self.gate.wait().ok();
    }
}

/// The last result line of a verb.
pub(super) fn result(said: &Said) -> Value {
    let mut lines = said.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.rfind(|line| line["type"] == "result");
    last.unwrap_or_else(|| panic!("no result: {}", said.all()))
}

/// Judged by failures alone: these upstreams answer at once or not at all.
const CANARY: &str =
    "{canary: {weights: [20%, 50%], at_least: 1s, proof: [5x, 3x], latency: [], warm_up: 1s}}";

#[test]
fn a_good_green_is_kept_and_taken_back_when_somebody_says_so() {
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let service = Service::start(&blue, &[&green], &format!("{CANARY}, {{shift: {{to: 100%}}}}"));
    let load = Load::start(service.port);
    assert_eq!(from(&load.more(30), "blue"), 30, "green serves before the canary");
    let said = service.verb("apply");
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(result(&said)["status"]["target_permille"], 1000);
    load.more(5);
    assert_eq!(from(&load.more(30), "green"), 30, "not everything is on green");
    let said = service.verb("rollback");
    assert_eq!(said.code, Some(0), "{}", said.all());
    load.more(5);
    assert_eq!(from(&load.more(30), "blue"), 30, "not everything is back");
    let failed: Vec<_> =
        load.since(0).into_iter().filter(|a| !a.as_ref().is_ok_and(|g| g.status == 200)).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_bad_green_is_taken_back_by_itself_with_the_reason_in_numbers() {
    // With three processes a pause of one is not taken for all of them: no guard, a quick verdict.
    let (blue, green) = (Upstream::start("blue"), [(); 3].map(|()| Upstream::start("green")));
    green.iter().for_each(|upstream| upstream.fail_one_in(5));
    let greens: Vec<&Upstream> = green.iter().collect();
    let service = Service::start(&blue, &greens, &format!("{CANARY}, {{shift: {{to: 100%}}}}"));
    let load = Load::start(service.port);
    let said = service.verb("apply");
    assert_eq!(said.code, Some(3), "{}", said.all());
    let result = result(&said);
    assert_eq!(result["state"]["is"], "rolled-back", "{result}");
    assert_eq!(result["status"]["target_permille"], 0, "{result}");
    let why = result["state"]["why"].as_str().unwrap().to_owned();
    // All bad ones on the target, where a fifth of them would be if it were as good.
    has(&why, &["failures: ", " were on the target, where ", "to 1 against that (asked for: 200)"]);
    let numbers: Vec<f64> = why.split([' ', ';']).filter_map(|word| word.parse().ok()).collect();
    let [on_target, all, expected, wealth] = numbers[..4] else { panic!("{why}") };
    assert!(on_target == all && wealth >= 200.0, "{why}");
    assert!((expected / all - 0.2).abs() < 0.02 || expected / all > 0.2, "{why}");
    load.more(5);
    assert_eq!(from(&load.more(50), "blue"), 50, "green is still asked");

    // Mended, it is tried again from the canary on.
    green.iter().for_each(|upstream| upstream.fail_one_in(0));
    let said = service.verb("apply");
    assert_eq!(said.code, Some(0), "{}", said.all());
    load.more(5);
    assert_eq!(from(&load.more(20), "green"), 20);
}

#[test]
fn an_upstream_that_dies_in_the_canary_ends_it_and_blue_serves_on() {
    let (blue, mut green) = (Upstream::start("blue"), Upstream::start("green"));
    let steps = "{canary: {weights: [50%], at_least: 30s, latency: [], warm_up: 1s}}";
    let service = Service::start(&blue, &[&green], steps);
    let load = Load::start(service.port);
    std::thread::scope(|scope| {
        let apply = scope.spawn(|| service.verb("apply"));
        let seen = until(PATIENCE, || (from(&load.more(10), "green") > 0).then_some(()));
        assert!(seen.is_some(), "no canary");
        green.kill();
        let said = apply.join().unwrap();
        assert_eq!(said.code, Some(3), "{}", said.all());
        let why = result(&said)["state"]["why"].as_str().unwrap().to_owned();
        has(&why, &["requests on the target failed within five seconds", " on the source"]);
    });
    load.more(5);
    assert_eq!(from(&load.more(50), "blue"), 50, "blue does not serve everything");
}

/// What was seen is in the journal and in the gate, not in the process that dies.
#[test]
fn the_verdict_survives_kill_9_of_the_daemon() {
    let (blue, green) = (Upstream::start("blue"), [(); 3].map(|()| Upstream::start("green")));
    let greens: Vec<&Upstream> = green.iter().collect();
    let steps = "{canary: {weights: [20%], at_least: 5m, latency: [], warm_up: 1s}}";
    let service = Service::start(&blue, &greens, steps);
    let _load = Load::start(service.port);
    std::thread::scope(|scope| {
        let apply = scope.spawn(|| service.verb("apply"));
        let seen = || service.canary()?["target_requests"].as_u64();
        let mut before = 0;
        for _ in 0..3 {
            let more = until(PATIENCE, || seen().filter(|seen| *seen > before + 50));
            before = more.unwrap_or_else(|| panic!("it does not go on after {before} requests"));
            service.kill_daemon();
            let after = until(PATIENCE, seen).expect("a canary in the status");
            assert!(after >= before, "{after} requests are known of {before}");
        }
        // What it knew of good requests does not hide that it is bad now.
        green.iter().for_each(|upstream| upstream.fail_one_in(3));
        let said = apply.join().unwrap();
        assert_eq!(said.code, Some(3), "{}", said.all());
        has(result(&said)["state"]["why"].as_str().unwrap(), &["failures: ", "on the target"]);
    });
}

#[test]
fn a_switch_at_once_is_watched_and_taken_back() {
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let service = Service::start(&blue, &[&green], "{blue-green: {watch: 8s}}");
    let load = Load::start(service.port);
    let said = service.verb("apply");
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(result(&said)["status"]["target_permille"], 1000);
    load.more(5);
    assert_eq!(from(&load.more(30), "green"), 30, "not everything is on green");
    let said = service.verb("rollback");
    assert_eq!(said.code, Some(0), "{}", said.all());
    load.more(5);
    assert_eq!(from(&load.more(30), "blue"), 30, "not everything is back");

    green.fail_one_in(10);
    let said = service.verb("apply");
    assert_eq!(said.code, Some(3), "{}", said.all());
    let why = result(&said)["state"]["why"].as_str().unwrap().to_owned();
    has(&why, &[" requests on the target failed, where ", " were to be expected at most"]);
    load.more(5);
    assert_eq!(from(&load.more(50), "blue"), 50, "green is still asked");
}

#[test]
fn a_client_stays_on_its_side_and_a_hold_lapses_by_itself() {
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let service = Service::start(&blue, &[&green], "{shift: {to: 50%}}");
    let said = service.verb("apply");
    assert_eq!(said.code, Some(0), "{}", said.all());
    let mut sides = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let first = ask(service.port, None).unwrap();
        let cookie = first.cookie.expect("a new client gets a cookie");
        for _ in 0..4 {
            let again = ask(service.port, Some(&cookie)).unwrap();
            assert_eq!(again.body, first.body, "{cookie} changed its side");
            assert_eq!(again.cookie, None, "a client that has one gets no other");
        }
        sides.insert(first.body);
    }
    assert_eq!(sides.len(), 2, "at 50 % nobody went to one of the sides");

    let obeyed = service.order(Order::Status).obeyed;
    let number = OrderNumber { epoch: obeyed.epoch.max(Epoch(1)), sequence: obeyed.sequence + 1 };
    let begun = Instant::now();
    service.order(Order::Hold { number, budget_ms: 700 });
    let answer = ask(service.port, None).unwrap();
    let waited = begun.elapsed();
    assert_eq!(answer.status, 200);
    assert!(waited >= Duration::from_millis(650), "it was not held: {waited:?}");
    assert!(waited < Duration::from_secs(15), "the hold did not lapse: {waited:?}");
}
