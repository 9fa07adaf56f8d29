//! When the sending side has authority, told by rows in its own commit order.

use changeover_types::{Epoch, EpochKind, Side};

/// Where a stream stands between the opening and the closing rows of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whether transactions at this place are applied.
    pub open: bool,
    /// The epoch of the newest opening or closing row.
    pub epoch: Epoch,
    /// Whether it was closed by a seal (and not closed since genesis).
    pub after_seal: bool,
}

/// What a row of `changeover.epoch` did to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The sender has authority from here.
    Opened,
    /// The sender gave authority away here.
    Closed,
}

impl Segment {
    /// Takes one epoch row of the side `sender`; tells whether it opened or closed the segment.
    ///
    /// # Errors
    /// With the present epoch, if the row's is not higher: numbers are never reused.
    pub fn take(
        &mut self,
        sender: Side,
        epoch: Epoch,
        kind: EpochKind,
        authority: Option<Side>,
    ) -> Result<Option<Turn>, Epoch> {
        let turn = match kind {
            EpochKind::Seal => Turn::Closed,
            EpochKind::Genesis | EpochKind::Grant | EpochKind::Unseal
                if authority == Some(sender) =>
            {
                Turn::Opened
            }
            _ => return Ok(None),
        };
        if kind == EpochKind::Genesis && epoch == self.epoch {
            // A slot that was made just before genesis sees the row the resume point stands for.
            return Ok(None);
        }
        if epoch <= self.epoch {
            return Err(self.epoch);
        }
        self.epoch = epoch;
        self.open = turn == Turn::Opened;
        self.after_seal = turn == Turn::Closed;
        Ok(Some(turn))
    }
}
