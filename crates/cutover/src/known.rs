//! What the databases know, held against what the journal knows.
//!
//! A journal can be restored from a backup, lose its tail or be another run's; the epoch rows
//! cannot. Whoever is about to act on a journal asks [`doubt`] first.

use std::fmt;

use changeover_types::{Epoch, Side};

use crate::State;

/// The newest epoch row of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whose row it is.
    pub side: Side,
    /// Its epoch.
    pub epoch: Epoch,
    /// Who has authority since; `None` is nobody.
    pub authority: Option<Side>,
    /// The run that wrote it.
    pub run: String,
    /// When, by that server's clock.
    pub at: String,
    /// Whether somebody reads the migration's slot on this side, or copies beside it.
    pub in_use: bool,
}

/// Why a journal must not be acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Another run has the databases.
    OtherRun {
        /// Its row.
        known: Known,
        /// How far it is from being given up.
        life: Life,
    },
    /// It has moved on, and this journal does not know.
    Behind {
        /// The row.
        known: Known,
        /// The authority that the journal believes in.
        authority: Side,
        /// The highest epoch that the journal knows.
        highest: Epoch,
    },
}

/// What is seen of another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Somebody reads its slot, or copies.
    InUse,
    /// The target has authority by it.
    Moved,
    /// Neither.
    Rests,
}

/// Compares a run's state with the newest rows that could be read; a side that does not answer is
/// left out, and one side is enough to see either doubt. `began` says whether the run knows that it
/// has put rows there.
///
/// A run that never began meets the rows of a dead one in its preflight, and may abort them.
#[must_use]
pub fn doubt(run: &str, state: &State, began: bool, rows: &[Known]) -> Option<Doubt> {
    if let Some((known, life)) = other(run, rows) {
        return (began || life == Life::InUse).then_some(Doubt::OtherRun { known, life });
    }
    let newest = rows.iter().max_by_key(|row| row.epoch)?;
    // What an attempt may have committed without being told: nothing before the seal is intended,
    // then its own epoch, and the one that gives authority back.
    let may_be = match &state.attempt {
        None => state.highest,
        Some(attempt) if attempt.stage.is_before_seal() => Epoch(attempt.epoch.0 - 1),
        Some(attempt) => state.highest.max(attempt.epoch.next()),
    };
    (newest.epoch > may_be).then(|| Doubt::Behind {
        known: newest.clone(),
        authority: state.authority,
        highest: state.highest,
    })
}

/// The same for a run that would remove everything: what another run left is removed only if nobody
/// works with it, it never moved authority, this run has nothing there itself, and somebody says
/// that the other one is `lost`.
#[must_use]
pub fn doubt_of_abort(
    run: &str,
    state: &State,
    began: bool,
    lost: bool,
    rows: &[Known],
) -> Option<Doubt> {
    match other(run, rows) {
        Some((_, Life::Rests)) if lost && !began => None,
        Some((known, life)) => Some(Doubt::OtherRun { known, life }),
        None => doubt(run, state, began, rows),
    }
}

