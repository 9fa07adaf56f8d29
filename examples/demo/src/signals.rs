//! Ctrl-C and its kin: everything goes down, then we leave.

use std::sync::Arc;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::reaper::Reaper;

/// Watches for SIGINT, SIGTERM and SIGHUP on a thread of its own.
///
/// # Errors
/// If the signals cannot be watched.
pub(crate) fn end_cleanly_on_signal(reaper: Arc<Reaper>) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("watching for signals: {e}");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    drop(entered);
    thread::spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
                _ = hang_up.recv() => 129,
            }
        });
        reaper.finish();
        std::process::exit(code);
    });
    Ok(())
}
