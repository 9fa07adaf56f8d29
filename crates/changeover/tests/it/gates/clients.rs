//! What clients do wrong is no environment's fault; and what a gate says of itself when it begins.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::canary::{Service, result};
use super::web::{Load, Upstream, from};
use crate::faults::program::has;
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, free_port, until};

/// Clients that begin requests and do not finish them, until this is stopped.
struct Stalling {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Stalling {
    fn start(port: u16) -> Stalling {
        let stop = Arc::new(AtomicBool::new(false));
        let begun = [
            "POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 100\r\n\r\nhalf of it",
            "POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n4\r\nha",
            "GET / HTTP/1.1\r\nhost: sh",
        ];
        let threads = begun.into_iter().cycle().take(6).map(|begun| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut answers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.write_all(begun.as_bytes()).unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    answers.push(answer);
                }
                answers
            })
        });
        let threads = threads.collect();
        Stalling { stop, threads }
    }

    /// What all of them were told.
    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

#[test]
fn stalled_uploads_and_half_heads_take_no_canary_back() {
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let steps = "{canary: {weights: [50%], at_least: 3s, proof: [3x], latency: [], warm_up: 1s}}, \
                 {shift: {to: 100%}}, {soak: {for: 3s}}";
    let service = Service::with(&blue, &[&green], steps, "objectives: {error_rate: 1%}\n");
    // Less of it than of them, so that they would weigh.
    let load = Load::of(service.port, 2, Duration::from_millis(20));
    let stalling = Stalling::start(service.port);
    let said = service.verb("apply");
    assert_eq!(said.code, Some(0), "{}", said.all());
    let told = stalling.stop();
    assert!(told.len() > 30, "{}", told.len());
    let wrong: Vec<_> = told.iter().filter(|it| !it.starts_with("HTTP/1.1 408 ")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(result(&said)["status"]["gates"]["http_errors"], 0, "{}", said.all());
    load.more(5);
    assert_eq!(from(&load.more(20), "green"), 20);
}

#[test]
fn a_gate_says_where_it_listens_and_leads_and_who_answers() {
    let pair = Pair::start("announced");
    let (blue, nobody) = (Upstream::start("blue"), free_port());
    let plan =
        PlanText::new(Gate::Both).upstreams(&blue.url(), &format!("http://127.0.0.1:{nobody}"));
    let mut stage = Stage::new(&pair, "announced", &plan);
    stage.start_gate();
    let log = until(PATIENCE, || {
        let log = stage.gate_log();
        (log.matches("answer").count() >= 4).then_some(log)
    });
    let log = log.unwrap_or_else(|| panic!("{}", stage.gate_log()));
    let line = |parts: &[&str]| {
        let all = |line: &&str| parts.iter().all(|part| line.contains(part));
        assert!(log.lines().any(|line| all(&line)), "{parts:?}: {log}");
    };
    let http = format!("127.0.0.1:{}", plan.http_port().unwrap());
    let postgres = format!("127.0.0.1:{}", plan.postgres_port().unwrap());
    line(&["the HTTP gate listens", "plan=announced", &http, "connections: 10000"]);
    line(&["the PostgreSQL gate listens", "plan=announced", &postgres, "clients=1000"]);
    line(&["no route yet", "the databases are asked"]);
    line(&["file descriptors"]);
    let answers = |side: &str, gate: &str, place: &str, what: &str| {
        line(&[&format!("gate=\"{gate}\""), &format!("side={side}"), place, what]);
    };
    answers("source", "HTTP", blue.url().trim_start_matches("http://"), " answers");
    answers("target", "HTTP", &nobody.to_string(), "does not answer");
    answers("source", "PostgreSQL", &pair.blue.port().to_string(), " answers");
    answers("target", "PostgreSQL", &pair.green.port().to_string(), " answers");
}

#[test]
fn a_gate_with_few_file_descriptors_lowers_its_limits_or_does_not_start() {
    let pair = Pair::start("narrow");
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let plan = PlanText::new(Gate::Both).upstreams(&blue.url(), &green.url());
    let stage = Stage::new(&pair, "narrow", &plan);
    let gate = |files: u32| {
        let verb = stage.command(&["gate", &stage.plan.display().to_string()]);
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("ulimit -n {files}; exec \"$0\" \"$@\""))
            .arg(verb.get_program())
            .args(verb.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let refused = gate(550).output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stdout) + String::from_utf8_lossy(&refused.stderr);
    has(&said, &["may have 550 open files", "needs 576 at least", "ulimit -Hn"]);

    let log = std::fs::File::create(stage.state_parent().join("../narrow.log")).unwrap();
    let mut child = gate(2_000).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    stage.wait_for_gate();
    let log = std::fs::read_to_string(stage.state_parent().join("../narrow.log")).unwrap();
    has(
        &log,
        &["do not suffice", "limit=2000", "lower gates.http.limits and gates.postgres.limits"],
    );
    let load = Load::start(plan.http_port().unwrap());
    assert_eq!(from(&load.more(20), "blue"), 20);
    child.kill().unwrap();
    child.wait().unwrap();
}
