//! Steps 0 to 4: until the seal is intended, a crash means that nothing happened.

use std::time::Duration;

use changeover_cutover::{Attempt, Input};
use changeover_plan::Standbys;
use changeover_postgres::digest::Fingerprint;
use changeover_postgres::grant::{Grant, Snapshot};
use changeover_postgres::lease::{Lease, LeaseBudget, Rehearsal};
use changeover_postgres::sequences::AheadError;
use changeover_postgres::session::Session;
use changeover_postgres::{barrier, objects, sequences};
use changeover_routing::AheadStatus;
use changeover_types::{AttemptId, Side};
use tokio::time::{Instant, sleep};

use super::super::definitions::{Against, Now};
use super::super::{Effects, application};
use super::limits::{Cost, Load};
use super::{REST_OF_CUTOVER, Sessions, Sides, Why, ident};
use crate::clock::now;
use crate::gates::Blockers;
use crate::protocol::EventKind;

/// A ping barrier that takes longer than this says that the relay cannot drain in a write pause.
const PING_WITHIN: Duration = Duration::from_secs(30);

/// A gate's sessions are connected to the other side within this.
const SESSIONS_WITHIN: Duration = Duration::from_secs(60);

/// Writers that stay in the way of the lease for longer than this are not short.
const LONG_WRITER_MS: u64 = 1000;

impl Effects {
    /// Step 0. Nobody is held; whatever would fail later should fail here.
    pub(super) async fn rehearse(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let ahead = std::mem::take(&mut self.sessions.ahead);
        self.sessions = Sessions { ahead, ..Sessions::default() };
        self.waiting_for.set(Blockers::default());
        let sides = self.sides(attempt).await?;
        self.check_standbys(attempt, &sides).await?;
        let name = application(&self.plan.name);
        let mut giver = Session::connect(&sides.giver, &name).await?;
        let begun = Instant::now();
        self.sessions.digest = Some(Fingerprint::read(&mut giver, &sides.moved.selection).await?);
        let looked = begun.elapsed();
        self.check_catalogue(attempt, &sides).await?;
        let rehearsal = Lease::rehearse(&sides.giver, &sides.giver_scope).await?;
        let long: Vec<String> = rehearsal
            .blockers
            .iter()
            .filter(|blocker| blocker.open_ms > LONG_WRITER_MS)
            .map(ToString::to_string)
            .collect();
        if !long.is_empty() {
            return Err(Why::new(format!(
                "tables are locked on the {}: {}",
                attempt.from,
                long.join("; ")
            )));
        }
        self.check_limits(attempt, &sides, &mut giver, &rehearsal, looked).await?;
        Lease::rehearse(&sides.taker, &sides.taker_scope).await?;
        self.check_reverse(attempt)?;
        self.ping(attempt, &sides).await?;
        if let Some(gates) = &self.gates {
            gates.carries_the_plan().await?;
        }
        if let Some(why) = self.lost_access(attempt.from).await? {
            if attempt.to() == Side::Target {
                return Err(Why::lasting(why));
            }
            // A grant that was made on the target must not keep the service from going back.
            self.board.say(EventKind::Warning, why);
        }
        if self.plan.requests_follow_authority()
            && attempt.to() == Side::Target
            && let Some(why) = self.refusing_target().await
        {
            return Err(Why::new(why));
        }
        let mut taker = Session::connect(&sides.taker, &name).await?;
        let (names, margin) = (&sides.giver_scope.sequences, self.plan.data.sequence_margin);
        let set = self.sessions.ahead.set_aside(&mut giver, &mut taker, names, margin).await;
        set.map_err(not_set_aside)?;
        self.prepare_sessions(attempt).await?;
        self.sessions.giver = Some(giver);
        self.sessions.taker = Some(taker);
        Ok(Input::Done)
    }

    /// Whether what will be done while clients are held fits the write pause. The look at the
    /// catalogue that came first took `digest`.
    async fn check_limits(
        &self,
        attempt: &Attempt,
        sides: &Sides,
        giver: &mut Session,
        rehearsal: &Rehearsal,
        mut digest: Duration,
    ) -> Result<(), Why> {
        let names = &sides.giver_scope.sequences;
        let load = Load { tables: sides.giver_scope.relations.len(), sequences: names.len() };
        let mut is_first = true;
        loop {
            let begun = Instant::now();
            sequences::read(giver, names).await?;
            let sequences = begun.elapsed();
            let cost = Cost { digest, locks: rehearsal.took, round: rehearsal.round, sequences };
            match cost.exceeds(load, Duration::from_millis(attempt.write_pause_ms)) {
                None => return Ok(()),
                // That look filled the server's caches, which the hold finds filled.
                Some(_) if is_first => is_first = false,
                Some(text) => {
                    return Err(Why::lasting(format!("on the {}: {text}", attempt.from)));
                }
            }
            let begun = Instant::now();
            Fingerprint::read(giver, &sides.moved.selection).await?;
            digest = begun.elapsed();
        }
    }

