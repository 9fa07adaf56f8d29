//! Numbers are set aside before anybody is held, and once more under the lease for the sequences
//! that went on meanwhile: with thousands of them, each `setval` and each look would cost a pause.

use std::collections::BTreeMap;

use changeover_types::{Side, TableName};

use crate::error::Error;
use crate::session::Session;

use super::{Raise, SequenceFault, SequenceValue, plan, raise, read};

/// What was set aside on the side that is to take over, through all attempts to get there.
#[derive(Debug, Default)]
pub struct Ahead {
    to: Option<Side>,
    done: BTreeMap<TableName, Done>,
}

#[derive(Debug)]
struct Done {
    /// The side with authority, when it was looked at.
    here: SequenceValue,
    /// The other side, before it was raised.
    there: SequenceValue,
    raise: Raise,
}

/// Why numbers could not be set aside.
#[derive(Debug, thiserror::Error)]
pub enum AheadError {
    /// Sequences that cannot be carried over. Time does not mend it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<SequenceFault>),
    /// A server or a connection failed.
    #[error(transparent)]
    Database(#[from] Error),
}

impl Ahead {
    /// Brings every sequence of `names` on the side of `taker` behind the range of `giver`'s side.
    /// Asks and sets only what is not known to be so already.
    ///
    /// # Errors
    /// [`AheadError`]. Sequences that were raised stay so, which leaves gaps and nothing else.
    pub async fn set_aside(
        &mut self,
        giver: &mut Session,
        taker: &mut Session,
        names: &[TableName],
        margin: u64,
    ) -> Result<(), AheadError> {
        if self.to != Some(taker.side()) {
            *self = Ahead { to: Some(taker.side()), done: BTreeMap::new() };
        }
        let here = self.moved(read(giver, names).await?);
        let names: Vec<TableName> = here.iter().map(|it| it.name.clone()).collect();
        let there = read(taker, &names).await?;
        let there: Vec<SequenceValue> = there.into_iter().map(|it| self.unraised(it)).collect();
        let raises = plan(&here, &there, margin).map_err(AheadError::Faults)?;
        raise(taker, &raises).await?;
        for ((here, there), raise) in here.into_iter().zip(there).zip(raises) {
            self.done.insert(raise.name.clone(), Done { here, there, raise });
        }
        Ok(())
    }

    /// Without those that stand where they stood when their range was set aside.
    fn moved(&self, here: Vec<SequenceValue>) -> Vec<SequenceValue> {
        let stands = |it: &SequenceValue| self.done.get(&it.name).is_some_and(|d| d.here == *it);
        here.into_iter().filter(|it| !stands(it)).collect()
    }

    /// As it stood before we raised it, if nobody has taken a number since: attempts that are
    /// called off must not eat up a sequence, one margin each.
    fn unraised(&self, there: SequenceValue) -> SequenceValue {
        let ours = |done: &&Done| {
            let raise = &done.raise;
            !there.is_called && !raise.is_called && there.last_value == raise.value
        };
        self.done.get(&there.name).filter(ours).map_or(there.clone(), |done| done.there.clone())
    }

    /// The sequences that could not set `margin` numbers aside.
    pub fn narrow(&self, margin: u64) -> impl Iterator<Item = &Raise> {
        self.done.values().map(|done| &done.raise).filter(move |raise| raise.margin < margin)
    }
}
