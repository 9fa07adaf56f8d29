use super::*;
use changeover_assess::map::Discovery;
use changeover_types::WallMs;
use proptest::prelude::*;

fn read(pairs: &[(&str, &str)]) -> Discovery {
    let mut found = Discovery::default();
    let mut notes = Notes { source: "f", machine: "m", now: WallMs(1), found: &mut found };
    let all: Vec<Setting<'_>> = pairs
        .iter()
        .enumerate()
        .map(|(line, (key, value))| Setting { key, value, file: None, line: line + 1 })
        .collect();
    let name = Name::component("p", "api");
    settings(&mut notes, &Owner { label: "api", name: &name, scope: "p" }, &all);
    found
}

fn ends(found: &Discovery) -> Vec<String> {
    found
        .links
        .iter()
        .map(|link| {
            let database = link.database.as_ref().map(|d| format!("/{d}")).unwrap_or_default();
            format!("{}{database} {:?}", link.to, link.assumed)
        })
        .collect()
}

#[test]
fn urls_hosts_with_ports_and_lists_lead_somewhere() {
    let found = read(&[
        ("DATABASE_URL", "postgres://app:${PW}@orders-db:5432/orders"),
        ("BILLING_DB_HOST", "10.0.0.7"),
        ("BILLING_DB_PORT", "6432"),
        ("PGHOST", "reports-db"),
        ("PGDATABASE", "reports"),
        ("KAFKA_BROKERS", "k1:9092,k2:9092"),
        ("UPSTREAMS", "http://a:1,http://b:2"),
        ("PUBLIC_URL", "https://shop.example.com"),
        ("LISTEN_ADDR", "0.0.0.0:8080"),
        ("LOG_LEVEL", "info"),
    ]);
    insta::assert_snapshot!(ends(&found).join("\n"), @r"
    orders-db:5432/orders Some(Database)
    10.0.0.7:6432 None
    reports-db:5432/reports Some(Database)
    k1:9092 Some(Queue)
    a:1 Some(Service)
    b:2 Some(Service)
    ");
}

#[test]
fn where_a_service_listens() {
    for (key, value, port) in [
        ("PORT", "8080", Some(8080)),
        ("LISTEN_ADDR", "0.0.0.0:8081", Some(8081)),
        ("--bind", "[::]:8082", Some(8082)),
        ("HTTP_LISTEN", ":8083", Some(8083)),
        ("DB_PORT", "5432", None),
        ("BIND", "/run/x.sock", None),
    ] {
        assert_eq!(listens_on(key, value), port, "{key}={value}");
    }
}

#[test]
fn secrets_are_named_by_their_key_only() {
    let found = read(&[
        ("DATABASE_URL", "postgres://app:hunter2@db/x"),
        ("API_TOKEN", "hunter2"),
        ("DB_PASSWORD_FILE", "/run/secrets/db"),
        ("OTHER_PASSWORD", "${FROM_ELSEWHERE}"),
    ]);
    let keys: Vec<&str> = found
        .hints
        .iter()
        .filter_map(|hint| match &hint.what {
            HintKind::PlainSecret { key } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(keys, ["DATABASE_URL", "API_TOKEN"]);
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[test]
fn a_host_that_a_variable_fills_in_is_said_to_be_unknown() {
    let found = read(&[("DATABASE_URL", "postgres://app@${DB_HOST}/x")]);
    assert!(found.links.is_empty());
    assert!(found.unread[0].why.contains("a variable fills in"), "{:?}", found.unread);
}

#[test]
fn variables_and_their_defaults_are_filled_in() {
    let known = BTreeMap::from([("HOST".to_owned(), "db".to_owned())]);
    for (text, expected) in [
        ("a ${HOST} $HOST b", "a db db b"),
        ("${NONE:-x}/${NONE-y}/${HOST:-z}", "x/y/db"),
        ("${NONE} $$HOST $ ${", "${NONE} $HOST $ ${"),
    ] {
        assert_eq!(interpolate(text, &known), expected);
    }
}

#[test]
fn environment_files_are_read_as_shells_write_them() {
    let text = "# c\nexport A=1\nB=\"x y\" # c\nC='q#'\nD=plain # c\nnonsense\n";
    let read: Vec<String> =
        environment_file(text).into_iter().map(|(k, v, line)| format!("{line} {k}={v}")).collect();
    assert_eq!(read, ["2 A=1", "3 B=x y", "4 C=q#", "5 D=plain"]);
}

proptest! {
    #[test]
    fn no_value_survives(
        key in "[A-Z_]{1,12}",
        before in "[a-z:/@$?{}=. ]{0,12}",
        after in "[a-z:/@$?{}=. ]{0,12}",
    ) {
        let value = format!("{before}:Zq9Secret{after}");
        let found = read(&[(&key, &value), ("PASSWORD", "Zq9Secret")]);
        // A host or database is shown; everything else is not.
        let shown = format!("{found:?}").to_lowercase();
        let as_host = changeover_assess::map::Endpoint::parse(&value)
            .is_some_and(|e| format!("{e:?}").to_lowercase().contains("zq9secret"));
        let port_like = found.links.iter().any(|l| l.to.host.contains("zq9secret"));
        prop_assert!(as_host || port_like || !shown.contains("zq9secret"), "{shown}");
    }

    #[test]
    fn interpolation_never_panics(text in "\\PC{0,40}|[${}:a-]{0,20}") {
        prop_assert!(interpolate(&text, &BTreeMap::new()).len() <= text.len() * 2 + 2);
    }
}
