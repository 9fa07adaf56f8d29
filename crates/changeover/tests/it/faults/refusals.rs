//! What a migration must not start with: each is said with side, object and what to do, and the
//! source is as it was.

use std::fs;

use changeover_testkit::{Cluster, ClusterConfig};

use super::program::{changeover, has, ours, paused};
use crate::stage::postgres_session::execute;
use crate::stage::{Gate, Pair, PlanText, Stage};

/// One thing that is wrong, and the words that must be said of it.
struct Wrong {
    name: &'static str,
    on_source: &'static str,
    on_target: &'static str,
    words: &'static [&'static str],
}

const WRONG: &[Wrong] = &[
    Wrong {
        name: "no_identity",
        on_source: "CREATE TABLE bare (n int)",
        on_target: "",
        words: &["source", "public.bare", "replica identity", "ALTER TABLE", "primary key"],
    },
    Wrong {
        name: "filled_target",
        on_source: "",
        on_target: "CREATE TABLE customer (id int PRIMARY KEY); INSERT INTO customer VALUES (1)",
        words: &["target", "public.customer", "empty database"],
    },
    Wrong {
        name: "large_objects",
        on_source: "SELECT lo_from_bytea(0, 'x')",
        on_target: "",
        words: &["source", "1 large object", "bytea", "lo_unlink"],
    },
    Wrong {
        name: "unlogged",
        on_source: "CREATE UNLOGGED TABLE cache (id int PRIMARY KEY)",
        on_target: "",
        words: &["source", "public.cache", "unlogged", "SET LOGGED"],
    },
];

/// A paused run with these words, in plan and apply alike; nothing of ours is left after an abort.
fn refused(stage: &Stage, words: &[&str]) {
    let ran = stage.expect("plan", 1);
    has(&ran.lines.iter().map(ToString::to_string).collect::<String>(), words);
    let (reason, next) = paused(&stage.expect("apply", 5));
    has(&reason, words);
    has(&next, &["changeover apply"]);
    assert!(!stage.run_log().contains("panicked"), "{}", stage.run_log());
    stage.expect("abort", 0);
    assert_eq!(ours(&stage.source, &stage.name), "0", "{}", stage.report());
}

#[test]
fn what_stands_in_the_way_is_named_with_its_remedy() {
    let pair = Pair::start("refusals");
    for wrong in WRONG {
        let stage = Stage::new(&pair, wrong.name, &PlanText::new(Gate::None));
        execute(&stage.source, wrong.on_source);
        execute(&stage.target, wrong.on_target);
        refused(&stage, wrong.words);
        let writable = "INSERT INTO line (writer, seq, kind) VALUES (80, 1, 0)";
        execute(&stage.source, writable);
    }
}

#[test]
fn a_role_without_the_right_and_one_that_is_missing() {
    let pair = Pair::start("roles");
    execute(
        &pair.blue.url("postgres"),
        "CREATE ROLE clerk LOGIN; CREATE ROLE app; GRANT app TO clerk",
    );
    let stage = Stage::new(&pair, "roles", &PlanText::new(Gate::None));
    execute(&stage.source, "ALTER TABLE customer OWNER TO app");
    // Without the role on the target, whoever works through it is refused there.
    let ran = stage.expect("plan", 1);
    let text: String = ran.lines.iter().map(ToString::to_string).collect();
    has(
        &text,
        &["owners_missing", "target", "app", "CREATE ROLE", "access", "clerk does not exist"],
    );
    execute(&stage.target, "CREATE ROLE clerk LOGIN; CREATE ROLE app; GRANT app TO clerk");

    let plan = fs::read_to_string(&stage.plan).unwrap();
    let clerk = stage.source.replace("postgres@", "clerk@");
    fs::write(&stage.plan, plan.replace(&stage.source, &clerk)).unwrap();
    refused(&stage, &["source", "clerk", "REPLICATION", "ALTER ROLE", "replication_right"]);
}

