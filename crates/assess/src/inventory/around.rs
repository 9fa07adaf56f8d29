//! What files, hosts and orchestrators tell about the surroundings of a move.

use std::collections::{BTreeMap, BTreeSet};

use changeover_types::WallMs;
use serde::{Deserialize, Serialize};

use crate::fact::Fact;
use crate::hints::{Hint, HintKind};
use crate::map::{Discovery, Evidence, Kind, Map, Relation, SourceKind, Unread};

/// A name that is remembered for longer moves slowly.
const TTL_S: u64 = 300;
/// A connection that may live longer is never renewed while a move runs.
const LONG_LIVED_S: u64 = 3_600;
/// A request that may take longer outlasts draining.
const DRAIN_MS: u64 = 30_000;

/// Something that was seen, and where: `WORKER_CRON=1` in `compose.yaml:12`. No secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// What.
    pub what: String,
    /// A file and line, or a host and process.
    pub place: String,
}

/// Each list is what was seen; an empty one means that somebody looked and there is none. What
/// nobody looked at is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Around {
    /// Hosts or addresses of the old side, written into configuration.
    pub hard_coded: Fact<Vec<Sighting>>,
    /// Volumes and folders in which services keep state of their own.
    pub local_state: Fact<Vec<Sighting>>,
    /// Workers, timers and cron jobs that would run on both sides.
    pub workers: Fact<Vec<Sighting>>,
    /// Caches and queues that services share.
    pub shared_stores: Fact<Vec<Sighting>>,
    /// Resources of a pipeline (Terraform, CloudFormation) that decide where traffic goes.
    pub switch_owners: Fact<Vec<Sighting>>,
    /// Autoscalers that may shrink a side, with their minimum.
    pub autoscalers: Fact<Vec<Sighting>>,
    /// Passwords and tokens in clear text: the name and the place, never the value.
    pub credentials: Fact<Vec<Sighting>>,
    /// Calls to parties outside, which may have allow-lists.
    pub third_parties: Fact<Vec<Sighting>>,
    /// Upstreams or databases of either side that no metrics are gathered of.
    pub unmonitored: Fact<Vec<Sighting>>,
    /// Services whose version differs between the sides.
    pub version_differences: Fact<Vec<Sighting>>,
    /// Names that clients remember for long.
    pub slow_names: Fact<Vec<Sighting>>,
    /// Limits that let a request take longer than draining does.
    pub long_requests: Fact<Vec<Sighting>>,
    /// Services that were read whole and have no health check.
    pub without_health: Fact<Vec<Sighting>>,
    /// Connections that live long.
    pub long_lived: Fact<Vec<Sighting>>,
}

impl Default for Around {
    fn default() -> Self {
        Around {
            hard_coded: Fact::unasked(),
            local_state: Fact::unasked(),
            workers: Fact::unasked(),
            shared_stores: Fact::unasked(),
            switch_owners: Fact::unasked(),
            autoscalers: Fact::unasked(),
            credentials: Fact::unasked(),
            third_parties: Fact::unasked(),
            unmonitored: Fact::unasked(),
            version_differences: Fact::unasked(),
            slow_names: Fact::unasked(),
            long_requests: Fact::unasked(),
            without_health: Fact::unasked(),
            long_lived: Fact::unasked(),
        }
    }
}

impl Around {
    /// What discovery found, sorted by what the checks ask. A list of which nothing was found is
    /// empty only if a source that would show it was read, and all of it; else it is unknown.
    #[must_use]
    pub fn of(map: &Map, found: &Discovery, at: WallMs) -> Around {
        use SourceKind::{
            Compose, Haproxy, Kubernetes, Nginx, Processes, Prometheus, Resolver, Systemd,
            Terraform,
        };
        let mut lists = Lists::default();
        for hint in &found.hints {
            lists.take(hint, map);
        }
        lists.take_nodes(map, found.read.values().any(|kind| *kind == Prometheus));
        let version_differences = lists.version_differences(at);
        let fact = |mut list: Vec<Sighting>, kinds: &[SourceKind]| {
            list.sort();
            list.dedup();
            if !list.is_empty() {
                return Fact::known(list, "discovery", at);
            }
            if !found.read.values().any(|kind| kinds.contains(kind)) {
                return Fact::unasked();
            }
            let matters = |unread: &&Unread| {
                found.read.get(&unread.source).is_none_or(|kind| kinds.contains(kind))
            };
            match found.unread.iter().find(matters) {
                Some(unread) => {
                    Fact::unknown(format!("{}: {}", unread.source, unread.why), "discovery", at)
                }
                None => Fact::known(list, "discovery", at),
            }
        };
        let own = [Compose, Kubernetes, Systemd];
        let settings = [Compose, Kubernetes, Systemd, Terraform, Nginx, Haproxy];
        let calls = [Compose, Kubernetes, Systemd, Terraform, Processes];
        let proxies = [Nginx, Haproxy, Kubernetes];
        Around {
            hard_coded: fact(lists.hard_coded, &settings),
            local_state: fact(lists.local_state, &own),
            workers: fact(lists.workers, &own),
            shared_stores: fact(lists.shared_stores, &calls),
            switch_owners: fact(lists.switch_owners, &[Terraform]),
            autoscalers: fact(lists.autoscalers, &[Kubernetes]),
            credentials: fact(lists.credentials, &own),
            third_parties: fact(lists.third_parties, &calls),
            unmonitored: fact(lists.unmonitored, &[Prometheus]),
            version_differences,
            slow_names: fact(lists.slow_names, &[Resolver]),
            long_requests: fact(lists.long_requests, &proxies),
            without_health: fact(lists.without_health, &[Compose, Kubernetes]),
            long_lived: fact(lists.long_lived, &proxies),
        }
    }
}

