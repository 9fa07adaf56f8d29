//! `rehearse`: carries the plan out against throw-away databases, the way back included, measures
//! it, and removes everything.
//!
//! The order is [`changeover_plan::rehearsal::next`]'s. Each migration of it is an ordinary one: a
//! plan of its own, a state folder of its own, the same daemon.

mod record;
mod stage;
mod walk;

use std::fs::File;
use std::time::Duration;

use changeover_engine::protocol::{Ask, RunState};
use changeover_engine::rehearsal::{Load, Throwaway};
use changeover_engine::{Report, make_state_dir};
use changeover_plan::estimate::Earlier;
use changeover_plan::rehearsal::{Act, LeftOut, Walk, can_rehearse, next, walk};
use changeover_types::Side;

use self::stage::Stage;
use crate::cli::{Global, RehearseArgs};
use crate::migration::{self, Planned};
use crate::output::Output;
use crate::{exit, follow};

pub(super) fn run(args: &RehearseArgs, global: &Global, output: &Output) -> Result<u8, Report> {
    let planned = migration::read_plan(&args.plan, global)?;
    can_rehearse(&planned.plan).map_err(|why| {
        Report::new("CO0190", format!("{} cannot be rehearsed", planned.plan.name))
            .cause(why)
            .hint("name one in the plan: rehearsal: {postgres: {url: {env: …}}}")
    })?;
    not_begun(&planned)?;
    let _lock = lock(&planned)?;
    let throwaway = Throwaway::of_plan(&planned.plan, &planned.path)?;
    let walk = walk(&planned.plan);
    let mut rehearsal = Rehearsal {
        copy: Stage::copy(&planned)?,
        move_: Stage::move_(&planned, &walk)?,
        walk,
        load: throwaway.load(),
        throwaway,
        planned,
        measured: Earlier::default(),
        output,
    };
    follow::block_on(async {
        if args.clean_up {
            rehearsal.perform(Act::Sweep).await?;
            output.line("nothing of a rehearsal is left");
            return Ok(exit::OK);
        }
        rehearsal.all().await
    })
}

/// A rehearsal comes before the move: it would copy from a source that may be sealed.
fn not_begun(planned: &Planned) -> Result<(), Report> {
    let Some(journalled) = migration::journalled(&planned.state_dir)? else { return Ok(()) };
    if journalled.state.mode.is_over() {
        return Ok(());
    }
    let name = &planned.plan.name;
    Err(Report::new("CO0191", format!("{name} has begun: a rehearsal comes before it"))
        .cause(format!("its run is {}", journalled.run_state().word()))
        .hint(format!("see where it stands: changeover status {name}")))
}

/// One rehearsal of a migration at a time: a second one would sweep the first away.
fn lock(planned: &Planned) -> Result<File, Report> {
    make_state_dir(&planned.state_dir)?;
    let path = planned.state_dir.join("rehearsal.lock");
    let fault = || Report::new("CO0192", format!("{} cannot be locked", path.display()));
    let file = File::create(&path).map_err(|e| fault().because(&e))?;
    file.try_lock().map_err(|e| {
        let e = std::io::Error::from(e);
        fault()
            .because(&e)
            .hint("another rehearsal of this plan is running: wait for its end")
            .exit(7)
    })?;
    Ok(file)
}

struct Rehearsal<'a> {
    planned: Planned,
    copy: Stage,
    move_: Stage,
    walk: Walk,
    throwaway: Throwaway,
    load: Load,
    measured: Earlier,
    output: &'a Output,
}

