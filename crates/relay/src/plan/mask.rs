//! A set of column numbers.

/// A set of column numbers. Sixty-four columns need no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mask {
    low: u64,
    /// Further words; never ends with a zero word, so that equal sets are equal values.
    high: Vec<u64>,
}

impl Mask {
    /// Adds column `n`.
    pub fn insert(&mut self, n: usize) {
        if n < 64 {
            self.low |= 1 << n;
            return;
        }
        let word = n / 64 - 1;
        if self.high.len() <= word {
            self.high.resize(word + 1, 0);
        }
        self.high[word] |= 1 << (n % 64);
    }

    /// Whether column `n` is in it.
    #[must_use]
    pub fn contains(&self, n: usize) -> bool {
        let word = if n < 64 { self.low } else { self.high.get(n / 64 - 1).copied().unwrap_or(0) };
        word >> (n % 64) & 1 == 1
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.low == 0 && self.high.is_empty()
    }

    /// The columns in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..64 * (1 + self.high.len())).filter(|n| self.contains(*n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(columns in proptest::collection::vec(0_usize..1_600, 0..40)) {
            let mut mask = Mask::default();
            let mut again = Mask::default();
            columns.iter().for_each(|n| mask.insert(*n));
            columns.iter().rev().for_each(|n| again.insert(*n));
            let set: BTreeSet<usize> = columns.into_iter().collect();
            prop_assert_eq!(mask.iter().collect::<BTreeSet<_>>(), set.clone());
            prop_assert_eq!(mask.is_empty(), set.is_empty());
            prop_assert_eq!(mask, again);
        }
    }
}
