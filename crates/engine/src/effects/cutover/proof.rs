//! The proof: both sides as they were at the seal, compared while nobody waits.

use std::time::Duration;

use changeover_cutover::Attempt;
use changeover_postgres::verify::{Pair, compare};
use changeover_run::Input;
use changeover_types::Side;
use tokio::time::timeout;

use super::super::{Effects, say_generated, verify_status};
use super::Sides;
use crate::owned;
use crate::report::chain;

/// Open snapshots hold back vacuum on both sides: the comparison may take this long.
const PROOF_WITHIN: Duration = Duration::from_secs(15 * 60);

impl Effects {
    /// Compares the two proof snapshots in the background and tells the run what came of it.
    pub(super) fn prove(&mut self, attempt: &Attempt, sides: &Sides) {
        let giver = self.sessions.proof_of_giver.take();
        let taker = self.sessions.proof_of_taker.take();
        let words = self.words.clone();
        let board = self.board.clone();
        let tables = sides.moved.tables();
        let (giver_is_source, epoch) = (attempt.from == Side::Source, attempt.epoch);
        let dying = words.clone();
        let proving = async move {
            let (Some(mut giver), Some(mut taker)) = (giver, taker) else {
                words.say(Input::Proven { epoch, rows: None, different: 0 }).await;
                return;
            };
            let (giving, taking) = (giver.session(), taker.session());
            let pair = if giver_is_source {
                Pair { source: giving, target: taking }
            } else {
                Pair { source: taking, target: giving }
            };
            let outcome = timeout(PROOF_WITHIN, compare(pair, &tables, |_| {})).await;
            let input = match outcome {
                Ok(Ok(report)) => {
                    if !report.is_equal() {
                        board.show_verify(verify_status(&report));
                        say_generated(&board, &report);
                    }
                    Input::Proven {
                        epoch,
                        rows: Some(report.rows_compared),
                        different: report.rows_different,
                    }
                }
                Ok(Err(e)) => {
                    tracing::warn!("the proof of the cutover: {}", chain(&e));
                    Input::Proven { epoch, rows: None, different: 0 }
                }
                Err(_) => Input::Proven { epoch, rows: None, different: 0 },
            };
            words.say(input).await;
        };
        self.beside(owned::once("the proof of the cutover", proving, async move |why| {
            tracing::warn!("{why}");
            dying.say(Input::Proven { epoch, rows: None, different: 0 }).await;
        }));
    }
}