impl Rehearsal<'_> {
    async fn all(&mut self) -> Result<u8, Report> {
        let (mut done, mut failed, mut fault) = (Vec::new(), None, None);
        while let Some(act) = next(&done, failed) {
            self.output.note(format!("rehearsal: {}", act.words()));
            self.output.emit("act", &serde_json::json!({"act": act}));
            match self.perform(act).await {
                Ok(()) => done.push(act),
                Err(report) => {
                    failed = Some(act);
                    let report = left_behind(act, report, &self.planned);
                    // The first fault is the cause; one of the cleaning up is worse.
                    if fault.is_none() || act == Act::CleanUp {
                        fault = Some(report);
                    }
                }
            }
        }
        match fault {
            Some(report) => Err(report),
            None => {
                self.report();
                Ok(exit::OK)
            }
        }
    }

    async fn perform(&mut self, act: Act) -> Result<(), Report> {
        let output = self.output;
        match act {
            Act::Sweep | Act::CleanUp => self.sweep().await,
            Act::Inspect => self.throwaway.inspect(&self.planned.plan, &self.planned.path).await,
            Act::Copy => {
                self.copy.write(None)?;
                self.copy.drive(None, |state| matches!(state, RunState::Done { .. }), output).await
            }
            Act::Duplicate => {
                self.copy.stop().await?;
                self.throwaway.duplicate(self.copy.plan()).await
            }
            Act::Leave => {
                self.copy.drive(Some(Ask::Abort { lost: false }), is_aborted, output).await?;
                self.measured.abort_ms = self.copy.journal()?.and_then(|it| it.abort_ms);
                Ok(())
            }
            Act::Walk => self.walk().await,
            Act::Return => {
                self.go_back().await?;
                self.nothing_missing(Side::Source).await?;
                self.move_.compare(output).await.map(drop)
            }
            Act::Remove => {
                self.move_.drive(Some(Ask::Abort { lost: false }), is_aborted, output).await
            }
            Act::Record => self.record().await,
        }
    }

    /// Follows the move while our writes go to whichever side takes them.
    async fn under_load(
        &mut self,
        ask: Option<Ask>,
        wanted: fn(&RunState) -> bool,
    ) -> Result<(), Report> {
        tokio::select! {
            outcome = self.move_.drive(ask, wanted, self.output) => outcome,
            never = self.load.run() => match never {},
        }
    }

    async fn nothing_missing(&self, side: Side) -> Result<(), Report> {
        let fault = || Report::new("CO0193", "the rehearsal lost writes");
        let missing = self.load.missing(side).await.map_err(|e| {
            Report::new("CO0193", "whether the rehearsal lost writes is not known").because(&e)
        })?;
        let all = self.load.acknowledged();
        if all == 0 {
            return Err(Report::new("CO0193", "the rehearsal could not write anything"));
        }
        match missing {
            0 => Ok(()),
            _ => Err(fault().cause(format!("{missing} of {all} acknowledged writes are missing"))),
        }
    }

    /// Removes both migrations, then the second database, then the folders.
    async fn sweep(&mut self) -> Result<(), Report> {
        self.move_.sweep(self.output).await?;
        self.copy.sweep(self.output).await?;
        self.throwaway.drop_second().await
    }

    async fn record(&mut self) -> Result<(), Report> {
        let (plan, path) = (&self.planned.plan, &self.planned.path);
        self.measured.bytes =
            Some(changeover_engine::facts(plan, path).await?.sizes.values().sum());
        self.measured.digest.clone_from(&plan.digest);
        self.measured.left_out.clone_from(&self.walk.left_out);
        let (copied, walked) = (self.copy.journal()?, self.move_.journal()?);
        let walked = walked.as_ref().map(|it| (it, &self.walk));
        record::gather(&mut self.measured, plan, copied.as_ref(), walked);
        record::append(&self.planned.state_dir, &self.measured)
    }

    fn report(&self) {
        let measured = &self.measured;
        let pauses = measured.write_pause_ms.unwrap_or_default();
        let result = serde_json::json!({
            "measured": measured,
            "writes_acknowledged": self.load.acknowledged(),
            "writes_missing": 0,
        });
        self.output.emit("rehearsal", &result);
        let mut text = String::from("rehearsed, and nothing is left of it:\n");
        for (path, ms) in &measured.steps {
            text += &format!("  {path:<28}{ms:>8} ms\n");
        }
        for (what, ms) in [("rollback", measured.rollback_ms), ("abort", measured.abort_ms)] {
            text += &ms.map(|ms| format!("  {what:<28}{ms:>8} ms\n")).unwrap_or_default();
        }
        text += "the way back, from behind each step:\n";
        for it in &measured.boundaries {
            let (step, said, words) = (&it.step, it.said.join(", then "), it.words());
            text += &format!("  {step:<28} plan: {said}\n{:31}{words}\n", "");
        }
        if !measured.left_out.is_empty() {
            text += "not rehearsed:\n";
        }
        for LeftOut { what, why } in &measured.left_out {
            text += &format!("  {what:<28} {why}\n");
        }
        text += &format!(
            "{} writes acknowledged on both sides, 0 missing; the longest waited {pauses} ms\n\
             `changeover plan` now takes these times",
            self.load.acknowledged()
        );
        self.output.line(text);
    }
}

fn is_aborted(state: &RunState) -> bool {
    matches!(state, RunState::Aborted)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What could not be removed is the operator's, and the source matters most.
fn left_behind(act: Act, report: Report, planned: &Planned) -> Report {
    if !matches!(act, Act::Sweep | Act::CleanUp) {
        return report;
    }
    let plan = planned.path.display();
    report
        .hint(format!("once the cause is gone: changeover rehearse {plan} --clean-up"))
        .exit(exit::STUCK)
}
