//! The gate as a second supervisor.
//!
//! A seal that nobody resolves keeps both sides closed. The daemon's supervisor sees to that; where it
//! is gone as well (killed, or the host was started again and only the gate came back), the gate of
//! the migration, which lives beside the journal, starts the daemon as a verb would. It needs no login
//! of its own, and the journal's lock keeps it from being one daemon too many.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, SystemTime};

use changeover_journal::JOURNAL_FILE;

use crate::config::PLAN_PATH_FILE;
use crate::start::{self, Begin};
use crate::supervisor;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks as long as the process lives.
pub(crate) fn keep(plan_path: &Path, state_dir: &Path) {
    let mut resolver = Resolver {
        plan_path: plan_path.to_owned(),
        state_dir: state_dir.to_owned(),
        harmless: None,
        started: None,
    };
    let looking = move || {
        loop {
            thread::sleep(LOOK_EVERY);
            resolver.look();
        }
    };
    if let Err(e) = thread::Builder::new().name("resolver".to_owned()).spawn(looking) {
        tracing::warn!("a seal that nobody resolves would not be seen: {e}");
    }
}

struct Resolver {
    plan_path: PathBuf,
    state_dir: PathBuf,
    /// The journal as it was when it said that no seal is intended.
    harmless: Option<Stamp>,
    started: Option<Child>,
}

/// When the journal and its log were written last, and how long they are.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Resolver {
    fn look(&mut self) {
        let runs = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if supervisor::is_alive(&self.state_dir) || self.started.as_mut().is_some_and(runs) {
            return;
        }
        let stamp = self.stamp();
        if self.harmless == Some(stamp) {
            return;
        }
        if !supervisor::is_sealed(&self.state_dir) {
            self.harmless = Some(stamp);
            return;
        }
        // Where the run's own plan is; ours, if that was never written down.
        let noted = fs::read_to_string(self.state_dir.join(PLAN_PATH_FILE)).ok();
        let plan = noted.map_or_else(|| self.plan_path.clone(), |path| path.trim().into());
        tracing::warn!("nobody may write, and no daemon lives that would resolve it: starting one");
        match start::spawn(&plan, &self.state_dir, Begin::AtRest) {
            Ok(child) => self.started = Some(child),
            Err(report) => start::complain(&report),
        }
    }

    fn stamp(&self) -> Stamp {
        [JOURNAL_FILE.to_owned(), format!("{JOURNAL_FILE}-wal")].map(|name| {
            let file = fs::metadata(self.state_dir.join(name)).ok()?;
            Some((file.modified().ok()?, file.len()))
        })
    }
}
