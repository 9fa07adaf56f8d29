//! A service of requests alone on two real web servers, and a plan for it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{PATIENCE, Stage, free_port, until};

/// A web server of the test's own, on a thread of its own.
pub(crate) struct Server {
    port: u16,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    pub(crate) fn start(app: Router) -> Server {
        let mut server = Server { port: 0, runtime: None };
        server.start_at(TcpListener::bind("127.0.0.1:0").unwrap(), app);
        server
    }

    fn start_at(&mut self, listener: TcpListener, app: Router) {
        self.port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// Its address without a scheme.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// A verb that has ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

/// A plan between two servers, with its folder and its gate.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) port: u16,
    gate: Option<Child>,
}

impl Site {
    /// A plan of one phase with these steps.
    pub(crate) fn new(blue: &Server, green: &Server, steps: &str) -> Site {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let plan = format!(
            "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: web}}\n\
             source: {{http: {{upstreams: [\"http://{}\"]}}}}\n\
             target: {{http: {{upstreams: [\"http://{}\"]}}}}\n\
             gates: {{http: {{listen: \"127.0.0.1:{port}\"}}}}\n\
             phases:\n  - name: move\n    steps:\n{steps}",
            blue.address(),
            green.address()
        );
        fs::write(folder.path().join("plan.yaml"), plan).unwrap();
        fs::create_dir_all(folder.path().join("state/web")).unwrap();
        Site { folder, port, gate: None }
    }

    /// Starts the gate and waits until it takes clients.
    pub(crate) fn with_gate(mut self) -> Site {
        let log = fs::File::create(self.path().join("gate.log")).unwrap();
        let child = self.command(&["gate", "plan.yaml"]).stderr(log).spawn().unwrap();
        self.gate = Some(child);
        let up = until(PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", self.port)).ok());
        assert!(up.is_some(), "the gate does not come up");
        self
    }

    /// Where the plan is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the migration's state.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.path().join("state/web").join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_changeover"));
        command
            .args(args)
            .arg("--state-dir")
            .arg(self.path().join("state"))
            .arg("--yes")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Runs a verb to its end.
    pub(crate) fn verb(&self, args: &[&str]) -> Said {
        let output = self.command(args).stdout(Stdio::piped()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        Said { code: output.status.code(), text }
    }

    /// Runs `apply`, which must end with this code.
    pub(crate) fn apply(&self, code: i32) -> String {
        let said = self.verb(&["apply", "plan.yaml"]);
        assert_eq!(said.code, Some(code), "{}\n{}", said.text, self.log());
        said.text
    }

    /// The reports of all checks that were carried out.
    pub(crate) fn checks(&self) -> Vec<Value> {
        let reader = changeover_journal::Reader::open(&self.path().join("state/web"));
        let records = reader.and_then(|reader| reader.read_all()).unwrap_or_default();
        let checked = records.into_iter().filter(|record| record.body["kind"] == "checked");
        checked.map(|record| record.body["report"].clone()).collect()
    }

    /// Every failure of a check, as `name: failure`.
    pub(crate) fn failures(check: &Value) -> Vec<String> {
        let cases = check["cases"].as_array().unwrap();
        let of = |case: &Value| -> Vec<String> {
            let failures = case["failures"].as_array().cloned().unwrap_or_default();
            let name = case["name"].as_str().unwrap();
            failures.iter().map(|f| format!("{name}: {}", f.as_str().unwrap())).collect()
        };
        cases.iter().flat_map(of).collect()
    }

    /// Kills the daemon as a failing host would, but not its supervisor.
    pub(crate) fn kill_daemon(&self) {
        let pid = fs::read_to_string(self.state("run.pid")).unwrap();
        Stage::signal(pid.trim().parse().unwrap(), "KILL");
    }

    /// What the daemon wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.state("run.log")).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for file in ["supervisor.pid", "run.pid"] {
            let pid = fs::read_to_string(self.state(file)).ok();
            if let Some(pid) = pid.and_then(|pid| pid.trim().parse().ok()) {
                Stage::signal(pid, "KILL");
            }
        }
        if let Some(mut gate) = self.gate.take() {
            gate.kill().ok();
            gate.wait().ok();
        }
    }
}