    /// A standby that is promoted without the seal would be a second writable side.
    async fn check_standbys(&self, attempt: &Attempt, sides: &Sides) -> Result<(), Why> {
        let side = self.plan.side(attempt.from);
        let declared = side.postgres.as_ref().map(|postgres| postgres.standbys);
        if declared == Some(Standbys::NotPromotable) {
            return Ok(());
        }
        let mut session = Session::connect(&sides.giver, &application(&self.plan.name)).await?;
        let standbys = session
            .query(
                // A sender of changes belongs to a database, also while its slot is being made.
                "SELECT coalesce(r.application_name, '') FROM pg_stat_replication r \
                 LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid \
                 WHERE coalesce(s.slot_type, 'physical') = 'physical' AND NOT EXISTS (\
                   SELECT FROM pg_stat_activity a WHERE a.pid = r.pid AND a.datid IS NOT NULL)",
            )
            .await?;
        let names: Vec<&str> = standbys.iter().filter_map(|row| row.get(0)).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(Why::new(format!(
            "the {} has standbys ({}) that could be promoted without the seal; promotable standbys \
             are not carried yet: declare `standbys: not-promotable` in the plan if none of them \
             will be promoted while the migration lasts",
            attempt.from,
            names.join(", ")
        )))
    }

    /// What is no row has no stream: whatever changed on one side alone since the copy, or may not
    /// change at all, is named as an object while nobody is held.
    async fn check_catalogue(&mut self, attempt: &Attempt, sides: &Sides) -> Result<(), Why> {
        for (config, scope) in
            [(&sides.giver, &sides.giver_scope), (&sides.taker, &sides.taker_scope)]
        {
            let mut session = Session::connect(config, &application(&self.plan.name)).await?;
            if !objects::publication_is_whole(&mut session, scope).await? {
                return Err(Why::lasting(format!(
                    "the publication {} on the {} does not hold exactly the moved tables any more, \
                     and what was written meanwhile may be lost to the stream: `changeover abort` \
                     and start again",
                    self.plan.name.object_name(),
                    config.side
                )));
            }
        }
        let databases = self.databases().map_err(|report| Why::new(report.headline))?;
        let now = Now::read(databases, &sides.moved.selection, &self.plan.name).await?;
        let against =
            Against::moving(attempt.from, &self.notes, &now, &self.plan).map_err(Why::new)?;
        self.board.show_changes(against.objects);
        if !against.sentences.is_empty() {
            return Err(Why::lasting(against.sentences.join("; ")));
        }
        self.sessions.definitions = Some(now.of(attempt.from).clone());
        Ok(())
    }

    /// The way back must be live before authority moves.
    fn check_reverse(&self, attempt: &Attempt) -> Result<(), Why> {
        if self.relays.is_live(attempt.from) && self.relays.is_live(attempt.to()) {
            return Ok(());
        }
        Err(Why::new("a relay is not running; see `changeover status`".to_owned()))
    }

    /// A barrier without a hold: how long would draining take?
    async fn ping(&mut self, attempt: &Attempt, sides: &Sides) -> Result<(), Why> {
        let mut session = Session::connect(&sides.giver, &application(&self.plan.name)).await?;
        let budget = Duration::from_millis(attempt.write_pause_ms) / 2;
        let begun = Instant::now();
        loop {
            let asked = Instant::now();
            let id = AttemptId { epoch: attempt.epoch, nonce: self.nonce() };
            barrier::write(&mut session, &self.plan.name, id.epoch, id.nonce).await?;
            self.relays.barrier(attempt.to(), id, PING_WITHIN).await?;
            let took = asked.elapsed();
            if took <= budget {
                return Ok(());
            }
            if begun.elapsed() > PING_WITHIN {
                return Err(Why::new(format!(
                    "the relay needs {} ms to apply what is written, half of the write pause is \
                     {} ms: lower the load, or raise objectives.write_pause",
                    took.as_millis(),
                    budget.as_millis()
                )));
            }
        }
    }

