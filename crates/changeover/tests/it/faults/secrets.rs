//! Passwords everywhere, and nowhere to be read: a whole migration with SCRAM on both servers and
//! at the gate, under load, and back.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use changeover_testkit::{Cluster, ClusterConfig};

use crate::stage::postgres_session::execute;
use crate::stage::{Gate, PATIENCE, PlanText, Ran, Stage, WritePath, Writers, until};

const MOVER: &str = "Qz7-mover-kestrel-91";
const SHOP: &str = "Qz7-shopper-heron-44";
/// A part of both, in case something cuts them.
const COMMON: &str = "Qz7-";

/// The test's own superuser is trusted; everybody else must prove who they are.
fn locked(name: &str) -> Cluster {
    let hba = "local all all trust\n\
               host all postgres 127.0.0.1/32 trust\n\
               host all all 127.0.0.1/32 scram-sha-256\n\
               host replication all 127.0.0.1/32 scram-sha-256\n";
    let config = ClusterConfig { hba: hba.to_owned(), ..ClusterConfig::new(name) };
    let cluster = Cluster::start(config.with("password_encryption", "scram-sha-256")).unwrap();
    execute(
        &cluster.url("postgres"),
        &format!(
            "CREATE ROLE mover LOGIN SUPERUSER PASSWORD '{MOVER}'; \
             CREATE ROLE shop LOGIN PASSWORD '{SHOP}'"
        ),
    );
    cluster
}

/// Looks at every command line of the machine until it is stopped.
struct CommandLines {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<BTreeSet<String>>>,
}

impl CommandLines {
    fn watch() -> CommandLines {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, looks) = (stop.clone(), looks.clone());
            move || {
                let mut found = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    for entry in fs::read_dir("/proc").unwrap().flatten() {
                        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                        let line = String::from_utf8_lossy(&line).replace('\0', " ");
                        if line.contains(MOVER) || line.contains(SHOP) {
                            found.insert(line);
                        }
                    }
                    looks.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
                found
            }
        });
        CommandLines { stop, looks, thread: Some(thread) }
    }

    fn end(mut self) -> BTreeSet<String> {
        assert!(self.looks.load(Ordering::Relaxed) > 20, "nobody looked");
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// The gate with its secrets in the environment.
fn start_gate(stage: &Stage, env: &[(&str, &str)]) -> Child {
    fs::create_dir_all(stage.state_dir()).unwrap();
    let log = fs::File::create(stage.plan.with_file_name("gate.log")).unwrap();
    let child = stage
        .command(&["gate", &stage.plan.display().to_string()])
        .envs(env.iter().copied())
        .stdout(Stdio::from(log.try_clone().unwrap()))
        .stderr(log)
        .spawn()
        .unwrap();
    let socket = stage.state_dir().join("gate.sock");
    let up = until(PATIENCE, || std::os::unix::net::UnixStream::connect(&socket).ok().map(|_| ()));
    assert!(up.is_some(), "{}", stage.gate_log());
    child
}

/// Every file below the folder that holds a secret, except those in which it was given to us.
fn files_with(folder: &Path, given: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if !given.contains(&name.as_str()) {
                let bytes = fs::read(&path).unwrap_or_default();
                if bytes.windows(COMMON.len()).any(|window| window == COMMON.as_bytes()) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    found
}

fn no_secret(verb: &str, ran: &Ran) {
    for text in ran.lines.iter().map(ToString::to_string).chain([ran.stderr.clone()]) {
        assert!(!text.contains(COMMON), "{verb} tells a password: {text}");
    }
}

#[test]
fn a_migration_with_scram_everywhere_fails_nobody_and_tells_no_password() {
    let (blue, green) = (locked("scram-blue"), locked("scram-green"));
    let stage = Stage::at(&blue, &green, "scram", &PlanText::new(Gate::Postgres));
    execute(
        &stage.source,
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO shop; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO shop; ALTER TABLE trail OWNER TO shop",
    );
    let url = |cluster: &Cluster| {
        format!("postgresql://mover:{MOVER}@127.0.0.1:{}/scram", cluster.port())
    };
    let folder = stage.plan.parent().unwrap();
    fs::write(folder.join("green.url"), format!("{}\n", url(&green))).unwrap();
    fs::write(folder.join("shop.password"), format!("{SHOP}\n")).unwrap();
    let plan = fs::read_to_string(&stage.plan).unwrap();
    let plan = plan
        .replace(&format!("\"{}\"", stage.source), "{env: BLUE_URL}")
        .replace(&format!("\"{}\"", stage.target), "{file: green.url}")
        .replace(
            "auth: trust}",
            "auth: scram, users: [{name: shop, password: {file: shop.password}}, \
             {name: mover, password: {env: MOVER_PASSWORD}}]}",
        );
    fs::write(&stage.plan, plan).unwrap();
    let blue_url = url(&blue);
    let env = [("BLUE_URL", blue_url.as_str()), ("MOVER_PASSWORD", MOVER)];
    let lines = CommandLines::watch();
    let mut gate = start_gate(&stage, &env);
    let through = stage.gate_url.clone().unwrap().replace("postgres@", &format!("shop:{SHOP}@"));
    let wrong = through.replace(SHOP, "Qz7-wrong");
    // A busy machine may time out first; it must never say yes.
    let refused = until(PATIENCE, || {
        let why = super::program::ask(&wrong, "SELECT 1").expect_err("a wrong password is let in");
        why.contains("28P01").then_some(())
    });
    assert!(refused.is_some(), "a wrong password is not refused as one; {}", stage.gate_log());
    let writers =
        Writers::start(WritePath::Through(through.clone()), 1, 3, Duration::from_millis(5));
    writers.wait_for_more(20);

    for verb in ["plan", "apply", "status", "verify", "rollback"] {
        // Whether types keep their numbers hangs on what the servers did before: a high risk at most.
        let more: &[&str] = if verb == "plan" { &["--fail-on", "blocker"] } else { &[] };
        let ran = stage.begin(verb, more, &env).end(PATIENCE).unwrap();
        assert_eq!(ran.code, Some(0), "{verb}: {}\n{}", ran.error(), stage.report());
        no_secret(verb, &ran);
        writers.wait_for_more(10);
    }
    let ledger = writers.stop();
    assert!(ledger.errors().is_empty(), "{:?}\n{}", ledger.errors(), stage.gate_log());
    stage.check_settled(&[&ledger]);
    let ran = stage.begin("abort", &[], &env).end(PATIENCE).unwrap();
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), stage.report());
    no_secret("abort", &ran);

    let found = lines.end();
    assert!(found.is_empty(), "a password is in a command line: {found:?}");
    let files = files_with(folder, &["green.url", "shop.password"]);
    assert!(files.is_empty(), "a password is in {files:?}");
    assert!(!stage.gate_log().contains(COMMON));
    gate.kill().unwrap();
    gate.wait().unwrap();
}
