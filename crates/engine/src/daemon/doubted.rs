//! A daemon whose journal the databases contradict.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{Daemon, LINGER, Word};
use crate::protocol::EventKind;

/// Nothing is done for so long at most; the next verb starts a daemon that looks again.
const STANDS_BY: Duration = Duration::from_secs(60);

impl Daemon {
    /// Holds the journal against the databases. When they know better, nothing is performed and
    /// journalled: whoever asks for something hears why, and `status` is answered. Returns whether
    /// the run may go on.
    pub(super) async fn may_be_believed(&mut self) -> bool {
        if !self.plan.moves_data() || self.store.state().mode.is_over() {
            return true;
        }
        let Some(doubt) = self.witness.doubt(self.store.state()).await else { return true };
        let why = format!("nothing is done: {doubt}");
        self.tell();
        self.board.say(EventKind::Warning, &why);
        self.board.show_failed(&why);
        tracing::warn!("{why}");
        let until = Instant::now() + STANDS_BY;
        loop {
            match timeout_at(until, self.inbox.next()).await {
                Err(_) | Ok(Word::Stop) => return false,
                Ok(Word::Asked { reply, .. }) => {
                    reply.give(Err(why));
                    sleep(LINGER).await;
                    return false;
                }
                Ok(Word::Verify(reply)) => reply.give(Err(why.clone())),
                Ok(Word::Input(_)) => {}
            }
        }
    }
}
