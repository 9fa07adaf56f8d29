//! The cutover's steps, performed: `docs/cutover.md` from the shell's end.
//!
//! The sessions of an attempt — L, U, the proof snapshots — live here between two commands. What
//! must survive a crash is in the journal and in the databases; these die with us, and the server
//! undoes what they had not committed.

mod before;
mod late;
mod limits;
mod proof;
mod seal;
mod way_back;

use std::time::Duration;

use changeover_cutover::{Attempt, BackendIdent, Command, Input};
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::definitions::Definitions;
use changeover_postgres::digest::Fingerprint;
use changeover_postgres::grant::{Grant, Snapshot};
use changeover_postgres::lease::Lease;
use changeover_postgres::objects::Scope;
use changeover_postgres::sequences::Ahead;
use changeover_postgres::session::Session;
use changeover_run::Input as RunInput;
use changeover_types::Side;
use tokio::time::{Instant, timeout};

use super::{Effects, Moved};
use crate::gates::Blockers;
use crate::protocol::EventKind;
use crate::report::chain;

/// What everything after the hold may take at most, beyond the write pause: the hold is renewed
/// for this long before the seal is committed.
const REST_OF_CUTOVER: Duration = Duration::from_secs(15);

/// The sessions of the attempt under way.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    lease: Option<Lease>,
    grant: Option<Grant>,
    unsealer: Option<BackendIdent>,
    digest: Option<Fingerprint>,
    /// The giving side beside its rows, as it was before anybody was held.
    definitions: Option<Definitions>,
    /// Opened before anybody waits: what is asked on the giving side beside L.
    giver: Option<Session>,
    /// The same on the taking side, beside U.
    taker: Option<Session>,
    proof_of_giver: Option<Snapshot>,
    proof_of_taker: Option<Snapshot>,
    /// Whose sessions end when authority has moved.
    ended: Blockers,
    /// The numbers that were set aside, also by earlier attempts.
    ahead: Ahead,
    /// Since when the taking side has not answered while its epoch is to be burnt.
    silent_since: Option<Instant>,
}

impl Effects {
    /// Performs a step of the protocol.
    pub(super) async fn cut_over(&mut self, command: &Command, attempt: &Attempt) -> RunInput {
        let step = self.step(command, attempt);
        let outcome = match command.within() {
            None => step.await,
            Some(within) => match timeout(within, step).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    let side = attempt.side_of(command);
                    let text = format!("no answer within {} s ({side})", within.as_secs());
                    self.board.say(EventKind::Warning, format!("trying again: {text}"));
                    Ok(Input::Unanswered)
                }
            },
        };
        match outcome {
            Ok(input) => RunInput::Cutover(input),
            Err(Why { text, lasting: true }) => RunInput::Futile { why: text },
            Err(Why { text, lasting: false }) => RunInput::Cutover(Input::Failed { why: text }),
        }
    }

    async fn step(&mut self, command: &Command, attempt: &Attempt) -> Result<Input, Why> {
        match command {
            Command::Rehearse => self.rehearse(attempt).await,
            Command::Hold => self.hold(attempt).await,
            Command::Lease => self.lease(attempt).await,
            Command::Drain => self.drain(attempt).await,
            Command::Prepare => self.prepare(attempt).await,
            Command::Seal => self.seal(attempt).await,
            Command::ResolveSeal { lease } => self.resolve_seal(attempt, lease).await,
            Command::AwaitSeal => self.await_seal(attempt).await,
            Command::Grant => self.grant(attempt).await,
            Command::RedoGrant { unsealer } => self.redo_grant(attempt, unsealer.as_ref()).await,
            Command::Flip => self.flip(attempt).await,
            Command::CallOff => self.call_off(attempt).await,
            Command::Burn => self.burn(attempt).await,
            Command::Unseal { epoch } => self.unseal(attempt, *epoch).await,
            Command::Return => self.give_back(attempt).await,
        }
    }

    /// What one attempt needs to know of both sides.
    async fn sides(&mut self, attempt: &Attempt) -> Result<Sides, Why> {
        let moved = self.moved().await.map_err(|e| Why::new(chain(&e)))?;
        let databases = self.databases().map_err(|report| Why::new(report.headline))?;
        let config = |side: Side| databases.of(side).clone();
        Ok(Sides {
            giver: config(attempt.from),
            taker: config(attempt.to()),
            giver_scope: moved.scope.on(attempt.from),
            taker_scope: moved.scope.on(attempt.to()),
            moved,
        })
    }
}

/// Both sides of an attempt: the giver gives authority away, the taker takes it.
struct Sides {
    giver: ConnectConfig,
    taker: ConnectConfig,
    giver_scope: Scope,
    taker_scope: Scope,
    moved: Moved,
}

/// Why a step failed, for the operator and the journal.
struct Why {
    text: String,
    /// Time does not mend it: another attempt would fail, too.
    lasting: bool,
}

impl Why {
    fn new(text: String) -> Why {
        Why { text, lasting: false }
    }

    fn lasting(text: String) -> Why {
        Why { text, lasting: true }
    }
}

impl<E: std::error::Error + 'static> From<E> for Why {
    fn from(error: E) -> Why {
        Why::new(chain(&error))
    }
}

fn ident(backend: &changeover_postgres::lease::BackendIdent) -> BackendIdent {
    BackendIdent { pid: backend.pid, backend_start: backend.backend_start.clone() }
}

fn backend(ident: &BackendIdent) -> changeover_postgres::lease::BackendIdent {
    changeover_postgres::lease::BackendIdent {
        pid: ident.pid,
        backend_start: ident.backend_start.clone(),
    }
}
