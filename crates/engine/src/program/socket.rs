//! What a program's daemon answers to verbs.

use std::sync::Arc;

use changeover_run::Who;
use changeover_run::program::Input;
use tokio::sync::{mpsc, oneshot};

use super::{Board, Word};
use crate::Report;
use crate::protocol::{Answer, Ask};
use crate::serve::{Answers, NotDone, Watched, outcome, refused};

/// Shows the board, and takes orders to the loop.
pub(super) struct Desk {
    pub(super) board: Arc<Board>,
    pub(super) words: mpsc::Sender<Word>,
}

impl Answers for Desk {
    fn status(&self) -> Answer {
        Answer::Program(Box::new(self.board.status()))
    }

    fn watch(&self, after: Option<u64>) -> Watched {
        self.board.watch(after)
    }

    async fn answer(&self, ask: Ask, who: Who) -> Option<Answer> {
        let verb = ask.verb();
        let input = match ask {
            Ask::Status => return Some(self.status()),
            Ask::Apply => Input::Applied { who },
            Ask::Retry => Input::GoOn,
            Ask::Until { phase } => Input::GoOnUntil { phase },
            Ask::Resume => Input::Resume,
            Ask::Skip { step, why } => Input::Skip { step, who, why },
            Ask::Approve { facts } => Input::Approve { who, facts },
            Ask::Reject { facts, why } => Input::Reject { who, facts, why },
            Ask::Pause { why } => Input::Pause { why },
            Ask::Rollback { why } => Input::RollBack { why },
            Ask::Abort { .. } => Input::Abort,
            Ask::Finish { confirm } if confirm != self.board.status().name => {
                let report = Report::new("CO0133", "finish was not confirmed")
                    .cause(format!("`{confirm}` is not the name of this program"));
                return refused(&report);
            }
            Ask::Finish { .. } => Input::Finish,
            Ask::Shutdown => {
                self.words.send(Word::Stop).await.ok();
                return Some(Answer::Accepted);
            }
            _ => {
                let report = Report::new("CO0177", format!("`{verb}` is for one component"))
                    .hint("give the component's plan instead of the program");
                return refused(&report);
            }
        };
        outcome(verb, self.ask(input).await)
    }
}

impl Desk {
    /// Asks for something and waits for the loop's answer.
    async fn ask(&self, input: Input) -> Result<(), NotDone> {
        let (reply, outcome) = oneshot::channel();
        self.words.send(Word::Asked { input, reply }).await.map_err(|_| NotDone::Leaving)?;
        outcome.await.map_err(|_| NotDone::Leaving)?.map_err(NotDone::Refused)
    }
}
