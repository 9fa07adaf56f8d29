//! The cookie that keeps a client on its side.

use changeover_routing::{salted, side_for, sticky_hash};
use changeover_types::{Share, Side};
use http::header::{self, HeaderMap, HeaderValue};

/// How long a client keeps the cookie: longer than a canary lasts, shorter than it annoys.
const MAX_AGE_SECONDS: u32 = 7 * 24 * 3600;

/// Who a request comes from, for the split.
#[derive(Debug)]
pub(super) struct Key {
    hash: u64,
    /// What to give to a client that had none.
    pub(super) set_cookie: Option<HeaderValue>,
}

impl Key {
    /// The key of a request: its cookie's value, or a fresh random one.
    pub(super) fn of(headers: &HeaderMap, cookie: Option<&str>) -> Key {
        let Some(cookie) = cookie else {
            return Key { hash: rand::random(), set_cookie: None };
        };
        if let Some(value) = find(headers, cookie) {
            return Key { hash: sticky_hash(value), set_cookie: None };
        }
        let value = format!("{:016x}", rand::random::<u64>());
        let text =
            format!("{cookie}={value}; Path=/; Max-Age={MAX_AGE_SECONDS}; HttpOnly; SameSite=Lax");
        Key { hash: sticky_hash(value.as_bytes()), set_cookie: HeaderValue::try_from(text).ok() }
    }

    /// Stands for the user; a fresh one without a cookie.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn side(&self, share: Share) -> Side {
        side_for(salted(self.hash, share.salt), share.target_permille)
    }
}

fn find<'a>(headers: &'a HeaderMap, cookie: &str) -> Option<&'a [u8]> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b';'))
        .find_map(|pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(cookie.as_bytes())?.strip_prefix(b"=")?;
            (!value.is_empty()).then_some(value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("xside=1; sideways=2"));
        assert_eq!(find(&headers, "side"), None);
        headers.append(header::COOKIE, HeaderValue::from_static("a=b;side=abc; c=d"));
        assert_eq!(find(&headers, "side"), Some(&b"abc"[..]));
    }

    #[test]
    fn a_minted_cookie_leads_back_to_the_same_side() {
        for _ in 0..200 {
            let minted = Key::of(&HeaderMap::new(), Some("side"));
            let set = minted.set_cookie.as_ref().unwrap().to_str().unwrap().to_owned();
            let mut headers = HeaderMap::new();
            let pair = set.split(';').next().unwrap();
            headers.insert(header::COOKIE, HeaderValue::from_str(pair).unwrap());
            let returning = Key::of(&headers, Some("side"));
            assert!(returning.set_cookie.is_none());
            let share = Share { target_permille: 500, salt: 7 };
            assert_eq!(returning.side(share), minted.side(share));
        }
    }
}
