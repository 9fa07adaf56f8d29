use super::*;
use crate::fact::Value;
use crate::map::{Sight, build};

fn evidence(source: &str) -> Evidence {
    Evidence {
        source: source.to_owned(),
        line: Some(3),
        says: "written".to_owned(),
        read_at: WallMs(1),
        sight: Sight::Declared,
    }
}

fn unread(source: &str) -> Unread {
    Unread { source: source.to_owned(), line: None, why: "broken".to_owned(), next: String::new() }
}

fn around(found: &Discovery) -> Around {
    Around::of(&build(found), found, WallMs(1))
}

#[test]
fn nothing_read_is_unknown_and_not_empty() {
    assert_eq!(around(&Discovery::default()).workers, Fact::unasked());
}

#[test]
fn an_empty_list_needs_a_source_that_would_show_it() {
    let mut found = Discovery::default();
    found.read.insert("compose.yaml".to_owned(), SourceKind::Compose);
    let around = around(&found);
    assert_eq!(around.workers.value, Value::Known(Vec::new()));
    assert!(matches!(around.switch_owners.value, Value::Unknown(_)), "no Terraform state was read");
    assert!(matches!(around.slow_names.value, Value::Unknown(_)), "no resolver was asked");
}

#[test]
fn what_could_not_be_read_keeps_an_empty_list_unknown() {
    let mut found = Discovery::default();
    found.read.insert("compose.yaml".to_owned(), SourceKind::Compose);
    found.read.insert("state.json".to_owned(), SourceKind::Terraform);
    found.read.insert("haproxy.cfg".to_owned(), SourceKind::Haproxy);
    found.unread.push(unread("haproxy.cfg"));
    assert_eq!(around(&found).switch_owners.value, Value::Known(Vec::new()), "another kind");
    found.unread.push(unread("other.yaml"));
    let after = around(&found);
    assert_eq!(after.workers.value, Value::Unknown("other.yaml: broken".to_owned()));
    // What was seen stays seen.
    let what = HintKind::BackgroundWork { schedule: None };
    found.hints.push(Hint {
        component: "mailer".to_owned(),
        what,
        evidence: evidence("compose.yaml"),
    });
    let seen = Sighting { what: "mailer".to_owned(), place: "compose.yaml:3".to_owned() };
    assert_eq!(around(&found).workers.value, Value::Known(vec![seen]));
}

#[test]
fn an_address_of_somebody_else_is_not_one_of_the_old_side() {
    use crate::map::{Link, Name, Relation};
    let mut found = Discovery::default();
    found.read.insert("compose.yaml".to_owned(), SourceKind::Compose);
    for (host, port) in [("api.payments.example.com", 443), ("10.0.0.5", 5432)] {
        let what =
            HintKind::HardCodedAddress { key: "URL".to_owned(), address: format!("{host}:{port}") };
        let evidence = evidence("compose.yaml");
        found.hints.push(Hint { component: "api".to_owned(), what, evidence: evidence.clone() });
        found.links.push(Link {
            from: Name::component("p", "api"),
            to: Name::address("p", host, Some(port)),
            relation: Relation::Uses,
            assumed: None,
            engine: None,
            database: None,
            evidence,
        });
    }
    let around = around(&found);
    let whats = |fact: &Fact<Vec<Sighting>>| -> Vec<String> {
        fact.get().unwrap().iter().map(|sighting| sighting.what.clone()).collect()
    };
    assert_eq!(whats(&around.hard_coded), ["api: URL is 10.0.0.5:5432"]);
    assert_eq!(whats(&around.third_parties), ["api.payments.example.com"]);
}

#[test]
fn a_service_described_twice_shows_its_versions() {
    let mut found = Discovery::default();
    let mut runs = |component: &str, version: &str, source: &str| {
        let what = HintKind::Image { name: "shop/app".to_owned(), version: version.to_owned() };
        let component = component.to_owned();
        found.hints.push(Hint { component, what, evidence: evidence(source) });
        around(&found).version_differences.value
    };
    // One description shows no difference, and proves none away.
    assert!(matches!(runs("api", "2.4", "old.yaml"), Value::Unknown(_)));
    assert_eq!(runs("api", "2.4", "new.yaml"), Value::Known(Vec::new()));
    assert!(matches!(runs("worker", "2.4", "old.yaml"), Value::Unknown(_)));
    let seen = Sighting {
        what: "worker: shop/app is 2.4 and 2.5".to_owned(),
        place: "old.yaml:3, new.yaml:3".to_owned(),
    };
    assert_eq!(runs("worker", "2.5", "new.yaml"), Value::Known(vec![seen]));
}
