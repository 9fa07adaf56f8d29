//! Which differences are real.
//!
//! Under "only noise" candidate and secondary are alike: of the comparisons in which exactly one of
//! them differs in a field, each is the one with probability one half. A field in which the source
//! was seen to differ from itself is noise, unless the candidate differs so much more often that
//! this would happen less than once in a hundred such mirrorings: an e-value, which stays valid
//! however often it is looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{Difference, FieldCount, MirrorStatus};

/// More fields than this are counted together.
const FIELDS_MAX: usize = 1000;
/// More combinations of fields than this are counted as real differences, whatever they hold.
const SETS_MAX: usize = 5000;
/// So many fields are told.
const FIELDS_TOLD: usize = 50;
/// Longest example.
const EXAMPLE_MAX: usize = 300;

/// The chance of calling noise a difference, over all fields.
const FALSE_ALARM: f64 = 0.01;
/// How many times as often a candidate may differ that is worse.
const TIMES: [f64; 5] = [1.5, 2.0, 4.0, 10.0, 50.0];

#[derive(Clone, Debug, Default)]
struct Counts {
    candidate: u64,
    source: u64,
    both: u64,
    example: String,
}

impl Counts {
    /// Whether the candidate differs more often than noise explains, among so many fields.
    fn is_noise(&self, fields: usize) -> bool {
        let seen = self.source + self.both > 0;
        seen && log_evidence(self.candidate, self.source) < (fields as f64 / FALSE_ALARM).ln()
    }
}

/// The logarithm of the e-value against "one half", averaged over [`TIMES`].
fn log_evidence(candidate: u64, source: u64) -> f64 {
    let of = |times: f64| {
        let (with, without) = (2.0 * times / (1.0 + times), 2.0 / (1.0 + times));
        candidate as f64 * with.ln() + source as f64 * without.ln()
    };
    let logs = TIMES.map(of);
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + (logs.iter().map(|log| (log - most).exp()).sum::<f64>() / TIMES.len() as f64).ln()
}

/// What was compared so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    ignore: Vec<String>,
    fields: BTreeMap<String, Counts>,
    /// How often exactly these fields differed in the candidate alone.
    sets: BTreeMap<BTreeSet<String>, u64>,
    beyond: u64,
    compared: u64,
    unanswered: u64,
}

impl Tally {
    /// One that does not look at these fields, nor below them.
    #[must_use]
    pub fn new(ignore: &[String]) -> Tally {
        Tally { ignore: ignore.to_vec(), ..Tally::default() }
    }

    /// The source did not answer one of its copies.
    pub fn count_unanswered(&mut self) {
        self.unanswered += 1;
    }

    /// Counts where secondary and candidate differ from the primary. `request` is its method and its
    /// path without a query.
    pub fn count(&mut self, request: &str, secondary: &[Difference], candidate: &[Difference]) {
        self.compared += 1;
        let by_field = |differences: &[Difference]| {
            let kept = differences.iter().filter(|difference| !self.ignores(&difference.field));
            let mut found: BTreeMap<String, String> = BTreeMap::new();
            for Difference { field, place } in kept {
                found.entry(field.clone()).or_insert_with(|| place.clone());
            }
            found
        };
        let (secondary, candidate) = (by_field(secondary), by_field(candidate));
        let mut alone = BTreeSet::new();
        for (field, place) in &candidate {
            let counts = self.field(field);
            if secondary.contains_key(field) {
                counts.both += 1;
                continue;
            }
            if counts.candidate == 0 {
                counts.example = format!("{request}, {place}").chars().take(EXAMPLE_MAX).collect();
            }
            counts.candidate += 1;
            alone.insert(field.clone());
        }
        for field in secondary.keys().filter(|field| !candidate.contains_key(*field)) {
            self.field(field).source += 1;
        }
        if alone.is_empty() {
            return;
        }
        if self.sets.len() >= SETS_MAX && !self.sets.contains_key(&alone) {
            self.beyond += 1;
        } else {
            *self.sets.entry(alone).or_default() += 1;
        }
    }

