//! Saved plans: written by `plan --out`, applied once by `apply FILE`.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use changeover_engine::Report;
use changeover_plan::saved::{FORMAT, Facts, SavedPlan};
use changeover_types::WallMs;

use crate::migration::Planned;
use crate::output::Output;
use crate::{exit, follow, view};

/// Larger than any plan that we save.
const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes a plan with the facts that it is bound to, readable by its owner alone.
///
/// # Errors
/// If the file is there already or cannot be written.
pub(super) fn write(
    file: &Path,
    planned: &Planned,
    facts: Facts,
    valid_for: Duration,
    output: &Output,
) -> Result<(), Report> {
    let now = changeover_engine::now();
    let valid_ms = u64::try_from(valid_for.as_millis()).unwrap_or(u64::MAX);
    let saved = SavedPlan {
        format: FORMAT.to_owned(),
        id: changeover_engine::fresh_id(),
        name: planned.plan.name.clone(),
        plan: planned.path.display().to_string(),
        digest: planned.plan.digest.clone(),
        created_at: now,
        created_by: changeover_engine::operator(),
        expires_at: WallMs(now.0.saturating_add(valid_ms)),
        tool: VERSION.to_owned(),
        facts,
    };
    let fault = || Report::new("CO0029", format!("the plan cannot be saved as {}", file.display()));
    let text = serde_json::to_string_pretty(&saved).map_err(|e| fault().because(&e))?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut it| it.write_all(text.as_bytes()).and_then(|()| it.sync_all()));
    written.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => fault().because(&e).hint("give another name, or remove it"),
        _ => fault().because(&e),
    })?;
    let until = view::instant(saved.expires_at);
    output.emit(
        "saved",
        &serde_json::json!({"file": file, "id": saved.id, "expires_at": saved.expires_at}),
    );
    output.line(format!(
        "\nsaved with {} facts; it can be applied once, until {until}:\n  changeover apply {}",
        saved.facts.facts.len(),
        file.display()
    ));
    Ok(())
}

/// The saved plan in a file; `None` if it is not one.
///
/// # Errors
/// If it is one that cannot be read.
pub(super) fn read(file: &Path) -> Result<Option<SavedPlan>, Report> {
    // What is not there, or no text, is told by whoever reads it as a plan.
    let small = fs::metadata(file).is_ok_and(|it| it.len() <= FILE_MAX_BYTES);
    let Some(text) = small.then(|| fs::read_to_string(file).ok()).flatten() else {
        return Ok(None);
    };
    if !SavedPlan::is_one(&text) {
        return Ok(None);
    }
    let fault =
        || Report::new("CO0030", format!("the saved plan {} cannot be used", file.display()));
    let saved: SavedPlan = serde_json::from_str(&text).map_err(|e| {
        fault().because(&e).hint("it was cut short or edited: save it again with `plan --out`")
    })?;
    // The id becomes a file's name.
    if saved.id.is_empty() || !saved.id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(fault().cause("its id is not one of ours"));
    }
    if !Path::new(&saved.plan).exists() {
        return Err(stale(&saved, format!("its plan {} is gone", saved.plan)));
    }
    Ok(Some(saved))
}

/// Refuses a saved plan that was used, has expired, or whose facts are not as they were.
///
/// # Errors
/// With exit code 6 and what changed; or if a database cannot be asked.
pub(super) fn check(
    saved: &SavedPlan,
    planned: &Planned,
    begun: bool,
    output: &Output,
) -> Result<(), Report> {
    if marker(saved, planned).exists() {
        let name = &planned.plan.name;
        return Err(stale(saved, "it was used already: a saved plan is applied once")
            .hint(format!("go on with the run that it began: changeover apply {}", saved.plan))
            .hint(format!("see where that stands: changeover status {name}")));
    }
    if saved.is_expired(changeover_engine::now()) {
        let until = view::instant(saved.expires_at);
        return Err(stale(saved, format!("it could be applied until {until}")));
    }
    if begun {
        let text = "a run of this migration has begun already";
        return Err(stale(saved, text)
            .hint(format!("go on with that run: changeover apply {}", saved.plan)));
    }
    output.note("comparing with what the saved plan relies on");
    let facts = follow::block_on(changeover_engine::facts(&planned.plan, &planned.path))?;
    let drift = saved.drift(&planned.plan.digest, &facts, VERSION);
    if drift.is_empty() {
        return Ok(());
    }
    output.emit("drift", &serde_json::json!({"changes": drift}));
    let text = format!("{} of the things that it relies on are not as they were", drift.len());
    let mut report = stale(saved, text);
    report.chain.extend(drift.iter().map(ToString::to_string));
    Err(report)
}

/// Remembers that the plan is used. Durable when this returns, and before anything is begun: a
/// crash in between costs the saved plan, not its promise.
///
/// # Errors
/// If somebody else uses it at the same time, or the state folder cannot be written.
pub(super) fn use_up(saved: &SavedPlan, planned: &Planned) -> Result<(), Report> {
    let marker = marker(saved, planned);
    let fault = || Report::new("CO0031", "that the saved plan is used cannot be written down");
    let folder = marker.parent().unwrap_or(&planned.state_dir);
    changeover_engine::make_state_dir(&planned.state_dir)?;
    fs::create_dir_all(folder).map_err(|e| fault().because(&e))?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&marker);
    match made.and_then(|it| it.sync_all()) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(stale(saved, "it was used a moment ago: a saved plan is applied once"));
        }
        Err(e) => return Err(fault().because(&e)),
    }
    let synced = File::open(folder).and_then(|it| it.sync_all());
    synced
        .and_then(|()| File::open(&planned.state_dir)?.sync_all())
        .map_err(|e| fault().because(&e))
}

fn marker(saved: &SavedPlan, planned: &Planned) -> PathBuf {
    planned.state_dir.join("used-plans").join(&saved.id)
}

fn stale(saved: &SavedPlan, cause: impl Into<String>) -> Report {
    Report::new("CO0032", format!("the saved plan of {} is stale", saved.name))
        .cause(cause)
        .hint(format!("look again, and save anew: changeover plan {} --out FILE", saved.plan))
        .exit(exit::STALE)
}
