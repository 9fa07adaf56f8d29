//! Step 0: what the hold will cost at least is measured while nobody is held. An attempt that
//! cannot fit would only make clients wait.

use std::time::Duration;

/// How long what has to happen while clients are held took just now, nobody being in the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// One look at the catalogue. It is taken twice.
    pub(super) digest: Duration,
    /// Locking every moved table, if that could be tried.
    pub(super) locks: Option<Duration>,
    /// How long one round of locking may last there.
    pub(super) round: Duration,
    /// Asking every sequence where it stands.
    pub(super) sequences: Duration,
}

/// How much there is of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Moved tables, partitions included.
    pub(super) tables: usize,
    /// Moved sequences.
    pub(super) sequences: usize,
}

impl Cost {
    /// What does not fit, and what helps.
    pub(super) fn exceeds(&self, load: Load, write_pause: Duration) -> Option<String> {
        let locks = self.locks.unwrap_or_default();
        if locks > self.round {
            return Some(format!(
                "locking the {} moved tables takes {} ms, and longer than {} ms, half of the server's \
                 deadlock_timeout, it must not last, or writers that wait for us are ended as \
                 deadlocks: ALTER SYSTEM SET deadlock_timeout = '{} s'; SELECT pg_reload_conf()",
                load.tables,
                locks.as_millis(),
                self.round.as_millis(),
                (locks.as_millis() * 4).div_ceil(1_000),
            ));
        }
        let all = self.digest * 2 + locks + self.sequences;
        (all > write_pause).then(|| {
            format!(
                "what has to happen while clients are held takes {} ms at least, and the write pause \
                 is {} ms: locking {} tables {} ms, reading their catalogue twice {} ms, asking {} \
                 sequences {} ms; set objectives.write_pause to {} s or more",
                all.as_millis(),
                write_pause.as_millis(),
                load.tables,
                locks.as_millis(),
                (self.digest * 2).as_millis(),
                load.sequences,
                self.sequences.as_millis(),
                // Room for what the barrier and the seal take besides.
                (all.as_millis() * 2).div_ceil(1_000),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { tables: 2_000, sequences: 10_000 };

    fn cost(digest: u64, locks: u64, sequences: u64) -> Cost {
        Cost {
            digest: Duration::from_millis(digest),
            locks: Some(Duration::from_millis(locks)),
            round: Duration::from_millis(500),
            sequences: Duration::from_millis(sequences),
        }
    }

    #[test]
    fn what_fits_is_let_through() {
        let pause = Duration::from_millis(500);
        assert_eq!(cost(100, 100, 200).exceeds(LOAD, pause), None);
        let unknown = Cost { locks: None, ..cost(100, 0, 200) };
        assert_eq!(unknown.exceeds(LOAD, pause), None);
    }

    #[test]
    fn what_does_not_is_named_with_its_cure() {
        let text = cost(800, 40, 100).exceeds(LOAD, Duration::from_millis(500)).unwrap();
        for part in
            ["1740 ms at least", "2000 tables 40 ms", "10000 sequences 100 ms", "4 s or more"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = cost(1, 700, 1).exceeds(LOAD, Duration::from_secs(60)).unwrap();
        assert!(text.contains("deadlock_timeout = '3 s'"), "{text}");
    }
}
