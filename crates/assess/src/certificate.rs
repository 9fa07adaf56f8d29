//! The two facts of an X.509 certificate that people forget: its end and its names.

use changeover_types::WallMs;

/// Subject alternative names, 2.5.29.17.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERAL_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// The end and the names (DNS names and addresses) of a certificate in DER; `None` if it is none.
/// Nothing is verified.
#[must_use]
pub fn read(der: &[u8]) -> Option<(WallMs, Vec<String>)> {
    let certificate = Der(der).take(SEQUENCE)?.0;
    let mut fields = Der(certificate).take(SEQUENCE).map(|(body, _)| Der(body))?;
    // Version, serial number, algorithm, issuer, validity, subject, key, and what follows.
    if fields.tag() == Some(VERSION) {
        fields = fields.skip()?;
    }
    let (validity, rest) = fields.skip()?.skip()?.skip()?.take(SEQUENCE)?;
    let not_after = time(Der(validity).skip()?)?;
    let mut rest = rest.skip()?.skip()?;
    let mut names = Vec::new();
    while let Some(tag) = rest.tag() {
        let (body, next) = rest.take(tag)?;
        if tag == EXTENSIONS {
            names = alternative_names(Der(body).take(SEQUENCE)?.0)?;
        }
        rest = next;
    }
    Some((not_after, names))
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = Der(extensions);
    while rest.tag().is_some() {
        let (extension, next) = rest.take(SEQUENCE)?;
        rest = next;
        let (oid, mut value) = Der(extension).take(OID)?;
        if oid != ALTERNATIVE_NAMES {
            continue;
        }
        // Whether it is critical may stand in between.
        if value.tag() != Some(OCTETS) {
            value = value.skip()?;
        }
        let mut each = Der(Der(value.take(OCTETS)?.0).take(SEQUENCE)?.0);
        while let Some(tag) = each.tag() {
            let (name, next) = each.take(tag)?;
            each = next;
            match (tag, name) {
                (DNS_NAME, name) => names.push(String::from_utf8_lossy(name).into_owned()),
                (IP_ADDRESS, [a, b, c, d]) => names.push(format!("{a}.{b}.{c}.{d}")),
                (IP_ADDRESS, v6) => {
                    let v6: [u8; 16] = v6.try_into().ok()?;
                    names.push(std::net::Ipv6Addr::from(v6).to_string());
                }
                _ => {}
            }
        }
    }
    Some(names)
}

/// A row of elements.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn tag(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The first element, if it has this tag, and what follows it.
    fn take(self, tag: u8) -> Option<(&'a [u8], Der<'a>)> {
        let [first, length, rest @ ..] = self.0 else { return None };
        if *first != tag {
            return None;
        }
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                (bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (body, rest) = rest.split_at_checked(length)?;
        Some((body, Der(rest)))
    }

    fn skip(self) -> Option<Der<'a>> {
        Some(self.take(self.tag()?)?.1)
    }
}

/// `YYMMDDHHMMSSZ` (50 and above are of the last century) or `YYYYMMDDHHMMSSZ`.
fn time(at: Der<'_>) -> Option<WallMs> {
    let tag = at.tag()?;
    let (text, _) = at.take(tag)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME if text.len() == 12 => {
            let year: u64 = text.get(..2)?.parse().ok()?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, text.get(2..)?)
        }
        GENERAL_TIME if text.len() == 14 => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let days = changeover_types::calendar::days(year, part(0)?, part(2)?)?;
    let seconds = part(4)? * 3_600 + part(6)? * 60 + part(8)?;
    Some(WallMs((days * 86_400 + seconds) * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_and_the_names_are_read() {
        let (end, names) = read(include_bytes!("certificate/ended.der")).unwrap();
        assert_eq!(end, WallMs(1_609_502_400_000), "2021-01-01T12:00:00Z");
        assert_eq!(names, ["old.example", "www.old.example"]);
        // Past 2049 the other form of time is used.
        let (end, names) = read(include_bytes!("certificate/localhost.der")).unwrap();
        assert_eq!(changeover_types::calendar::date(end), "2126-11-02");
        assert_eq!(names, ["localhost", "127.0.0.1", "::1"]);
    }

    #[test]
    fn what_is_cut_off_or_changed_is_no_panic() {
        let whole = include_bytes!("certificate/localhost.der");
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.to_vec();
                changed[at] = byte;
                assert!(read(&changed).is_none_or(|(_, names)| names.len() < 100));
            }
        }
    }
}