    /// Sessions of the PostgreSQL gate get their connection to the other side while they are served.
    /// One that cannot have one would be ended by the move.
    async fn prepare_sessions(&self, attempt: &Attempt) -> Result<(), Why> {
        let Some(gates) = &self.gates else { return Ok(()) };
        let budget = Duration::from_millis(attempt.write_pause_ms) + REST_OF_CUTOVER;
        let begun = Instant::now();
        let mut status = gates.prepare(SESSIONS_WITHIN + budget).await?;
        let found = loop {
            let Some(ahead) = status.ahead else { return Ok(()) };
            if ahead.connected + ahead.refused >= ahead.sessions {
                break ahead;
            }
            if begun.elapsed() > SESSIONS_WITHIN {
                break AheadStatus { refused: ahead.sessions - ahead.connected, ..ahead };
            }
            sleep(Duration::from_millis(20)).await;
            status = gates.status().await?;
        };
        if found.refused == 0 {
            return Ok(());
        }
        let why = found.why.unwrap_or_else(|| format!("no answer within {SESSIONS_WITHIN:?}"));
        let text = format!(
            "{} of {} sessions of the PostgreSQL gate cannot be connected to the {}: {why}",
            found.refused,
            found.sessions,
            attempt.to()
        );
        if attempt.to() == Side::Target {
            return Err(Why::new(text));
        }
        // The way back is not barred by a session that will have to reconnect.
        self.board.say(EventKind::Warning, text);
        Ok(())
    }

    /// Step 1. Gates hold; open transactions end by themselves.
    pub(super) async fn hold(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let Some(gates) = &self.gates else { return Ok(Input::Done) };
        let budget = attempt.pause_left(now()) + REST_OF_CUTOVER;
        let mut status = gates.hold(attempt.epoch, budget).await?;
        loop {
            let (ended, waited_for) = gates.blockers(&status).part(self.unmovable);
            let quiet = waited_for.is_empty();
            // The daemon looks at them when the write pause is over.
            self.waiting_for.set(waited_for);
            if quiet {
                self.sessions.ended = ended;
                return Ok(Input::Done);
            }
            sleep(Duration::from_millis(2)).await;
            status = gates.status().await?;
        }
    }

    /// Step 2.
    pub(super) async fn lease(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let sides = self.sides(attempt).await?;
        let left = attempt.pause_left(now());
        // Earlier than the write pause ends, so that there is time to say who holds the locks.
        let budget = LeaseBudget { total: left + REST_OF_CUTOVER, lock_wait: left - left / 8 };
        let run = self.run_id.clone();
        let mut lease =
            Lease::take(&sides.giver, &sides.giver_scope, attempt.epoch, &run, budget).await?;
        // CREATE TABLE heeds no lock: what came since the rehearsal would be left behind.
        let found = Fingerprint::read(lease.session(), &sides.moved.selection).await?;
        let known = self.sessions.digest.replace(found.clone());
        if let Some(what) = known.and_then(|known| known.broken_by(&found)) {
            return Err(Why::new(format!(
                "{what} on the {} just before the cutover",
                attempt.from
            )));
        }
        self.sessions.lease = Some(lease);
        Ok(Input::Done)
    }

    /// Step 3. The seal's DDL runs while the barrier travels.
    pub(super) async fn drain(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let sides = self.sides(attempt).await?;
        let nonce = self.nonce();
        let Sessions { lease, giver, taker, ahead, .. } = &mut self.sessions;
        let (Some(lease), Some(giver), Some(taker)) = (lease, giver, taker) else {
            return Err(lost_lease());
        };
        let id = AttemptId { epoch: attempt.epoch, nonce };
        barrier::write(giver, &self.plan.name, id.epoch, id.nonce).await?;
        let travel = async {
            let within = attempt.pause_left(now());
            Ok::<(), Why>(self.relays.barrier(attempt.to(), id, within).await?)
        };
        let arm = async { Ok(lease.arm().await.map(drop)?) };
        let (names, margin) = (&sides.giver_scope.sequences, self.plan.data.sequence_margin);
        let set_aside = async {
            let set = ahead.set_aside(giver, taker, names, margin).await;
            set.map_err(not_set_aside)
        };
        tokio::try_join!(travel, arm, set_aside)?;
        Ok(Input::Done)
    }

    /// Step 4.
    pub(super) async fn prepare(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let sides = self.sides(attempt).await?;
        let run = self.run_id.clone();
        let left = attempt.pause_left(now());
        let budget = LeaseBudget { total: left + REST_OF_CUTOVER, lock_wait: left };
        let (grant, proof) = tokio::join!(
            Grant::prepare(&sides.taker, &sides.taker_scope, attempt.epoch, &run, budget),
            Snapshot::open(&sides.taker),
        );
        let grant = grant?;
        self.sessions.unsealer = Some(ident(grant.backend()));
        self.sessions.grant = Some(grant);
        self.sessions.proof_of_taker = Some(proof?);
        let Some(lease) = self.sessions.lease.as_mut() else { return Err(lost_lease()) };
        lease.ping().await?;
        Ok(Input::Prepared { lease: ident(lease.backend()) })
    }
}

fn not_set_aside(error: AheadError) -> Why {
    match error {
        AheadError::Faults(_) => Why::lasting(error.to_string()),
        AheadError::Database(error) => error.into(),
    }
}

pub(super) fn lost_lease() -> Why {
    Why::new("the lease's session is gone".to_owned())
}
