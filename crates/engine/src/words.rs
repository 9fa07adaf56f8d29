//! What reaches the daemon's loop from outside it.

use changeover_run::{Input, Refusal};
use tokio::sync::{mpsc, oneshot};

use crate::serve::NotDone;

/// A word to the loop.
#[derive(Debug)]
pub(crate) enum Word {
    /// Something that happened beside what is due.
    Input(Input),
    /// Something an operator wants, who waits for the answer.
    Asked {
        /// What.
        input: Input,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Compare both sides in the background.
    Verify(Reply),
    /// Stop the daemon; the migration stays as it is.
    Stop,
}

/// The answer to an operator.
#[derive(Debug)]
pub(crate) struct Reply(oneshot::Sender<Result<(), String>>);

impl Reply {
    /// It will be so.
    pub(crate) fn accept(self) {
        // Whoever asked may be gone by now; nothing depends on them.
        self.give(Ok(()));
    }

    /// It will not.
    pub(crate) fn refuse(self, refusal: &Refusal) {
        self.give(Err(refusal.to_string()));
    }

    /// What came of it.
    pub(crate) fn give(self, outcome: Result<(), String>) {
        self.0.send(outcome).ok();
    }
}

/// The loop's end.
#[derive(Debug)]
pub(crate) struct Inbox(mpsc::Receiver<Word>);

impl Inbox {
    /// The next word; waits for ever when nobody is left to speak.
    pub(crate) async fn next(&mut self) -> Word {
        match self.0.recv().await {
            Some(word) => word,
            None => std::future::pending().await,
        }
    }
}

/// The others' end.
#[derive(Clone, Debug)]
pub(crate) struct Words(mpsc::Sender<Word>);

impl Words {
    /// Says something that happened.
    pub(crate) async fn say(&self, input: Input) {
        // A loop that has ended needs no news.
        self.0.send(Word::Input(input)).await.ok();
    }

    /// Asks for something and waits for the loop's answer.
    ///
    /// # Errors
    /// The refusal in words, or that the loop has ended.
    pub(crate) async fn ask(&self, input: Input) -> Result<(), NotDone> {
        self.send(|reply| Word::Asked { input, reply }).await
    }

    /// Asks for a comparison in the background.
    ///
    /// # Errors
    /// Why there will be none.
    pub(crate) async fn verify(&self) -> Result<(), NotDone> {
        self.send(Word::Verify).await
    }

    async fn send(&self, word: impl FnOnce(Reply) -> Word) -> Result<(), NotDone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(word(Reply(reply))).await.map_err(|_| NotDone::Leaving)?;
        answer.await.map_err(|_| NotDone::Leaving)?.map_err(NotDone::Refused)
    }

    /// Asks the loop to stop.
    pub(crate) async fn stop(&self) {
        self.0.send(Word::Stop).await.ok();
    }
}

/// A bounded pair: whoever speaks faster than the loop listens waits.
pub(crate) fn channel() -> (Words, Inbox) {
    let (sender, receiver) = mpsc::channel(64);
    (Words(sender), Inbox(receiver))
}
