//! The binary without a stage, and small questions that several tests ask.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use tokio_postgres::Client;

use crate::stage::postgres_session::{block_on, connect, query_one, rows};
use crate::stage::{PATIENCE, Ran, Stage, until};

/// What ended, as text.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit code; `None` if it had to be killed or a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Said {
    /// Everything it wrote.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Runs the binary as a person would, never for longer than a test's patience.
pub(crate) fn changeover(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Said {
    let child = Command::new(env!("CARGO_BIN_EXE_changeover"))
        .args(args)
        .arg("--state-dir")
        .arg(folder.join("state"))
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let watch = std::thread::spawn(move || {
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { code: status.code(), out: text(stdout), err: text(stderr) }
    });
    if until(PATIENCE, || watch.is_finished().then_some(())).is_none() {
        Stage::signal(pid, "KILL");
    }
    watch.join().unwrap()
}

/// Fails unless `text` has every word.
pub(crate) fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
}

/// The reason and the next command of a paused run that a verb came to rest with.
pub(crate) fn paused(ran: &Ran) -> (String, String) {
    let state = &ran.last("result").unwrap_or(&Value::Null)["state"];
    assert_eq!(state["is"], "paused", "{ran:?}");
    let text = |key: &str| state[key].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("next_command"))
}

/// Our slot, publication and schema on a side, as a count: 0 if nothing of ours is there.
pub(crate) fn ours(url: &str, migration: &str) -> String {
    query_one(
        url,
        &format!(
            "SELECT (SELECT count(*) FROM pg_replication_slots \
                     WHERE slot_name LIKE 'changeover_{migration}_%') \
                  + (SELECT count(*) FROM pg_publication WHERE pubname = 'changeover_{migration}') \
                  + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '!changeover%')"
        ),
    )
}

/// A session of a test's own that is kept open.
pub(crate) struct Kept {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Kept {
    /// Connects under this application name.
    pub(crate) fn open(url: &str, application: &str) -> Kept {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let client = runtime.block_on(async {
            let mut config: tokio_postgres::Config = url.parse().unwrap();
            config.application_name(application).connect_timeout(Duration::from_secs(10));
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        });
        Kept { runtime, client }
    }

    /// Runs statements.
    pub(crate) fn run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.runtime.block_on(self.client.batch_execute(sql))
    }

    /// The one value of a query.
    pub(crate) fn one(&self, sql: &str) -> Result<String, tokio_postgres::Error> {
        let found = self.runtime.block_on(rows(&self.client, sql))?;
        Ok(found.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default())
    }

    /// The session's client and runtime, for what needs more.
    pub(crate) fn parts(&self) -> (&tokio::runtime::Runtime, &Client) {
        (&self.runtime, &self.client)
    }
}

/// Something that goes on beside a test until it is told to stop.
pub(crate) struct Beside<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Beside<T> {
    /// Starts it; it is to end when its argument says so.
    pub(crate) fn start(work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static) -> Beside<T> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || work(&|| told.load(Ordering::Relaxed)));
        Beside { stop, thread }
    }

    /// Stops it, and gives what it came to.
    pub(crate) fn stop(self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Waits until a query of this database gives this.
pub(crate) fn wait_for_value(url: &str, sql: &str, value: &str) {
    let mut last = String::new();
    let so = until(PATIENCE, || {
        last = ask(url, sql).unwrap_or_else(|e| e);
        (last == value).then_some(())
    });
    assert!(so.is_some(), "waited in vain for {value}: {sql} gives {last}");
}

/// The one value of a query, or why there is none.
pub(crate) fn ask(url: &str, sql: &str) -> Result<String, String> {
    block_on(async {
        let client = connect(url).await.map_err(|e| format!("{e:?}"))?;
        let found = rows(&client, sql).await.map_err(|e| format!("{e:?}"))?;
        Ok(found.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default())
    })
}