    fn ignores(&self, field: &str) -> bool {
        self.ignore.iter().any(|ignored| {
            let rest = field.strip_prefix(&**ignored);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn field(&mut self, field: &str) -> &mut Counts {
        let known = self.fields.contains_key(field) || self.fields.len() < FIELDS_MAX;
        self.fields.entry(if known { field } else { "other fields" }.to_owned()).or_default()
    }

    /// What it comes to; the counts of requests are the gate's.
    #[must_use]
    pub fn status(&self) -> MirrorStatus {
        let noise = |field: &str| {
            self.fields.get(field).is_some_and(|counts| counts.is_noise(self.fields.len()))
        };
        let real = |set: &BTreeSet<String>| set.iter().any(|field| !noise(field));
        let differing = self.sets.iter().filter(|(set, _)| real(set)).map(|(_, count)| count);
        let mut fields: Vec<FieldCount> = self
            .fields
            .iter()
            .map(|(field, counts)| FieldCount {
                field: field.clone(),
                candidate: counts.candidate,
                source: counts.source + counts.both,
                noise: noise(field),
                example: counts.example.clone(),
            })
            .collect();
        fields.sort_by_key(|field| (field.noise, std::cmp::Reverse(field.candidate)));
        fields.truncate(FIELDS_TOLD);
        MirrorStatus {
            compared: self.compared,
            unanswered: self.unanswered,
            differing: differing.sum::<u64>() + self.beyond,
            fields,
            ..MirrorStatus::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(fields: &[&str]) -> Vec<Difference> {
        fields.iter().map(|field| Difference::at(field)).collect()
    }

    #[test]
    fn a_planted_difference_is_found_beside_a_clock() {
        let mut tally = Tally::new(&[]);
        for n in 0..300 {
            // A clock with whole seconds: now and then one of the three falls into the next one.
            let clock = |yes: bool| if yes { vec!["/now"] } else { vec![] };
            let mut candidate = clock(n % 10 == 3);
            if n % 50 == 0 {
                candidate.push("/price");
            }
            tally.count("GET /p", &at(&clock(n % 10 == 7)), &at(&candidate));
        }
        let status = tally.status();
        assert_eq!((status.compared, status.differing), (300, 6));
        let told: Vec<(&str, bool, &str)> =
            status.fields.iter().map(|f| (&*f.field, f.noise, &*f.example)).collect();
        assert_eq!(told, [("/price", false, "GET /p, /price"), ("/now", true, "GET /p, /now")]);
    }

    #[test]
    fn a_row_that_changed_once_hides_no_wrong_version() {
        let mut tally = Tally::new(&[]);
        tally.count("GET /p", &at(&["/price"]), &at(&[]));
        for _ in 0..40 {
            tally.count("GET /p", &at(&[]), &at(&["/price"]));
        }
        let status = tally.status();
        assert_eq!(status.differing, 40, "{status:?}");
        assert!(!status.fields[0].noise);
    }

    #[test]
    fn pure_noise_is_hardly_ever_called_a_difference() {
        // A fixed sequence of coins: in each mirroring 400 comparisons of a field that is noise.
        let mut coin = 1_u64;
        let mut flip = || {
            coin ^= coin << 13;
            coin ^= coin >> 7;
            coin ^= coin << 17;
            coin & 1 == 0
        };
        let alarms = (0..300)
            .filter(|_| {
                let mut tally = Tally::new(&[]);
                tally.count("GET /", &at(&["/n"]), &at(&[]));
                (0..400).any(|_| {
                    if flip() {
                        tally.count("GET /", &at(&["/n"]), &at(&[]));
                    } else {
                        tally.count("GET /", &at(&[]), &at(&["/n"]));
                    }
                    !tally.status().fields[0].noise
                })
            })
            .count();
        assert!(alarms <= 6, "{alarms} of 300, looked at all the time");
    }

    #[test]
    fn what_is_ignored_does_not_count() {
        let mut tally = Tally::new(&["/meta".to_owned(), "header date".to_owned()]);
        tally.count("GET /", &at(&[]), &at(&["/meta/at", "/meta", "header date"]));
        assert_eq!(tally.status().differing, 0);
        tally.count("GET /", &at(&[]), &at(&["/metadata"]));
        assert_eq!(tally.status().differing, 1);
    }

    #[test]
    fn many_fields_and_combinations_are_bounded_and_none_is_lost() {
        let mut tally = Tally::new(&[]);
        for n in 0..6000 {
            tally.count("GET /", &[], &at(&[&format!("/{n}")]));
        }
        let status = tally.status();
        assert_eq!((status.differing, status.fields.len()), (6000, FIELDS_TOLD));
        assert!(tally.fields.len() <= FIELDS_MAX + 1);
    }
}
