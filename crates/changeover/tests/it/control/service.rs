//! A service of requests alone, with its gate and a plan of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use changeover_journal::Reader;
use changeover_run::{Event, State, apply};
use serde_json::Value;
use tempfile::TempDir;

use crate::faults::program::{Said, changeover};
use crate::gates::web::{Upstream, ask};
use crate::stage::{PATIENCE, Stage, free_port, until};

/// Two upstreams, a gate, a plan.
pub(crate) struct Service {
    pub(crate) blue: Upstream,
    pub(crate) green: Upstream,
    pub(crate) port: u16,
    folder: TempDir,
    gate: Child,
}

impl Service {
    /// `rest` is what the plan says beside names, upstreams and gate.
    pub(crate) fn start(rest: &str) -> Service {
        let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let plan = format!(
            "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: web}}\n\
             source: {{http: {{upstreams: [\"{}\"]}}}}\ntarget: {{http: {{upstreams: [\"{}\"]}}}}\n\
             gates: {{http: {{listen: \"127.0.0.1:{port}\"}}}}\n{rest}",
            blue.url(),
            green.url()
        );
        fs::write(folder.path().join("plan.yaml"), plan).unwrap();
        fs::create_dir_all(folder.path().join("state/web")).unwrap();
        let gate = Command::new(env!("CARGO_BIN_EXE_changeover"))
            .args(["gate", "plan.yaml", "--state-dir"])
            .arg(folder.path().join("state"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("gate.log")).unwrap())
            .spawn()
            .unwrap();
        let service = Service { blue, green, port, folder, gate };
        assert!(until(PATIENCE, || ask(port, None).ok()).is_some(), "the gate does not come up");
        service
    }

    /// A file beside the plan.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a script beside the plan.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let beside = self.file(&format!("{name}.new"));
        fs::write(&beside, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(beside, self.file(name)).unwrap();
    }

    /// Runs a verb to its end.
    pub(crate) fn verb(&self, verb: &str, more: &[&str]) -> Said {
        let mut args = vec![verb, "plan.yaml", "--json", "--yes"];
        args.extend(more);
        changeover(self.folder.path(), &args, &[])
    }

    /// Runs a verb that must end with this code.
    pub(crate) fn expect(&self, verb: &str, more: &[&str], code: i32) -> Said {
        let said = self.verb(verb, more);
        assert_eq!(said.code, Some(code), "{verb} {more:?}: {}\n{}", said.all(), self.report());
        said
    }

    /// Where the run stands; a daemon is started if none runs.
    pub(crate) fn status(&self) -> Value {
        let said = self.expect("status", &[], 0);
        last(&said, "status")
    }

    /// Waits until the status says so.
    pub(crate) fn wait_for_state(&self, is: &str) -> Value {
        let found = until(PATIENCE, || {
            let status = self.status();
            (status["state"]["is"] == is).then_some(status)
        });
        found.unwrap_or_else(|| panic!("waited in vain for {is}; {}", self.report()))
    }

    /// The run's events.
    pub(crate) fn events(&self) -> Vec<Event> {
        let records = Reader::open(&self.file("state/web")).and_then(|reader| reader.read_all());
        let of_run = |record: &changeover_journal::Record| record.kind == "run";
        let records = records.unwrap_or_default();
        let events = records.iter().filter(|record| of_run(record));
        events.map(|record| serde_json::from_value(record.body.clone()).unwrap()).collect()
    }

    /// How many events are so.
    pub(crate) fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.events().iter().filter(|event| is(event)).count()
    }

    /// Where the run stands by its journal alone: no daemon is started.
    pub(crate) fn state(&self) -> State {
        let mut state = State::new();
        self.events().iter().for_each(|event| apply(&mut state, event));
        state
    }

    /// Waits until the journal says so.
    pub(crate) fn wait_for(&self, what: &str, is: impl Fn(&State) -> bool) {
        let so = until(PATIENCE, || is(&self.state()).then_some(()));
        assert!(so.is_some(), "waited in vain for {what}; {}", self.report());
    }

    /// `kill -9` of supervisor and daemon.
    pub(crate) fn kill_daemon(&self) {
        for file in ["supervisor.pid", "run.pid"] {
            let path = self.file("state/web").join(file);
            let pid = until(PATIENCE, || fs::read_to_string(&path).ok()?.trim().parse().ok());
            let pid: u32 = pid.unwrap_or_else(|| panic!("no {file}; {}", self.report()));
            Stage::signal(pid, "KILL");
            let gone = until(PATIENCE, || is_gone(pid).then_some(()));
            assert!(gone.is_some(), "{file} lives on");
        }
    }

    /// All that helps to understand a failure.
    pub(crate) fn report(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.file(name)).unwrap_or_default();
        let events: Vec<String> = self.events().iter().map(|event| format!("{event:?}")).collect();
        let (run, gate) = (read("state/web/run.log"), read("gate.log"));
        format!("{}\n{}\n{run}\n{gate}", read("plan.yaml"), events.join("\n"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for file in ["supervisor.pid", "run.pid"] {
            let path = self.file("state/web").join(file);
            if let Some(pid) = fs::read_to_string(path).ok().and_then(|pid| pid.trim().parse().ok())
            {
                Stage::signal(pid, "KILL");
            }
        }
        self.gate.kill().ok();
        self.gate.wait().ok();
    }
}

/// Dead; a child of nobody that waits for it is a zombie until it is reaped.
pub(super) fn is_gone(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('Z')),
        Err(_) => true,
    }
}

/// The last line of a type that a verb wrote.
pub(crate) fn last(said: &Said, kind: &str) -> Value {
    let mut lines = said.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.rfind(|line| line["type"] == kind);
    last.unwrap_or_else(|| panic!("no {kind}: {}", said.all()))
}
