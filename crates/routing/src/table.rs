//! Which route a request belongs to: the first one that takes it, else the rest.

use changeover_types::{RouteName, RouteRule, Share, Split};

/// The routes of a gate, in their order. Without any, every request is of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    rules: Vec<RouteRule>,
}

impl RouteTable {
    /// The routes in the order in which they are asked.
    #[must_use]
    pub fn new(rules: Vec<RouteRule>) -> RouteTable {
        RouteTable { rules }
    }

    /// The routes, without the rest.
    #[must_use]
    pub fn rules(&self) -> &[RouteRule] {
        &self.rules
    }

    /// How many there are, the rest among them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rules.len() + 1
    }

    /// Where the rest stands: after all others.
    #[must_use]
    pub fn rest(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is anything to choose from.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.rules.is_empty()
    }

    /// The place of the route that takes a request: host (as in `Host`), method and path (without
    /// its query) as the client sent them.
    #[must_use]
    pub fn choose(&self, host: Option<&str>, method: &str, path: &str) -> usize {
        let first = self.rules.iter().position(|rule| rule.takes(host, method, path));
        first.unwrap_or(self.rest())
    }

    /// The place of a route by its name.
    #[must_use]
    pub fn place_of(&self, name: &RouteName) -> Option<usize> {
        if name.is_rest() {
            return Some(self.rest());
        }
        self.rules.iter().position(|rule| rule.name == *name)
    }

    /// The names in their order, the rest last.
    pub fn names(&self) -> impl Iterator<Item = RouteName> + '_ {
        self.rules.iter().map(|rule| rule.name.clone()).chain([RouteName::rest()])
    }

    /// Each one's share, in their order, the rest's last.
    #[must_use]
    pub fn shares(&self, split: &Split, target_permille: u16) -> Vec<Share> {
        self.names().map(|name| split.share_of(&name, target_permille)).collect()
    }

    /// The first route that has a share of its own and is not among these.
    #[must_use]
    pub fn missing<'a>(&self, split: &'a Split) -> Option<&'a RouteName> {
        split.own.keys().find(|name| self.place_of(name).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use changeover_types::PathRule;
    use proptest::prelude::*;

    /// Paths over few letters, so that rules and requests meet.
    fn path() -> impl Strategy<Value = String> {
        "(/[ab.]{0,2}){1,3}/?"
    }

    fn rule() -> impl Strategy<Value = RouteRule> {
        let paths = proptest::collection::vec(path(), 0..3);
        let methods = proptest::collection::vec(prop_oneof![Just("GET"), Just("POST")], 0..2);
        let host = proptest::option::of(prop_oneof![Just("a.example"), Just("b.example")]);
        ("[a-z]{3}", host, methods, paths).prop_map(|(name, host, methods, paths)| RouteRule {
            name: RouteName::new(&name).unwrap(),
            host: host.map(str::to_owned),
            methods: methods.into_iter().map(str::to_owned).collect(),
            paths: paths.iter().map(|it| PathRule::new(it).unwrap()).collect(),
        })
    }

    /// Said again, by splitting into segments instead of comparing bytes.
    fn naive(rule: &str, path: &str) -> bool {
        let (rule, path): (Vec<_>, Vec<_>) = (rule.split('/').collect(), path.split('/').collect());
        match rule.split_last() {
            Some((&"", folder)) => path.len() > folder.len() && path.starts_with(folder),
            _ => rule == path,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn exactly_one_route_is_chosen_and_it_is_the_first_that_takes_the_request(
            rules in proptest::collection::vec(rule(), 0..5),
            path in path(),
            method in prop_oneof![Just("GET"), Just("POST"), Just("PUT")],
            host in proptest::option::of(prop_oneof![Just("a.example:80"), Just("c.example")]),
        ) {
            let takes = |rule: &RouteRule| {
                let hosts = rule.host.as_ref().is_none_or(|it| host.is_some_and(|h| h.starts_with(&**it)));
                hosts
                    && (rule.methods.is_empty() || rule.methods.contains(&method.to_owned()))
                    && (rule.paths.is_empty() || rule.paths.iter().any(|it| naive(it.as_str(), &path)))
            };
            let table = RouteTable::new(rules.clone());
            let chosen = table.choose(host, method, &path);
            prop_assert!(chosen <= rules.len() && table.count() == rules.len() + 1);
            prop_assert_eq!(rules.iter().position(takes), rules.get(chosen).map(|_| chosen));
        }

        #[test]
        fn what_an_earlier_route_takes_whole_never_comes_to_a_later_one(
            first in rule(), second in rule(), path in path(),
        ) {
            let (host, method) = (second.host.as_deref(), second.methods.first().map(|it| &**it));
            let mut paths = second.paths.iter().map(Some).chain([None].into_iter().filter(|_| second.paths.is_empty()));
            let dead = paths.all(|path| first.takes_all_of(host, method, path));
            // With one method at most, a route is dead exactly if none of its requests come to it.
            if dead && second.methods.len() < 2 && second.takes(host, method.unwrap_or("PUT"), &path) {
                let table = RouteTable::new(vec![first, second.clone()]);
                prop_assert_eq!(table.choose(second.host.as_deref(), second.methods.first().map_or("PUT", |it| it), &path), 0);
            }
        }
    }

    #[test]
    fn without_routes_everything_is_of_the_rest() {
        let table = RouteTable::default();
        assert_eq!((table.choose(None, "GET", "/x"), table.count(), table.rest()), (0, 1, 0));
        assert_eq!(table.names().collect::<Vec<_>>(), [RouteName::rest()]);
    }
}
