//! Every write a client was told of, to be looked for afterwards.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::Outcome;
use super::mix::What;

/// How often something that is counted was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Certainly.
    pub(crate) acknowledged: u64,
    /// Perhaps.
    pub(crate) unknown: u64,
}

/// All writes, by their outcome. Those that failed for certain are not kept.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Acknowledged orders and how many lines each has.
    pub(crate) orders: HashMap<Uuid, i64>,
    /// Orders that may be there.
    pub(crate) unknown_orders: HashSet<Uuid>,
    /// Pieces taken from stock by acknowledged orders.
    pub(crate) pieces: i64,
    /// Updates by customer.
    pub(crate) touches: HashMap<i64, Count>,
    /// Writes by cart.
    pub(crate) carts: HashMap<i64, Count>,
}

impl Ledger {
    /// Enters a request's outcome.
    pub(super) fn note(&mut self, what: &What, outcome: &Outcome) {
        let counted = match what {
            What::Touch { customer, .. } => self.touches.entry(*customer).or_default(),
            What::Cart { cart, .. } => self.carts.entry(*cart).or_default(),
            What::PlaceOrder { id, lines, .. } => {
                match outcome {
                    Outcome::Ok => {
                        self.orders.insert(*id, i64::try_from(lines.len()).unwrap_or(i64::MAX));
                        self.pieces += lines.iter().map(|(_, n)| i64::from(*n)).sum::<i64>();
                    }
                    Outcome::Indeterminate(_) => {
                        self.unknown_orders.insert(*id);
                    }
                    Outcome::Failed(_) => {}
                }
                return;
            }
            What::Product(_) | What::Order(_) | What::Search { .. } => return,
        };
        match outcome {
            Outcome::Ok => counted.acknowledged += 1,
            Outcome::Indeterminate(_) => counted.unknown += 1,
            Outcome::Failed(_) => {}
        }
    }

    /// All acknowledged writes.
    pub(crate) fn acknowledged(&self) -> u64 {
        let counted = self.touches.values().chain(self.carts.values());
        self.orders.len() as u64 + counted.map(|c| c.acknowledged).sum::<u64>()
    }
}
