//! The gates of a program: one process for each component that has gates, kept alive by this one.
//!
//! A gate is what clients hang on, so they share no process: one that crashes takes no other with
//! it. When this process is killed the gates live on, and the next one waits for their places.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::ProgramFiles;
use crate::{Report, start};

/// A gate that ends sooner than this did not come up.
const SHORT_LIFE: Duration = Duration::from_secs(2);
/// Between two tries of one that does not come up.
const RETRY: Duration = Duration::from_secs(1);
/// A gate drains for ten seconds; whoever takes longer is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Runs the gates of all components until it is told to stop.
///
/// # Errors
/// If no component has a gate, or nothing can be started.
pub fn gates_of_program(files: &ProgramFiles) -> Result<(), Report> {
    start::log_to_stderr();
    let gated: Vec<(String, Vec<OsString>)> = files
        .program
        .components
        .iter()
        .zip(&files.components)
        .filter(|(it, _)| it.plan.gates.http.is_some() || it.plan.gates.postgres.is_some())
        .map(|(it, files)| {
            let parent = files.state_dir.parent().unwrap_or(&files.state_dir);
            let mut args = vec![OsString::from("gate"), files.plan.clone().into()];
            args.extend(["--state-dir".into(), parent.into()]);
            (it.name.clone(), args)
        })
        .collect();
    if gated.is_empty() {
        return Err(Report::new("CO0106", "no component of the program has a gate to run")
            .hint("add `gates:` with `http` or `postgres` to their plans"));
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Report::new("CO0145", "the gates cannot be run").because(&e))?
        .block_on(supervise(gated))
}

async fn supervise(gated: Vec<(String, Vec<OsString>)>) -> Result<(), Report> {
    let fault = |e: &std::io::Error| Report::new("CO0145", "the gates cannot be run").because(e);
    let listen = |kind| signal(kind).map_err(|e| fault(&e));
    let (mut terminate, mut interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let mut gates = JoinSet::new();
    for (name, args) in gated {
        gates.spawn(keep(name, args, stop.clone()));
    }
    asked_to_stop(&mut terminate, &mut interrupt).await;
    stop.cancel();
    while gates.join_next().await.is_some() {}
    Ok(())
}

async fn asked_to_stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Keeps one gate alive. One that does not come up is tried again: its place may be held by a gate
/// that outlived its keeper, and becomes free when that one ends.
async fn keep(name: String, args: Vec<OsString>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let begun = Instant::now();
        match start(&args) {
            Ok(mut child) => {
                let ended = tokio::select! {
                    status = child.wait() => describe(status),
                    () = stop.cancelled() => return end(&mut child).await,
                };
                tracing::warn!(%name, %ended, "a gate ended; it is started again");
            }
            Err(error) => tracing::error!(%name, "a gate cannot be started: {error}"),
        }
        if begun.elapsed() < SHORT_LIFE {
            tokio::select! {
                () = sleep(RETRY) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

fn start(args: &[OsString]) -> std::io::Result<Child> {
    // A group of its own: Ctrl-C on this terminal reaches the gates through us, once.
    Command::new(std::env::current_exe()?).args(args).stdin(Stdio::null()).process_group(0).spawn()
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|e| e.to_string(), |status| status.to_string())
}

async fn end(child: &mut Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
    }
    if timeout(ENDS_WITHIN, child.wait()).await.is_err() {
        child.kill().await.ok();
    }
}
