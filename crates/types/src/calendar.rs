//! Days since 1970 and back, in UTC.

use crate::WallMs;

const DAY_MS: u64 = 86_400_000;

/// The last millisecond of `2026-11-30` in UTC; `None` if the text is no such date.
#[must_use]
pub fn end_of_day(text: &str) -> Option<WallMs> {
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let part = parts.next()?;
        let digits = part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let days = days(year, month, day).filter(|_| parts.next().is_none())?;
    Some(WallMs((days + 1) * DAY_MS - 1))
}

/// Days from 1970-01-01 to a date; `None` if it is no date or before 1970.
#[must_use]
pub fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = *lengths.get(index)?;
    if !(1970..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let before = year - 1;
    let leaps = before / 4 - before / 100 + before / 400 - 477;
    let months: u64 = lengths.iter().take(index).sum();
    Some((year - 1970) * 365 + leaps + months + day - 1)
}

/// `2026-11-30` of an instant.
#[must_use]
pub fn date(at: WallMs) -> String {
    let wanted = at.0 / DAY_MS;
    // The year by division may be one too late.
    let year = 1970 + wanted / 365;
    let start = |year: u64| days(year, 1, 1).filter(|start| *start <= wanted);
    let Some(year) = (1970..=year.min(9999)).rev().find(|year| start(*year).is_some()) else {
        return "9999-12-31".to_owned();
    };
    let month = (1..=12).rev().find(|m| days(year, *m, 1).is_some_and(|it| it <= wanted));
    let month = month.unwrap_or(1);
    let day = wanted - days(year, month, 1).unwrap_or(wanted) + 1;
    format!("{year:04}-{month:02}-{:02}", day.min(31))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dates_are_dates() {
        for bad in ["", "2026", "2026-1-1", "2026-11-31", "2026-11-30-", "26-11-30", "+026-11-30"] {
            assert_eq!(end_of_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_counted_as_calendars_do() {
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(2000, 3, 1), Some(11_017));
        assert_eq!(days(2026, 11, 26), Some(20_783));
        for (year, month, day) in [(1969, 12, 31), (2026, 2, 29), (2026, 13, 1), (2026, 0, 1)] {
            assert_eq!(days(year, month, day), None);
        }
        for day in [0, 58, 59, 11_016, 20_783, 47_540] {
            let text = date(WallMs(day * DAY_MS + 5));
            assert_eq!(end_of_day(&text), Some(WallMs((day + 1) * DAY_MS - 1)));
            let parts: Vec<u64> = text.split('-').map(|part| part.parse().unwrap()).collect();
            assert_eq!(days(parts[0], parts[1], parts[2]), Some(day), "{text}");
        }
    }
}