#[derive(Default)]
struct Lists {
    hard_coded: Vec<Sighting>,
    local_state: Vec<Sighting>,
    workers: Vec<Sighting>,
    shared_stores: Vec<Sighting>,
    switch_owners: Vec<Sighting>,
    autoscalers: Vec<Sighting>,
    credentials: Vec<Sighting>,
    third_parties: Vec<Sighting>,
    unmonitored: Vec<Sighting>,
    slow_names: Vec<Sighting>,
    long_requests: Vec<Sighting>,
    without_health: Vec<Sighting>,
    long_lived: Vec<Sighting>,
    /// Of a component and the image that it runs: each version with its place.
    images: BTreeMap<(String, String), Vec<(String, String)>>,
}

impl Lists {
    /// Services that are described twice with another version. One description shows no
    /// difference, and proves none away.
    fn version_differences(&self, at: WallMs) -> Fact<Vec<Sighting>> {
        if self.images.is_empty() {
            return Fact::unasked();
        }
        let mut differences = Vec::new();
        for ((component, image), seen) in &self.images {
            let versions: BTreeSet<&String> = seen.iter().map(|(version, _)| version).collect();
            if versions.len() > 1 {
                let versions: Vec<&str> = versions.into_iter().map(String::as_str).collect();
                let what = format!("{component}: {image} is {}", versions.join(" and "));
                let places: Vec<&str> = seen.iter().map(|(_, place)| place.as_str()).collect();
                differences.push(Sighting { what, place: places.join(", ") });
            }
        }
        if differences.is_empty() && self.images.values().any(|seen| seen.len() < 2) {
            let why = "not every image is named for both sides: give the files of both";
            return Fact::unknown(why, "discovery", at);
        }
        Fact::known(differences, "discovery", at)
    }

    /// What the map itself shows.
    fn take_nodes(&mut self, map: &Map, metrics_asked: bool) {
        for node in &map.nodes {
            let sighting = |what: String| {
                let place = node.evidence.first().map(Evidence::place).unwrap_or_default();
                Sighting { what, place }
            };
            match node.kind {
                Kind::ThirdParty => self.third_parties.push(sighting(node.label.clone())),
                Kind::Queue | Kind::Cache => self.shared_stores.push(sighting(node.label.clone())),
                Kind::Service | Kind::Database | Kind::Host => {}
            }
            let scraper = node.engine.as_deref() == Some("prometheus");
            let watched =
                map.edges.iter().any(|e| e.relation == Relation::Watches && e.to == node.id);
            if metrics_asked && node.moves() && !scraper && !watched {
                self.unmonitored.push(sighting(format!("nothing scrapes {}", node.label)));
            }
        }
    }

    fn take(&mut self, hint: &Hint, map: &Map) {
        let Hint { component, what, evidence } = hint;
        let (list, what) = match what {
            // An address of somebody else's is not one of the old side.
            HintKind::HardCodedAddress { address, .. } if is_foreign(map, address) => return,
            HintKind::HardCodedAddress { key, address } => {
                (&mut self.hard_coded, format!("{component}: {key} is {address}"))
            }
            HintKind::BackgroundWork { schedule: None } => (&mut self.workers, component.clone()),
            HintKind::BackgroundWork { schedule: Some(schedule) } => {
                (&mut self.workers, format!("{component} ({schedule})"))
            }
            HintKind::LocalState { path, volume } => {
                (&mut self.local_state, format!("{component}: {path} on {volume}"))
            }
            HintKind::DnsTtl { name, seconds } if *seconds > TTL_S => {
                (&mut self.slow_names, format!("{name} is remembered for {seconds} s"))
            }
            HintKind::AutoscalerMinimum { min, max } if min < max => {
                (&mut self.autoscalers, format!("{component}: {min} to {max} instances"))
            }
            HintKind::SwitchResource { address, .. } => (&mut self.switch_owners, address.clone()),
            HintKind::LongLivedConnections { shows, max_age_seconds }
                if max_age_seconds.is_none_or(|age| age > LONG_LIVED_S) =>
            {
                (&mut self.long_lived, format!("{component}: {shows}"))
            }
            HintKind::Timeout { name, ms } if *ms > DRAIN_MS => {
                (&mut self.long_requests, format!("{component}: {name} is {ms} ms"))
            }
            HintKind::NoHealthCheck => (&mut self.without_health, component.clone()),
            HintKind::PlainSecret { key } => {
                (&mut self.credentials, format!("{component}: {key} in clear text"))
            }
            HintKind::ScrapeTarget { job, up: Some(false) } => {
                (&mut self.unmonitored, format!("{component}: the scrape of {job} fails"))
            }
            HintKind::Image { name, version } => {
                let version = (version.clone(), evidence.place());
                return self
                    .images
                    .entry((component.clone(), name.clone()))
                    .or_default()
                    .push(version);
            }
            HintKind::DnsTtl { .. }
            | HintKind::AutoscalerMinimum { .. }
            | HintKind::LongLivedConnections { .. }
            | HintKind::Timeout { .. }
            | HintKind::ScrapeTarget { .. } => return,
        };
        list.push(Sighting { what, place: evidence.place() });
    }
}

fn is_foreign(map: &Map, address: &str) -> bool {
    let foreign = map.nodes.iter().filter(|node| node.kind == Kind::ThirdParty);
    foreign.into_iter().any(|node| node.addresses.iter().any(|known| known == address))
}

#[cfg(test)]
mod tests;
