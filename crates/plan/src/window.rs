//! When a phase may begin. Calendar arithmetic on the time zones compiled in: no clock, no file.

use changeover_types::WallMs;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use serde::{Serialize, Serializer};

/// Some days, some hours, somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The days on which it opens; never empty.
    #[serde(serialize_with = "day_names")]
    pub days: Vec<Weekday>,
    /// When it opens.
    pub from: Time,
    /// When it closes; not after `from` means on the next day.
    pub to: Time,
    /// The zone's name, which is known.
    pub zone: String,
}

/// One time that a window is open, its end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// Since when.
    pub opens: WallMs,
    /// Until when.
    pub closes: WallMs,
}

impl Window {
    /// The opening that is, or else the next. An hour that a change of the clocks leaves out opens
    /// when the clocks go on.
    #[must_use]
    pub fn opening(&self, now: WallMs) -> Opening {
        // No opening for a week and two days is a calendar at its end: the zone was checked.
        self.find(now).unwrap_or(Opening { opens: WallMs(u64::MAX), closes: WallMs(u64::MAX) })
    }

    fn find(&self, now: WallMs) -> Option<Opening> {
        let zone = zone(&self.zone)?;
        let now_there = Timestamp::from_millisecond(i64::try_from(now.0).ok()?).ok()?;
        let mut date = now_there.to_zoned(zone.clone()).date().yesterday().ok()?;
        for _ in 0..10 {
            if self.days.contains(&date.weekday()) {
                let next = if self.to > self.from { date } else { date.tomorrow().ok()? };
                let opens = instant_at(date, self.from, &zone)?;
                let closes = instant_at(next, self.to, &zone)?;
                if closes > opens && closes > now {
                    return Some(Opening { opens, closes });
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }
}

/// A zone of the compiled-in database.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

fn instant_at(date: Date, time: Time, zone: &TimeZone) -> Option<WallMs> {
    let there = date.to_datetime(time).to_zoned(zone.clone()).ok()?;
    Some(WallMs(u64::try_from(there.timestamp().as_millisecond()).ok()?))
}

/// `2026-12-13T05:00:00+01:00`.
pub(crate) fn instant(text: &str) -> Option<WallMs> {
    let at: Timestamp = text.parse().ok()?;
    Some(WallMs(u64::try_from(at.as_millisecond()).ok()?))
}

/// An instant as people and programs read it: RFC 3339, UTC, to the second.
#[must_use]
pub fn show_instant(at: WallMs) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|ms| Timestamp::from_second(ms / 1000).ok())
        .map_or_else(|| "never".to_owned(), |time| time.to_string())
}

/// `mon` to `sun`.
pub(crate) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

fn day_names<S: Serializer>(days: &[Weekday], serializer: S) -> Result<S::Ok, S::Error> {
    let name = |day: &Weekday| DAYS.iter().find(|(_, it)| it == day).map(|(name, _)| *name);
    serializer.collect_seq(days.iter().filter_map(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallMs {
        instant(text).unwrap()
    }

    fn window(days: &[Weekday], from: &str, to: &str, zone: &str) -> Window {
        let time = |text: &str| text.parse().unwrap();
        Window { days: days.to_vec(), from: time(from), to: time(to), zone: zone.to_owned() }
    }

    fn opening(window: &Window, now: &str) -> (String, String) {
        let found = window.opening(at(now));
        (show_instant(found.opens), show_instant(found.closes))
    }

    #[test]
    fn the_present_opening_or_the_next() {
        let nights =
            window(&[Weekday::Saturday, Weekday::Sunday], "01:00", "05:00", "Europe/Berlin");
        let saturday = ("2026-12-12T00:00:00Z".to_owned(), "2026-12-12T04:00:00Z".to_owned());
        let sunday = ("2026-12-13T00:00:00Z".to_owned(), "2026-12-13T04:00:00Z".to_owned());
        assert_eq!(opening(&nights, "2026-12-09T12:00:00Z"), saturday);
        assert_eq!(opening(&nights, "2026-12-12T00:00:00Z"), saturday);
        assert_eq!(opening(&nights, "2026-12-12T03:59:59Z"), saturday);
        assert_eq!(opening(&nights, "2026-12-12T04:00:00Z"), sunday);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
        let friday = window(&[Weekday::Friday], "22:00", "04:00", "UTC");
        let night = ("2026-12-11T22:00:00Z".to_owned(), "2026-12-12T04:00:00Z".to_owned());
        assert_eq!(opening(&friday, "2026-12-12T03:00:00Z"), night);
        assert_eq!(opening(&friday, "2026-12-12T04:00:00Z").0, "2026-12-18T22:00:00Z");
    }

    #[test]
    fn an_hour_that_the_clocks_leave_out() {
        // On 29 March 2026 Berlin goes from 02:00 to 03:00.
        let sunday = window(&[Weekday::Sunday], "02:30", "05:00", "Europe/Berlin");
        let found = opening(&sunday, "2026-03-28T12:00:00Z");
        assert_eq!(found, ("2026-03-29T01:30:00Z".to_owned(), "2026-03-29T03:00:00Z".to_owned()));
        let inside = window(&[Weekday::Sunday], "02:00", "02:59", "Europe/Berlin");
        let (opens, closes) = opening(&inside, "2026-03-28T12:00:00Z");
        assert!(opens < closes, "{opens} {closes}");
    }

    #[test]
    fn the_end_of_the_calendar_is_no_panic() {
        let every = window(&[Weekday::Monday], "01:00", "02:00", "Asia/Kathmandu");
        assert_eq!(every.opening(WallMs(u64::MAX)).opens, WallMs(u64::MAX));
        assert_eq!(show_instant(WallMs(u64::MAX)), "never");
    }
}
