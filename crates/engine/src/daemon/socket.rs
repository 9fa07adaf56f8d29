//! What a run's daemon answers to verbs.

use std::sync::Arc;

use changeover_run::{Input, Who};

use super::{Board, Words};
use crate::Report;
use crate::protocol::{Answer, Ask};
use crate::serve::{Answers, Watched, outcome, refused};

/// Shows the board, and takes orders to the loop.
pub(super) struct Desk {
    pub(super) board: Arc<Board>,
    pub(super) words: Words,
}

impl Answers for Desk {
    fn status(&self) -> Answer {
        Answer::Status(Box::new(self.board.status()))
    }

    fn watch(&self, after: Option<u64>) -> Watched {
        self.board.watch(after)
    }

    async fn answer(&self, ask: Ask, who: Who) -> Option<Answer> {
        let verb = ask.verb();
        let input = match ask {
            Ask::Status | Ask::Watch { .. } => return Some(self.status()),
            Ask::Retry => Input::GoOn { by: Some(who) },
            Ask::Until { phase } => Input::GoOnUntil { phase, by: Some(who) },
            Ask::Rest => Input::Rest,
            Ask::Apply => Input::Applied { who },
            Ask::Pause { why } => Input::Pause { who, why },
            Ask::Resume => Input::Resume { who },
            Ask::Skip { step, why } => Input::Skip { step, who, why },
            Ask::Approve { facts } => Input::Approve { who, facts },
            Ask::Reject { facts, why } => Input::Reject { who, facts, why },
            Ask::Abort { lost } => Input::Abort { by: Some(who), lost },
            Ask::Rollback { why } => Input::RollBack { why, by: Some(who) },
            Ask::Unmovable { policy } => Input::Unmovable { policy, by: Some(who) },
            Ask::GiveUpRollback => Input::GiveUpRollback { by: Some(who) },
            Ask::Finish { confirm } if confirm != self.board.status().name => {
                let report = Report::new("CO0133", "finish was not confirmed")
                    .cause(format!("`{confirm}` is not the name of this migration"));
                return refused(&report);
            }
            Ask::Finish { .. } => Input::Finish { by: Some(who) },
            Ask::Verify => return outcome(verb, self.words.verify().await),
            Ask::Shutdown => {
                self.words.stop().await;
                return Some(Answer::Accepted);
            }
        };
        outcome(verb, self.words.ask(input).await)
    }
}
