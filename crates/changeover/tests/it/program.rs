//! Programs: several real migrations moved in order, taken back in reverse, and killed on the way.

mod back;
mod killed;
mod paused;
mod there;
mod together;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use changeover_journal::{Reader, Record};
use serde_json::Value;
use tempfile::TempDir;

use crate::gates::web::Upstream;
use crate::stage::{
    Gate, PATIENCE, Pair, PlanText, Ran, Running, Stage, WritePath, Writers, free_port,
    kill_leftovers, until,
};

/// A program of two databases with their gates, and of a web service that needs both.
struct Program {
    folder: TempDir,
    file: PathBuf,
    name: String,
    web_port: u16,
    gates: Option<Child>,
    // Last, so that the program's daemon is gone before its components'.
    users: Stage,
    orders: Stage,
}

/// What the web component's requests are answered by.
struct Web {
    blue: Upstream,
    green: Upstream,
}

impl Web {
    fn start() -> Web {
        Web { blue: Upstream::start("blue"), green: Upstream::start("green") }
    }
}

impl Program {
    /// Users, orders that need them, and a web service that needs the orders.
    fn new(pair: &Pair, name: &str, web: &Web) -> Program {
        let folder = tempfile::Builder::new().prefix("changeover-program-").tempdir().unwrap();
        let stage = |part: &str| {
            let plan = PlanText::new(Gate::Postgres).beside_others();
            let mut stage = Stage::new(pair, &format!("{name}_{part}"), &plan);
            stage.share_state(&folder.path().join("state"));
            stage
        };
        let (users, orders) = (stage("users"), stage("orders"));
        let web_port = free_port();
        let web_plan = format!(
            "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: {name}_web}}\n\
             source: {{http: {{upstreams: [\"{}\"]}}}}\ntarget: {{http: {{upstreams: [\"{}\"]}}}}\n\
             gates: {{http: {{listen: \"127.0.0.1:{web_port}\"}}}}\n\
             phases:\n  - name: canary\n    steps: [{{canary: {{weights: [50%], at_least: 1s, \
             proof: [5x], latency: [], warm_up: 1s}}}}]\n  - name: all\n    \
             steps: [{{shift: {{to: 100%}}}}]\n",
            web.blue.url(),
            web.green.url()
        );
        fs::write(folder.path().join("web.yaml"), web_plan).unwrap();
        let text = format!(
            "apiVersion: changeover/v1\nkind: Program\nmetadata: {{name: {name}}}\ncomponents:\n  \
             users: {{plan: {}}}\n  orders: {{plan: {}, needs: users}}\n  \
             web: {{plan: web.yaml, needs: orders}}\nphases:\n  - name: prepare\n    \
             steps: [{{prepare: all, at_once: 2}}]\n  - name: switch\n    \
             steps: [{{move: users}}, {{component: orders, to: cutover}}, {{move: orders}}, \
             {{move: web}}]\n",
            users.plan.display(),
            orders.plan.display()
        );
        let file = folder.path().join("program.yaml");
        fs::write(&file, text).unwrap();
        Program { folder, file, name: name.to_owned(), web_port, gates: None, users, orders }
    }

    /// Writes something else into one of the files before they are used.
    fn rewrite(file: &std::path::Path, from: &str, to: &str) {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        fs::write(file, text.replace(from, to)).unwrap();
    }

    fn stages(&self) -> [&Stage; 2] {
        [&self.users, &self.orders]
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_changeover"));
        command
            .args(args)
            .arg("--state-dir")
            .arg(self.folder.path().join("state"))
            .args(["--yes", "--json"])
            .env_remove("CHANGEOVER_CRASH_AT")
            .stdin(Stdio::null());
        command
    }

    fn begin(&self, verb: &str, more: &[&str]) -> Running {
        let mut command = self.command(&[verb, &self.file.display().to_string()]);
        command.args(more);
        Running::start(command)
    }

    fn expect(&self, verb: &str, code: i32) -> Ran {
        self.say(verb, &[], code)
    }

    fn say(&self, verb: &str, more: &[&str], code: i32) -> Ran {
        let ran = self.begin(verb, more).end(PATIENCE * 2);
        let ran = ran.unwrap_or_else(|e| panic!("{e}\n{}", self.report()));
        assert_eq!(ran.code, Some(code), "`{verb}` of {} said:\n{}", self.report(), ran.error());
        ran
    }

