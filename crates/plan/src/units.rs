//! Numbers with units, as people write them.

use std::time::Duration;

/// `500ms`, `10s`, `5m`, `24h`, `3d`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(unit_ms)?))
}

/// A duration as [`duration`] reads it, in the largest unit without a rest.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        .iter()
        .find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(*unit_ms))
        .map_or_else(|| format!("{ms}ms"), |(unit, unit_ms)| format!("{}{unit}", ms / unit_ms))
}

/// `500kB`, `200GB` (powers of ten), `8GiB` (powers of two).
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let size: u64 = match unit {
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(size)
}

/// `0.1%` as 0.001; 0 % to 100 %.
pub(crate) fn percentage(text: &str) -> Option<f64> {
    let number = decimal(text.strip_suffix('%')?)?;
    (number <= 100.0).then_some(number / 100.0)
}

/// 0.001 as `0.1 %`, without the noise of binary fractions.
#[must_use]
pub fn show_percentage(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `5%`, `0.5%`: tenths of a per cent, 0 to 1000.
pub(crate) fn permille(text: &str) -> Option<u16> {
    let number = text.strip_suffix('%')?;
    let (whole, tenths) = match number.split_once('.') {
        Some((whole, tenths)) if tenths.len() == 1 => (whole, tenths.parse::<u16>().ok()?),
        Some(_) => return None,
        None => (number, 0),
    };
    let all_digits = !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit());
    let whole: u16 = if all_digits { whole.parse().ok()? } else { return None };
    let permille = whole.checked_mul(10)?.checked_add(tenths)?;
    (permille <= 1000).then_some(permille)
}

/// Tenths of a per cent as [`permille`] reads them.
pub(crate) fn show_permille(permille: u16) -> String {
    match permille % 10 {
        0 => format!("{}%", permille / 10),
        tenths => format!("{}.{tenths}%", permille / 10),
    }
}

/// `1.5x`, above 0 and at most 1000.
pub(crate) fn ratio(text: &str) -> Option<f64> {
    let number = decimal(text.strip_suffix('x')?)?;
    (number > 0.0 && number <= 1000.0).then_some(number)
}

/// `200/s` or `30/m`, as requests a second.
pub(crate) fn rate(text: &str) -> Option<f64> {
    let (number, seconds) = match text.strip_suffix("/s") {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix("/m")?, 60.0),
    };
    let rate = decimal(number)? / seconds;
    (0.01..=100_000.0).contains(&rate).then_some(rate)
}

/// An amount of money: `12.50`.
pub(crate) fn amount(text: &str) -> Option<f64> {
    decimal(text)
}

/// `500MB`, `20GB`: powers of 1000, in bytes.
pub(crate) fn size(text: &str) -> Option<f64> {
    let units = [("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("B", 1.0)];
    let (number, unit) = units.iter().find_map(|(u, n)| Some((text.strip_suffix(u)?, n)))?;
    Some(decimal(number)? * unit)
}

/// Bytes as [`size`] reads them.
pub(crate) fn show_size(bytes: f64) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let large = units.iter().find(|(_, unit)| bytes >= *unit);
    large.map_or_else(|| format!("{bytes:.0} B"), |(u, unit)| format!("{:.1} {u}", bytes / unit))
}

/// `0.8`, `-3`, or `80%` as 0.8.
pub(crate) fn number(text: &str) -> Option<f64> {
    let (sign, rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let value = match rest.strip_suffix('%') {
        Some(percent) => decimal(percent)? / 100.0,
        None => decimal(rest)?,
    };
    Some(sign * value)
}

/// Digits with at most one point: no sign, exponent, infinity or NaN.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let bounded = text.len() <= 12 && text.starts_with(|c: char| c.is_ascii_digit());
    if plain && bounded { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Some(Duration::from_secs(10)));
        assert_eq!(duration("3d"), Some(Duration::from_secs(259_200)));
        for bad in ["", "5", "s", "1.5s", "-1s", "5 s", "5min", "99999999999999999999d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        for text in ["500ms", "1s", "90s", "5m", "3h", "2d"] {
            assert_eq!(duration(text).map(show_duration).as_deref(), Some(text));
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("200GB"), Some(200_000_000_000));
        assert_eq!(bytes("8GiB"), Some(8 << 30));
        for bad in ["", "5", "GB", "1.5GB", "5gb", "5 GB", "99999999999TB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(permille("5%"), Some(50));
        assert_eq!(permille("0.5%"), Some(5));
        assert_eq!(permille("100%"), Some(1000));
        for bad in ["", "%", "5", "0.05%", "100.1%", "-1%", "+1%", ".5%", "1.%", "1e1%"] {
            assert_eq!(permille(bad), None, "{bad}");
        }
        assert_eq!(show_permille(5), "0.5%");
        assert_eq!(percentage("0.1%"), Some(0.001));
        assert_eq!(percentage("101%"), None);
        assert_eq!(ratio("1.5x"), Some(1.5));
        assert_eq!((rate("200/s"), rate("30/m")), (Some(200.0), Some(0.5)));
        for bad in ["200", "0/s", "/s", "1/h", "1e9/s"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
        assert_eq!(ratio("1.5"), None);
        assert_eq!(ratio("infx"), None);
    }

    #[test]
    fn sizes_and_numbers() {
        assert_eq!(size("500MB"), Some(5e8));
        assert_eq!(size("1.5GB"), Some(1.5e9));
        assert_eq!(size("12B"), Some(12.0));
        for bad in ["", "5", "GB", "-1GB", "5 GB", "5GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(show_size(1.5e9), "1.5 GB");
        assert_eq!(show_size(12.0), "12 B");
        assert_eq!(number("80%"), Some(0.8));
        assert_eq!(number("-3"), Some(-3.0));
        for bad in ["", "-", "%", "1e5", "NaN", "inf", "--1"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