fn other(run: &str, rows: &[Known]) -> Option<(Known, Life)> {
    let known = rows.iter().find(|row| row.run != run)?.clone();
    let life = if rows.iter().any(|row| row.in_use) {
        Life::InUse
    } else if rows.iter().any(|row| row.authority == Some(Side::Target)) {
        Life::Moved
    } else {
        Life::Rests
    };
    Some((known, life))
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Life::InUse => "it lives: its slot is in use",
            Life::Moved => "the target has authority by it",
            Life::Rests => "its slot rests",
        })
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::OtherRun { known: Known { side, epoch, run, at, .. }, life } => {
                write!(
                    f,
                    "another run, {run}, has this migration on the {side} (epoch {epoch}, since \
                     {at}; {life}). Go on from the host and --state-dir that it was begun with"
                )?;
                if *life == Life::Rests {
                    f.write_str(
                        "; only if its state folder is lost for good, `changeover abort --force` \
                         removes what it left",
                    )?;
                }
                Ok(())
            }
            Doubt::Behind { known, authority, highest } => {
                let Known { side, epoch, at, .. } = known;
                let who = known.authority.map_or("nobody".to_owned(), |side| side.to_string());
                write!(
                    f,
                    "the journal is behind the databases: it knows epoch {highest} (authority: \
                     {authority}), the {side} has epoch {epoch} since {at} (authority: {who}). It \
                     was restored from a backup, or lost its end. Go on with the newest journal of \
                     this run; without one, nothing here may be believed"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, apply, decide};
    use changeover_types::WallMs;

    fn row(side: Side, epoch: u64, authority: Option<Side>, run: &str) -> Known {
        let (epoch, run, at) = (Epoch(epoch), run.to_owned(), "then".to_owned());
        Known { side, epoch, authority, run, at, in_use: false }
    }

    #[test]
    fn a_journal_that_agrees_or_sees_no_rows_is_believed() {
        let state = State::genesis();
        assert_eq!(doubt("a", &state, true, &[]), None);
        let rows = [
            row(Side::Source, 1, Some(Side::Source), "a"),
            row(Side::Target, 1, Some(Side::Source), "a"),
        ];
        assert_eq!(doubt("a", &state, true, &rows), None);
        assert_eq!(doubt("a", &state, false, &rows), None, "died between genesis and its record");
    }

    #[test]
    fn a_journal_of_ten_minutes_ago_is_behind_and_either_side_shows_it() {
        let state = State::genesis();
        let source = row(Side::Source, 2, None, "a");
        let target = row(Side::Target, 2, Some(Side::Target), "a");
        for rows in [vec![source.clone()], vec![target.clone()], vec![source, target]] {
            let doubt = doubt("a", &state, true, &rows).unwrap();
            let text = doubt.to_string();
            assert!(text.contains("knows epoch 1 (authority: source)"), "{text}");
            assert!(text.contains("has epoch 2"), "{text}");
        }
    }

    #[test]
    fn an_attempt_that_never_meant_to_seal_has_no_row() {
        let mut state = State::genesis();
        let begin = Input::Begin { to: Side::Target, highest_seen: Epoch(1), write_pause_ms: 500 };
        for event in decide(&state, &begin, WallMs(0)).unwrap() {
            apply(&mut state, &event);
        }
        let own = state.attempt.as_ref().unwrap().epoch.0;
        assert!(state.attempt.as_ref().unwrap().stage.is_before_seal());
        let before = [row(Side::Source, own - 1, Some(Side::Source), "a")];
        assert_eq!(doubt("a", &state, true, &before), None);
        let sealed = [row(Side::Source, own, None, "a")];
        assert!(matches!(doubt("a", &state, true, &sealed), Some(Doubt::Behind { .. })));
    }

    #[test]
    fn another_run_is_refused_unless_it_is_dead_and_this_one_never_began() {
        let state = State::genesis();
        let mut rows = [row(Side::Source, 1, Some(Side::Source), "b")];
        assert_eq!(doubt("a", &state, false, &rows), None);
        let text = doubt("a", &state, true, &rows).unwrap().to_string();
        assert!(text.contains("another run, b") && text.contains("since then"), "{text}");
        assert!(text.contains("abort --force"), "{text}");
        rows[0].in_use = true;
        let text = doubt("a", &state, false, &rows).unwrap().to_string();
        assert!(text.contains("its slot is in use") && !text.contains("--force"), "{text}");
    }

    #[test]
    fn only_what_a_lost_run_left_is_removed_by_another() {
        let state = State::genesis();
        let ours = [row(Side::Source, 1, Some(Side::Source), "a")];
        assert_eq!(doubt_of_abort("a", &state, true, false, &ours), None);
        let theirs = row(Side::Source, 1, Some(Side::Source), "b");
        let moved = row(Side::Target, 2, Some(Side::Target), "b");
        let used = Known { in_use: true, ..theirs.clone() };
        for (rows, began, lost, allowed) in [
            (vec![theirs.clone()], false, false, false),
            (vec![theirs.clone()], false, true, true),
            (vec![theirs.clone()], true, true, false),
            (vec![used], false, true, false),
            (vec![theirs, moved], false, true, false),
        ] {
            let doubt = doubt_of_abort("a", &state, began, lost, &rows);
            assert_eq!(doubt.is_none(), allowed, "{rows:?} {began} {lost}");
        }
    }
}
