//! The breaker for the obvious catastrophe, which nobody wants to prove first.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use changeover_types::DecidedSecond;

const WINDOW_SECONDS: usize = 5;
const LEAST_REQUESTS: u64 = 20;
const TARGET_BAD: f64 = 0.5;
const SOURCE_BAD: f64 = 0.05;

/// Opens when, within five seconds, at least half of at least 20 requests on the target were bad
/// while fewer than 5 % of those on the source were. No claim about chance is made; with such
/// figures none is needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// Per second: requests and bad ones of the target, then of the source.
    recent: VecDeque<[u64; 4]>,
}

impl Breaker {
    /// Takes a second in. `Some` if it opens: the window's sums in the same order.
    pub fn add(&mut self, second: &DecidedSecond) -> Option<[u64; 4]> {
        let (target, source) = (&second.target, &second.source);
        self.recent.push_back([target.requests, target.bad, source.requests, source.bad]);
        if self.recent.len() > WINDOW_SECONDS {
            self.recent.pop_front();
        }
        let sums: [u64; 4] = std::array::from_fn(|at| self.recent.iter().map(|s| s[at]).sum());
        let [requests, bad, source_requests, source_bad] = sums;
        let opens = requests >= LEAST_REQUESTS
            && bad as f64 >= TARGET_BAD * requests as f64
            && (source_bad as f64) < SOURCE_BAD * source_requests.max(1) as f64;
        opens.then_some(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use changeover_types::Decided;

    fn second(target: (u64, u64), source: (u64, u64)) -> DecidedSecond {
        let side = |(requests, bad)| Decided { requests, bad, ..Decided::default() };
        DecidedSecond {
            second: 0,
            target_permille: 100,
            source: side(source),
            target: side(target),
        }
    }

    #[test]
    fn it_opens_on_a_catastrophe_of_the_target_alone() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.add(&second((10, 10), (90, 0))), None, "19 requests are too few");
        assert_eq!(breaker.add(&second((10, 1), (90, 0))), Some([20, 11, 180, 0]));
        let mut shared = Breaker::default();
        assert_eq!(shared.add(&second((30, 30), (90, 5))), None, "the source fails too");
        let mut over = Breaker::default();
        assert_eq!(over.add(&second((15, 15), (90, 0))), None);
        for _ in 0..5 {
            assert_eq!(over.add(&second((20, 0), (90, 0))), None, "it is forgotten after 5 s");
        }
    }
}
