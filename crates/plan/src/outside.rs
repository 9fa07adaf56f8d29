//! What a plan says of metrics from outside that a canary is judged by, too.

use std::time::Duration;

use changeover_types::Side;
use serde::Serialize;

use crate::units::{show_duration, show_percentage};

/// What stands for the side in a query.
pub(crate) const SIDE: &str = "$side";

/// A metric of both sides, from a monitoring system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outside {
    /// Unique in the canary.
    pub name: String,
    /// The Prometheus server, as in a guard.
    pub url: String,
    /// PromQL that gives one figure for a side; `$side` in it stands for the side.
    pub query: String,
    /// What `$side` is for the source.
    pub source: String,
    /// What it is for the target.
    pub target: String,
    /// Whether the higher of two values is the worse one.
    pub higher_is_worse: bool,
    /// How far apart two pairs of values are; never closer than the query looks back.
    pub every: Duration,
    /// The tolerated share of the source's value: 0.1 for 10 % worse.
    pub margin: f64,
    /// What happens when it has had no values for long enough. Without one nothing goes on.
    pub on_no_data: WhenStuck,
    /// How long that is.
    pub no_data_for: Duration,
}

/// What becomes of a canary that gets nowhere. Going on is never among it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenStuck {
    /// It says so, and stays at its weight.
    Hold,
    /// The run waits for its operator.
    Pause,
    /// All requests go back to the source.
    Rollback,
}

impl WhenStuck {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            WhenStuck::Hold => "it stays at its share and says so",
            WhenStuck::Pause => "the run waits for its operator",
            WhenStuck::Rollback => "all requests go back",
        }
    }
}

impl Outside {
    /// The query for one side.
    #[must_use]
    pub fn query_of(&self, side: Side) -> String {
        let name = match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        self.query.replace(SIDE, name)
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        format!(
            "{} (worse if {} by more than {}, a pair every {}; without values for {}: {})",
            self.name,
            if self.higher_is_worse { "higher" } else { "lower" },
            show_percentage(self.margin),
            show_duration(self.every),
            show_duration(self.no_data_for),
            self.on_no_data.words(),
        )
    }
}

/// How far a query looks back: the longest range in square brackets. Texts in quotes and comments
/// hold no ranges. A range that cannot be read is left to the server, which refuses it.
pub(crate) fn looks_back(query: &str) -> Duration {
    let mut longest = Duration::ZERO;
    let mut rest = query.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' | '\'' | '`' => skip_quoted(&mut rest, c),
            '#' => rest.by_ref().take_while(|c| *c != '\n').for_each(drop),
            '[' => {
                let inner: String = rest.by_ref().take_while(|c| *c != ']').collect();
                // Of a subquery `[1h:5m]` the first part.
                let range = inner.split(':').next().unwrap_or_default();
                longest = longest.max(promql_duration(range.trim()).unwrap_or_default());
            }
            _ => {}
        }
    }
    longest
}

fn skip_quoted(rest: &mut std::str::Chars<'_>, quote: char) {
    while let Some(c) = rest.next() {
        if c == '\\' && quote != '`' {
            rest.next();
        } else if c == quote {
            return;
        }
    }
}

/// `5m`, `1h30m`, or a plain number of seconds.
fn promql_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let (mut sum, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, more) = after.split_at(letters);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        let part = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(unit_ms)?);
        sum = sum.checked_add(part)?;
        rest = more;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_looks_back_as_far_as_its_longest_range() {
        let minutes = |m: u64| Duration::from_secs(60 * m);
        for (query, back) in [
            (r#"up{side="$side"}"#, Duration::ZERO),
            (r#"rate(x{side="$side"}[1m]) / rate(y[5m] offset 1h)"#, minutes(5)),
            ("max_over_time(rate(x[5m])[1h30m:1m])", minutes(90)),
            (r#"rate(x{path=~"a[9h]\"[8h]"}[2m])"#, minutes(2)),
            ("rate(x{a='[9h]', b=`\\`}[ 90s ]) # [7h]\n + y", Duration::from_secs(90)),
            ("rate(x[300])", minutes(5)),
            ("rate(x[1500ms])", Duration::from_millis(1500)),
            ("rate(x[5 apples]) + rate(x[", Duration::ZERO),
            ("rate(x[99999999999999999999w])", Duration::ZERO),
        ] {
            assert_eq!(looks_back(query), back, "{query}");
        }
    }
}