#[test]
fn servers_that_are_not_set_up_for_it() {
    let plain = ClusterConfig::new("plain").with("wal_level", "replica");
    let blue = Cluster::start(plain.with("max_prepared_transactions", "5")).unwrap();
    let green = Cluster::for_test("green");
    let stage = Stage::at(&blue, &green, "setup", &PlanText::new(Gate::None));
    execute(&stage.source, "BEGIN; INSERT INTO line VALUES (81, 1, 0); PREPARE TRANSACTION 'p81'");
    // Both at once: nobody should learn of the second after a restart for the first.
    refused(
        &stage,
        &["source", "wal_level is replica", "wal_level = logical", "p81", "ROLLBACK PREPARED"],
    );
    execute(&stage.source, "ROLLBACK PREPARED 'p81'");
}

#[test]
fn an_extension_that_the_target_cannot_have() {
    let pair = Pair::start("extension");
    let stage = Stage::new(&pair, "extension", &PlanText::new(Gate::None));
    // Both servers share their files, so the source's extension gets a name that has none.
    execute(
        &stage.source,
        "CREATE EXTENSION hstore; UPDATE pg_extension SET extname = 'rarity' \
         WHERE extname = 'hstore'",
    );
    refused(&stage, &["target", "rarity", "not available", "Install"]);
}

#[test]
fn addresses_and_passwords_that_are_wrong() {
    let pair = Pair::start("addresses");
    let hba = "host all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n";
    let locked =
        Cluster::start(ClusterConfig { hba: hba.to_owned(), ..ClusterConfig::new("locked") });
    let locked = locked.unwrap();
    execute(&pair.blue.url("postgres"), "CREATE DATABASE addresses");
    let good = pair.blue.url("addresses");
    let locked_url = format!("postgresql://postgres:wrong-w0rd@127.0.0.1:{}/x", locked.port());
    let hba = "hostssl all all 127.0.0.1/32 trust\nhost all postgres 127.0.0.1/32 trust\n";
    let private =
        Cluster::start(ClusterConfig { hba: hba.to_owned(), ..ClusterConfig::new("private") });
    let private = private.unwrap();
    execute(&private.url("postgres"), "CREATE ROLE mover LOGIN");
    let private_url = private.url("postgres").replace("postgres@", "mover@");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cases = [
        ("password", locked_url, ["target", "28P01", "password authentication failed"]),
        ("encryption", private_url, ["target", "wants TLS", "sslmode=disable"]),
        ("database", pair.green.url("nowhere"), ["target", "nowhere", "does not exist"]),
        (
            "port",
            format!("postgresql://postgres@127.0.0.1:{nobody}/x"),
            ["target", "Connection refused", "is the server running"],
        ),
        (
            "host",
            "postgresql://postgres@no-such-host.invalid/x".to_owned(),
            ["target", "no-such-host.invalid", "is the server running"],
        ),
    ];
    std::thread::scope(|scope| {
        for (name, url, words) in &cases {
            let good = &good;
            scope.spawn(move || unreachable(name, good, url, words));
        }
    });
    assert_eq!(ours(&good, "password"), "0");
}

fn unreachable(name: &str, good: &str, url: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let plan = format!(
        "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: {name}}}\n\
         source: {{postgres: {{url: \"{good}\"}}}}\ntarget: {{postgres: {{url: {{env: THERE}}}}}}\n"
    );
    fs::write(folder.path().join("plan.yaml"), plan).unwrap();
    let env = [("THERE", url)];
    for (verb, code) in [("plan", 1), ("apply", 5)] {
        let said = changeover(folder.path(), &[verb, "plan.yaml"], &env);
        assert_eq!(said.code, Some(code), "{verb}: {}", said.all());
        has(&said.all(), words);
        assert!(!said.all().contains("wrong-w0rd"), "{}", said.all());
    }
    // Once the cause is gone there is nothing to unlearn: the source has nothing of ours.
    let said = changeover(folder.path(), &["stop", "plan.yaml", "--yes"], &env);
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(ours(good, name), "0");
}
