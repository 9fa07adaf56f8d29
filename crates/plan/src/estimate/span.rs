//! A time with its uncertainty.

use serde::{Deserialize, Serialize};

/// A time with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// It takes at least this long.
    pub least_ms: u64,
    /// Nothing unusual happening.
    pub likely_ms: u64,
    /// It takes at most this long; `None` if nobody can say.
    pub most_ms: Option<u64>,
}

impl Span {
    /// Without uncertainty.
    #[must_use]
    pub fn exactly(ms: u64) -> Span {
        Span { least_ms: ms, likely_ms: ms, most_ms: Some(ms) }
    }

    /// With something of unknown length in it: nobody can say what the most is.
    #[must_use]
    pub fn and_unknown(self) -> Span {
        Span { most_ms: None, ..self }
    }

    /// One after the other.
    #[must_use]
    pub fn then(self, next: Span) -> Span {
        let most = |a: u64, b: u64| a.saturating_add(b);
        Span {
            least_ms: self.least_ms.saturating_add(next.least_ms),
            likely_ms: self.likely_ms.saturating_add(next.likely_ms),
            most_ms: self.most_ms.zip(next.most_ms).map(|(a, b)| most(a, b)),
        }
    }

    /// What measurements of the same thing say of the next one: half as long to twice as long as
    /// what was seen, the newest being the likely one. `None` without measurements.
    #[must_use]
    pub fn of_measured(took_ms: &[u64]) -> Option<Span> {
        let (least, most) = (took_ms.iter().min()?, took_ms.iter().max()?);
        Some(Span {
            least_ms: least / 2,
            likely_ms: *took_ms.last()?,
            most_ms: Some(most.saturating_mul(2)),
        })
    }

    /// The same for `now` bytes when it was seen with `then` bytes.
    #[must_use]
    pub fn scaled(self, now: u64, then: u64) -> Span {
        let scale = |ms: u64| {
            let scaled = u128::from(ms) * u128::from(now) / u128::from(then.max(1));
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        Span {
            least_ms: scale(self.least_ms),
            likely_ms: scale(self.likely_ms),
            most_ms: self.most_ms.map(scale),
        }
    }
}

/// `40 s`, `3 min to 9 min, likely 5 min`, `at least 30 min`, `not known`: what a person reads.
#[must_use]
pub fn show_span(span: Span) -> String {
    let (least, likely) = (rounded(span.least_ms), rounded(span.likely_ms));
    match span.most_ms.map(rounded) {
        Some(most) if most == least => likely,
        Some(most) if likely == least || likely == most => format!("{least} to {most}"),
        Some(most) => format!("{least} to {most}, likely {likely}"),
        None if span.likely_ms == 0 => "not known".to_owned(),
        // "At least under a second" says nothing.
        None if span.least_ms < 1_000 => {
            format!("likely {likely}, nobody can say how long at most")
        }
        None if least == likely => format!("at least {least}"),
        None => format!("at least {least}, likely {likely}"),
    }
}

/// In the two largest units, so that no digit pretends to be known.
pub(crate) fn rounded(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)];
    let Some(at) = units.iter().position(|(_, unit)| ms >= *unit) else {
        return if ms == 0 { "0 s".to_owned() } else { "under 1 s".to_owned() };
    };
    let (name, unit) = units[at];
    let whole = ms / unit;
    match units.get(at + 1) {
        Some((smaller, part)) if whole < 10 && (ms % unit) / part > 0 => {
            format!("{whole} {name} {} {smaller}", (ms % unit) / part)
        }
        None if whole < 10 => format!("{}.{} s", whole, (ms % 1_000) / 100),
        _ => format!("{whole} {name}"),
    }
}
