//! What came on the giving side between the last look and the seal, or after it.

use changeover_cutover::Attempt;
use changeover_postgres::definitions::{Definitions, changes};
use changeover_postgres::error::Result as PgResult;

use super::super::Effects;
use super::super::definitions::{list, read};
use super::Sides;
use crate::owned;
use crate::protocol::EventKind;
use crate::report::chain;

impl Effects {
    /// Nobody is held for the whole comparison: in the background, when nobody waits any more, what
    /// came too late for it is named, so that it can be done on the side that serves.
    pub(super) fn name_what_came_late(&mut self, attempt: &Attempt, sides: &Sides) {
        let Some(before) = self.sessions.definitions.take() else { return };
        let (from, to) = (attempt.from, attempt.to());
        let (board, name) = (self.board.clone(), self.plan.name.clone());
        let (giver, selection) = (sides.giver.clone(), sides.moved.selection.clone());
        let told = owned::told_on(&board);
        let looking = async move {
            let now: PgResult<Definitions> = read(&giver, &selection, &name).await;
            match now {
                Ok(now) => {
                    let late = changes(&before, &now);
                    if !late.is_empty() {
                        let text = format!(
                            "came too late for the cutover and is on the {from} only: {}: do the \
                             same on the {to}",
                            list(late.iter())
                        );
                        board.say(EventKind::Warning, text);
                    }
                }
                Err(e) => {
                    let text = format!("what came too late is not known: {}", chain(&e));
                    board.say(EventKind::Warning, text);
                }
            }
        };
        self.beside(owned::once("the look for what came too late", looking, told));
    }
}