    fn status(&self) -> Value {
        let ran = self.expect("status", 0);
        ran.last("status").cloned().unwrap_or_else(|| panic!("`status` said {:?}", ran.lines))
    }

    /// One component's part of the status.
    fn component(&self, name: &str) -> Value {
        let status = self.status();
        let components = status["components"].as_array().cloned().unwrap_or_default();
        components.into_iter().find(|it| it["name"] == name).unwrap()
    }

    fn state_dir(&self, name: &str) -> PathBuf {
        self.folder.path().join("state").join(name)
    }

    fn journal(&self) -> Vec<Record> {
        let reader = Reader::open(&self.state_dir(&self.name));
        reader.and_then(|reader| reader.read_all()).unwrap_or_default()
    }

    /// Waits until so many records are in the program's journal, or it is at its end.
    fn wait_for_records(&self, count: usize) -> bool {
        let ended = |records: &[Record]| {
            let kind = records.last().map(|it| it.body["kind"].clone()).unwrap_or_default();
            kind == "program-done" || kind == "rolled-back"
        };
        let there = until(PATIENCE, || {
            let records = self.journal();
            if records.len() >= count { Some(true) } else { ended(&records).then_some(false) }
        });
        there.unwrap_or_else(|| panic!("waited in vain for record {count}; {}", self.report()))
    }

    fn pid(&self, file: &str) -> Option<u32> {
        let text = fs::read_to_string(self.state_dir(&self.name).join(file)).ok()?;
        let pid: u32 = text.trim().parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = self.file.as_os_str().as_encoded_bytes();
        line.windows(ours.len()).any(|window| window == ours).then_some(pid)
    }

    /// All gates by the one command, and waits until each takes orders.
    fn start_gates(&mut self) {
        let log = fs::File::create(self.folder.path().join("gates.log")).unwrap();
        let file = self.file.display().to_string();
        let mut command = self.command(&["gate", &file]);
        self.gates = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        self.stages().iter().for_each(|stage| stage.wait_for_gate());
        let port = self.web_port;
        let up = until(PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        assert!(up.is_some(), "the web gate does not come up: {}", self.report());
    }

    /// Writers through both gates.
    fn writers(&self) -> [Writers; 2] {
        self.stages().map(|stage| {
            let path = WritePath::Through(stage.gate_url.clone().unwrap());
            let writers = Writers::start(path, 1, 2, Duration::from_millis(10));
            writers.wait_for_more(20);
            writers
        })
    }

    /// Ends the writers and checks that nothing is lost or invented on whichever side has authority.
    fn check(&self, writers: [Writers; 2]) {
        for (stage, writers) in self.stages().into_iter().zip(writers) {
            writers.wait_for_more(20);
            let ledger = writers.stop();
            assert_eq!(ledger.errors(), vec![], "{}", self.report());
            stage.check_settled(&[&ledger]);
        }
    }

    fn report(&self) -> String {
        let lines = |records: Vec<Record>| {
            let line = |it: &Record| format!("{:4} {} {}", it.seq.0, it.at.0, it.body);
            records.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        let web = Reader::open(&self.state_dir(&format!("{}_web", self.name)));
        let web = web.and_then(|reader| reader.read_all()).unwrap_or_default();
        let log =
            |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let run = fs::read_to_string(self.state_dir(&self.name).join("run.log"));
        format!(
            "program:\n{}\nweb:\n{}\n{}\n{}\nrun.log:\n{}\ngates.log:\n{}",
            lines(self.journal()),
            lines(web),
            self.users.report(),
            self.orders.report(),
            run.unwrap_or_default(),
            log("gates.log")
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        for file in ["supervisor.pid", "run.pid"] {
            if let Some(pid) = self.pid(file) {
                Stage::signal(pid, "KILL");
            }
        }
        if let Some(mut gates) = self.gates.take() {
            gates.kill().ok();
            gates.wait().ok();
        }
        kill_leftovers(self.folder.path());
    }
}

/// When the first record of a kind was written.
fn at(records: &[Record], kind: &str) -> u64 {
    let is = |r: &&Record| r.body["kind"] == kind || r.body["event"]["event"] == kind;
    records.iter().find(is).unwrap_or_else(|| panic!("no {kind}")).at.0
}
