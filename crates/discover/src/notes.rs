//! What a reader writes down while it reads one file.

use std::collections::BTreeSet;

use changeover_assess::hints::{Hint, HintKind};
use changeover_assess::map::{
    Component, Discovery, Evidence, Kind, Link, Name, Relation, Sight, Unread,
};
use changeover_types::WallMs;

/// The findings of one source, and what every piece of evidence from it has in common.
pub(crate) struct Notes<'a> {
    /// The file as people know it, or a URL.
    pub(crate) source: &'a str,
    /// The scope of loopback addresses.
    pub(crate) machine: &'a str,
    pub(crate) now: WallMs,
    pub(crate) found: &'a mut Discovery,
}

impl Notes<'_> {
    /// Evidence from a line; 0 if no line is known.
    pub(crate) fn declared(&self, line: usize, says: impl Into<String>) -> Evidence {
        Evidence {
            source: self.source.to_owned(),
            line: (line > 0).then_some(line),
            says: says.into(),
            read_at: self.now,
            sight: Sight::Declared,
        }
    }

    /// Evidence of something seen happening.
    pub(crate) fn observed(&self, last_seen: WallMs, says: impl Into<String>) -> Evidence {
        Evidence { sight: Sight::Observed { last_seen }, ..self.declared(0, says) }
    }

    /// A component to fill in and hand to [`Notes::add`].
    pub(crate) fn component(&self, label: &str, name: Name, evidence: Evidence) -> Component {
        Component {
            label: label.to_owned(),
            kind: None,
            engine: None,
            names: BTreeSet::from([name]),
            databases: BTreeSet::new(),
            traits: BTreeSet::new(),
            evidence,
        }
    }

    pub(crate) fn add(&mut self, component: Component) {
        self.found.components.push(component);
    }

    /// A plain dependency.
    pub(crate) fn uses(&mut self, from: &Name, to: Name, evidence: Evidence) {
        self.link(from, to, Relation::Uses, evidence, None);
    }

    /// A dependency on something of which scheme or port tell what it is.
    pub(crate) fn link(
        &mut self,
        from: &Name,
        to: Name,
        relation: Relation,
        evidence: Evidence,
        assumed: Option<(&str, Kind)>,
    ) {
        self.found.links.push(Link {
            from: from.clone(),
            to,
            relation,
            assumed: assumed.map(|(_, kind)| kind),
            engine: assumed.map(|(engine, _)| engine.to_owned()).filter(|e| !e.is_empty()),
            database: None,
            evidence,
        });
    }

    pub(crate) fn hint(&mut self, component: &str, what: HintKind, evidence: Evidence) {
        self.found.hints.push(Hint { component: component.to_owned(), what, evidence });
    }

    /// What a component runs, if it says in which version.
    pub(crate) fn image(&mut self, component: &str, image: &str, line: usize) {
        let Some((name, version)) = versioned(image) else { return };
        let evidence = self.declared(line, format!("{component} runs {image}"));
        let (name, version) = (name.to_owned(), version.to_owned());
        self.hint(component, HintKind::Image { name, version }, evidence);
    }

    /// Something in this source could not be read or understood.
    pub(crate) fn unread(&mut self, line: usize, why: impl Into<String>, next: impl Into<String>) {
        self.found.unread.push(Unread {
            source: self.source.to_owned(),
            line: (line > 0).then_some(line),
            why: why.into(),
            next: next.into(),
        });
    }
}

/// What an image or program is known to be: engine and kind.
pub(crate) fn engine_of(program: &str) -> Option<(&'static str, Kind)> {
    const KNOWN: [(&str, &str, Kind); 31] = [
        ("postgres", "postgres", Kind::Database),
        ("postgresql", "postgres", Kind::Database),
        ("postgis", "postgres", Kind::Database),
        ("timescaledb", "postgres", Kind::Database),
        ("mysql", "mysql", Kind::Database),
        ("mysqld", "mysql", Kind::Database),
        ("mariadb", "mysql", Kind::Database),
        ("mariadbd", "mysql", Kind::Database),
        ("mongo", "mongodb", Kind::Database),
        ("mongod", "mongodb", Kind::Database),
        ("elasticsearch", "elasticsearch", Kind::Database),
        ("opensearch", "opensearch", Kind::Database),
        ("clickhouse-server", "clickhouse", Kind::Database),
        ("cassandra", "cassandra", Kind::Database),
        ("minio", "minio", Kind::Database),
        ("redis", "redis", Kind::Cache),
        ("redis-server", "redis", Kind::Cache),
        ("valkey", "redis", Kind::Cache),
        ("memcached", "memcached", Kind::Cache),
        ("rabbitmq", "rabbitmq", Kind::Queue),
        ("rabbitmq-server", "rabbitmq", Kind::Queue),
        ("kafka", "kafka", Kind::Queue),
        ("cp-kafka", "kafka", Kind::Queue),
        ("nats", "nats", Kind::Queue),
        ("nats-server", "nats", Kind::Queue),
        ("mosquitto", "mqtt", Kind::Queue),
        ("nginx", "nginx", Kind::Service),
        ("haproxy", "haproxy", Kind::Service),
        ("traefik", "traefik", Kind::Service),
        ("prometheus", "prometheus", Kind::Service),
        ("pgbouncer", "pgbouncer", Kind::Service),
    ];
    KNOWN.iter().find(|(name, ..)| *name == program).map(|(_, engine, kind)| (*engine, *kind))
}

/// An image's name and its digest, or else its tag; a colon before a slash belongs to a port.
pub(crate) fn versioned(image: &str) -> Option<(&str, &str)> {
    let (named, digest) = image.split_once('@').unwrap_or((image, ""));
    let at = named.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match named[at..].split_once(':') {
        Some((last, tag)) => (&named[..at + last.len()], tag),
        None => (named, ""),
    };
    let version = if digest.is_empty() { tag } else { digest };
    (!name.is_empty() && !version.is_empty()).then_some((name, version))
}

/// The engine of a container image: the last part of its name, without tag and digest.
pub(crate) fn engine_of_image(image: &str) -> Option<(&'static str, Kind)> {
    let name = image.split('@').next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    engine_of(name.split(':').next().unwrap_or_default())
}

/// Whether a service works without being asked, judged by its name and command.
pub(crate) fn sounds_like_background(words: &str) -> bool {
    const SIGNS: [&str; 14] = [
        "worker",
        "workers",
        "cron",
        "scheduler",
        "sidekiq",
        "celery",
        "beat",
        "consumer",
        "consume",
        "resque",
        "jobs",
        "crond",
        "supercronic",
        "daemon",
    ];
    words
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| SIGNS.contains(&word.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::versioned;

    #[test]
    fn an_image_s_version_is_its_digest_or_its_tag() {
        for (image, expected) in [
            ("nginx:1.22", Some(("nginx", "1.22"))),
            ("registry:5000/shop/app:2.4.1", Some(("registry:5000/shop/app", "2.4.1"))),
            ("registry:5000/shop/app", None),
            ("shop/app:2@sha256:ab", Some(("shop/app", "sha256:ab"))),
            ("shop/app@sha256:ab", Some(("shop/app", "sha256:ab"))),
            ("nginx", None),
            ("", None),
            (":1", None),
        ] {
            assert_eq!(versioned(image), expected, "{image}");
        }
    }
}
