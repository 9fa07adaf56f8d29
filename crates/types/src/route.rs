//! Routes of an HTTP gate: which requests they take, and which share of them goes to the target.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Side;

/// A route's name: 1 to 40 characters of `a-z`, `0-9`, `_` and `-`, the first a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteName(String);

/// Why a text is not a [`RouteName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a route's name: use 1 to 40 of a-z, 0-9, _ and -, starting with a letter")]
pub struct InvalidRouteName(pub String);

impl RouteName {
    /// Checks and takes the name.
    ///
    /// # Errors
    /// If the text is empty, too long, or holds another character.
    pub fn new(text: &str) -> Result<RouteName, InvalidRouteName> {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if first && text.len() <= 40 && text.bytes().all(word) {
            Ok(RouteName(text.to_owned()))
        } else {
            Err(InvalidRouteName(text.to_owned()))
        }
    }

    /// What no route takes. The name is reserved for it.
    #[must_use]
    pub fn rest() -> RouteName {
        RouteName("rest".to_owned())
    }

    /// Whether it is [`RouteName::rest`].
    #[must_use]
    pub fn is_rest(&self) -> bool {
        self.0 == "rest"
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RouteName {
    type Error = InvalidRouteName;
    fn try_from(text: String) -> Result<Self, InvalidRouteName> {
        RouteName::new(&text)
    }
}

impl From<RouteName> for String {
    fn from(name: RouteName) -> String {
        name.0
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path of a route: exactly this one, or, if it ends in `/`, everything that begins with it.
///
/// It is compared byte by byte with the path as the client sent it: nothing is decoded and neither
/// `..` nor `//` is resolved, for the gate cannot know how the service reads them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathRule(String);

impl PathRule {
    /// A path that begins with `/` and is written as clients write it: no `?`, `#`, blank or
    /// control character; `None` otherwise.
    #[must_use]
    pub fn new(text: &str) -> Option<PathRule> {
        let sound = |b: u8| b.is_ascii_graphic() && b != b'?' && b != b'#';
        (text.starts_with('/') && text.bytes().all(sound)).then(|| PathRule(text.to_owned()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it takes everything that begins with it.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        self.0.ends_with('/')
    }

    /// Whether it takes this path, given without its query.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        if self.is_prefix() { path.starts_with(&self.0) } else { path == self.0 }
    }

    /// Whether it takes every path that `other` takes.
    #[must_use]
    pub fn takes_all_of(&self, other: &PathRule) -> bool {
        if other.is_prefix() && !self.is_prefix() { false } else { self.takes(&other.0) }
    }
}

/// Which requests a route takes: those for which everything that is given holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteRule {
    /// What steps call it.
    pub name: RouteName,
    /// The host that is asked, without a port; any if `None`. Letters of either case are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The methods; any if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The paths; any if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathRule>,
}

impl RouteRule {
    /// Whether it takes a request: host as in `Host` (with or without a port), method and path
    /// (without its query) as the client sent them.
    #[must_use]
    pub fn takes(&self, host: Option<&str>, method: &str, path: &str) -> bool {
        let hosts = self.host.as_ref().is_none_or(|wanted| {
            host.is_some_and(|host| without_port(host).eq_ignore_ascii_case(wanted))
        });
        hosts
            && (self.methods.is_empty() || self.methods.iter().any(|it| it == method))
            && (self.paths.is_empty() || self.paths.iter().any(|it| it.takes(path)))
    }

    /// Whether it takes every request that a route with this host, one of its methods and one of
    /// its paths takes; `None` is any of them.
    #[must_use]
    pub fn takes_all_of(
        &self,
        host: Option<&str>,
        method: Option<&str>,
        path: Option<&PathRule>,
    ) -> bool {
        let hosts = self.host.as_deref().is_none_or(|mine| host == Some(mine));
        let methods = self.methods.is_empty()
            || method.is_some_and(|method| self.methods.iter().any(|it| it == method));
        let paths = self.paths.is_empty()
            || path.is_some_and(|path| self.paths.iter().any(|it| it.takes_all_of(path)));
        hosts && methods && paths
    }
}

/// `shop.example.com.:8080` is `shop.example.com`.
fn without_port(host: &str) -> &str {
    let is_port = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// The target's share of some requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// In tenths of a per cent: 0 to 1000.
    pub target_permille: u16,
    /// Mixed into the draw of a client that keeps its side: with another one other clients go to
    /// the target. It grows from canary to canary; 0 where there was none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub salt: u64,
}

/// How the routes of a gate differ from the one share that holds for all others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The [`Share::salt`] of whatever has no share of its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub salt: u64,
    /// Routes (and the rest) that a step of their own has moved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<RouteName, Share>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Split {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.salt == 0 && self.own.is_empty()
    }

    /// A route's share, where all that is not moved by itself has `target_permille`.
    #[must_use]
    pub fn share_of(&self, route: &RouteName, target_permille: u16) -> Share {
        let common = Share { target_permille, salt: self.salt };
        self.own.get(route).copied().unwrap_or(common)
    }

    /// The highest share that anything has.
    #[must_use]
    pub fn highest(&self, target_permille: u16) -> u16 {
        let own = self.own.values().map(|share| share.target_permille);
        own.fold(target_permille, u16::max)
    }

    /// The share with which everything goes to this side.
    #[must_use]
    pub fn whole(&self, to: Side) -> Share {
        match to {
            Side::Source => Share::default(),
            Side::Target => Share { target_permille: 1000, salt: self.salt },
        }
    }

    /// Gives a share to a route, or without one to all others: to what no step of its own has
    /// moved. Only the whole and nothing are for everything. `target_permille` is the common share.
    pub fn set(&mut self, route: Option<&RouteName>, share: Share, target_permille: &mut u16) {
        if let Some(route) = route {
            self.own.insert(route.clone(), share);
            return;
        }
        if matches!(share.target_permille, 0 | 1000) {
            self.own.clear();
        }
        self.salt = share.salt;
        *target_permille = share.target_permille;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, host: Option<&str>, methods: &[&str], paths: &[&str]) -> RouteRule {
        RouteRule {
            name: RouteName::new(name).unwrap(),
            host: host.map(str::to_owned),
            methods: methods.iter().map(|it| (*it).to_owned()).collect(),
            paths: paths.iter().map(|it| PathRule::new(it).unwrap()).collect(),
        }
    }

    #[test]
    fn a_path_is_exact_unless_it_ends_in_a_slash() {
        let exact = PathRule::new("/search").unwrap();
        assert!(exact.takes("/search"));
        for other in ["/search/", "/search/x", "/Search", "/%73earch", "//search", "/x/../search"] {
            assert!(!exact.takes(other), "{other}");
        }
        let prefix = PathRule::new("/products/").unwrap();
        for inside in ["/products/", "/products/1", "/products/../search", "/products//x"] {
            assert!(prefix.takes(inside), "{inside}");
        }
        for outside in ["/products", "/productsx/", "/product/s/", "/"] {
            assert!(!prefix.takes(outside), "{outside}");
        }
        assert!(PathRule::new("/").unwrap().takes("/anything"));
        assert!(!PathRule::new("/").unwrap().takes("*"));
        for bad in ["", "search", "/a b", "/a?b", "/a#b", "/ä", "*"] {
            assert_eq!(PathRule::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn everything_that_is_given_must_hold() {
        let rule = rule("r", Some("shop.example.com"), &["GET", "HEAD"], &["/a", "/b/"]);
        let host = Some("Shop.Example.COM:8080");
        assert!(rule.takes(host, "GET", "/a") && rule.takes(host, "HEAD", "/b/c"));
        assert!(rule.takes(Some("shop.example.com."), "GET", "/a"));
        for (host, method, path) in [
            (None, "GET", "/a"),
            (Some("example.com"), "GET", "/a"),
            (host, "get", "/a"),
            (host, "POST", "/a"),
            (host, "GET", "/b"),
        ] {
            assert!(!rule.takes(host, method, path), "{host:?} {method} {path}");
        }
    }

    #[test]
    fn the_whole_and_nothing_are_for_everything() {
        let name = |text| RouteName::new(text).unwrap();
        let share = |target_permille, salt| Share { target_permille, salt };
        let (mut split, mut common) = (Split::default(), 0);
        split.set(Some(&name("search")), share(500, 1), &mut common);
        split.set(None, share(100, 2), &mut common);
        assert_eq!(split.share_of(&name("search"), common), share(500, 1));
        assert_eq!(split.share_of(&name("other"), common), share(100, 2));
        assert_eq!(split.share_of(&RouteName::rest(), common), share(100, 2));
        assert_eq!(split.highest(common), 500);
        split.set(None, share(1000, 2), &mut common);
        assert_eq!(split.share_of(&name("search"), common), share(1000, 2));
        split.set(Some(&RouteName::rest()), share(700, 3), &mut common);
        split.set(None, share(0, 0), &mut common);
        assert!(split.is_plain() && common == 0);
    }

    #[test]
    fn a_plain_split_is_nothing_on_the_wire() {
        assert_eq!(serde_json::to_string(&Split::default()).unwrap(), "{}");
        let rule = rule("r", None, &[], &["/a/"]);
        assert_eq!(serde_json::to_string(&rule).unwrap(), r#"{"name":"r","paths":["/a/"]}"#);
        assert!(serde_json::from_str::<RouteName>("\"No\"").is_err());
    }
}
