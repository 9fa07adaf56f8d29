//! One change of a clean inventory for each way in which a check fires.

use changeover_types::{Answer, questions};

use super::clean::seen;
use super::*;
use crate::finding::Severity::{Blocker, High, Medium};
use crate::inventory::{Client, OpenTransaction, Replica, SchemaChange, Slot};

const DAY_MS: u64 = 86_400_000;

fn slot(name: &str, wal_status: &str) -> Slot {
    Slot {
        name: name.into(),
        logical: true,
        active: false,
        failover: false,
        retained_bytes: 5_000_000,
        wal_status: Some(wal_status.into()),
    }
}

fn replica(lag_bytes: Option<u64>) -> Replica {
    Replica { name: "standby1".into(), state: "streaming".into(), lag_bytes }
}

fn clients(sessions: u64, oldest_s: u64) -> Vec<Client> {
    let (application, user) = ("shop".to_owned(), "app".to_owned());
    vec![Client { application, user, superuser: false, address: None, sessions, oldest_s }]
}

/// `(check, change, severity, a part of the evidence)`.
const CASES: &[(usize, Change, Severity, &str)] = &[
    (3, |i| set(target(i), "max_connections", "10"), Blocker, "5 of 10 sessions"),
    (5, |i| of(&mut target(i).activity).open.push(open(2, true)), High, "idle in transaction"),
    (7, |i| set(source(i), "max_slot_wal_keep_size", "1"), High, "a copy of 21 s writes 2.1 MB"),
    (8, |i| set(target(i), "wal_sender_timeout", "5000"), Medium, "5000 ms"),
    (9, |i| of(&mut source(i).disk).wal_free_bytes = Some(9), Blocker, "9 bytes are free"),
    (10, |i| orders(i).wide_key.push("token text (90)".into()), Medium, "key of token text (90)"),
    (10, |i| orders(i).row_bytes = Some(20_000), Medium, "20.0 kB on average"),
    (14, |i| of(&mut source(i).locale).recorded = Some("2.31".into()), High, "version 2.31"),
    (14, |i| of(&mut target(i).locale).version = Some("2.99".into()), High, "2.99 on the target"),
    (15, |i| set(target(i), "TimeZone", "Europe/Berlin"), Medium, "Europe/Berlin"),
    (17, |i| of(&mut source(i).sequences)[0].uncarried = Some("no right".into()), High, "no right"),
    (18, |i| of(&mut target(i).code).rules.push("r on t".into()), High, "r on t"),
    (19, |i| orders(i).generated.push("total".into()), Medium, "public.orders: total"),
    (20, |i| schema_changed(i, Some(2)), High, "flyway_schema_history recorded a change 2 d ago"),
    (20, |i| schema_changed(i, None), High, "flyway_schema_history is in use"),
    (20, |i| declare(i, &questions::SCHEMA_FROZEN, Answer::YesNo(false)), High, "schema_frozen"),
    (22, |i| of(&mut source(i).code).native_functions.push("f()".into()), High, "f()"),
    (23, |i| of(&mut target(i).roles)[0].attributes.clear(), High, "LOGIN on the source"),
    (27, physical_slot, High, "physical slot backup"),
    (24, |i| of(&mut source(i).outside).jobs.push("nightly".into()), Medium, "cron jobs: nightly"),
    (24, |i| of(&mut source(i).code).reaching_functions.push("n()".into()), Medium, "n()"),
    (24, |i| of(&mut source(i).activity).listeners = 1, Medium, "1 session that LISTEN"),
    (24, |i| of(&mut source(i).activity).advisory_locks = 2, Medium, "2 advisory locks"),
    (27, |i| of(&mut source(i).replication).publications.push("p".into()), High, "publication p"),
    (28, |i| declare(i, &questions::FAILS_OVER, Answer::YesNo(true)), High, "names no standby"),
    (29, |i| of(&mut target(i).disk).free_bytes = Some(9), High, "9 bytes are free"),
    (29, |i| declare(i, &questions::SIZED_FOR_PEAK, Answer::YesNo(false)), High, "sized_for_peak"),
    (30, |i| declare(i, &questions::POOL_CONNECTIONS, Answer::Count(150)), High, "150 connections"),
    (30, more_clients_than_half, High, "101 connections (connected now)"),
    (31, |i| declare(i, &questions::ZONES, Answer::Count(1)), High, "1 zone"),
    (31, |i| declare(i, &questions::BACKED_UP, Answer::YesNo(false)), High, "target.backed_up"),
    (31, restored_long_ago, High, "last restored 100 d ago"),
    (32, |i| declare(i, &questions::WINDOW, Answer::DurationMs(9_000)), High, "window in answers"),
    (32, read_slowly, High, "the copy takes 2 d"),
    (33, |i| *of(&mut source(i).clock_skew_ms) = 250, High, "250 ms ahead"),
    (33, |i| *of(&mut i.target.upstreams[0].clock_skew_ms) = -4_000, High, "4000 ms behind"),
    (34, |i| certificate(i).untrusted = Some("unknown issuer".into()), Blocker, "unknown issuer"),
    (34, |i| certificate(i).names_host = false, Blocker, "certificate for target.example"),
    (34, |i| certificate(i).not_after.0 = clean::NOW.0 + DAY_MS * 29, Blocker, "ends in 29 d"),
    (34, |i| certificate(i).not_after.0 = clean::NOW.0 - 1, Blocker, "has ended"),
    (35, |i| of(&mut i.source.upstreams[0].health).status = 404, High, "answers 404"),
    (35, health_without_database, High, "service.health_reads_database"),
    (
        36,
        |i| declare(i, &questions::DNS_TTL, Answer::DurationMs(3_600_000)),
        Medium,
        "TTL is 60 min",
    ),
    (36, |i| declare(i, &questions::DNS_ALLOWS_CERTIFICATE, Answer::YesNo(false)), Medium, "dns.a"),
    (35, |i| sight(&mut i.around.without_health, "api"), High, "api (compose.yaml:12)"),
    (36, |i| sight(&mut i.around.slow_names, "shop"), Medium, "shop (compose.yaml:12)"),
    (38, |i| sight(&mut i.around.long_lived, "ws"), High, "ws (compose.yaml:12)"),
    (39, |i| sight(&mut i.around.long_requests, "60 s"), Medium, "60 s (compose.yaml:12)"),
    (37, |i| declare(i, &questions::OLD_ADDRESS_IN_USE, Answer::YesNo(true)), High, "old_address"),
    (37, hard_coded, High, "DB_HOST=10.0.0.5 (compose.yaml:12)"),
    (38, |i| of(&mut source(i).activity).clients = clients(2, 7_500), High, "oldest open for 2 h"),
    (38, |i| declare(i, &questions::MAX_CONNECTION_AGE, Answer::DurationMs(0)), High, "never"),
    (39, |i| declare(i, &questions::RETRY_SAFE, Answer::YesNo(false)), Medium, "retry_safe"),
    (39, |i| declare(i, &questions::LONGEST_REQUEST, Answer::DurationMs(90_000)), Medium, "90 s"),
    (40, |i| declare(i, &questions::KEEPS_LOCAL_STATE, Answer::YesNo(true)), High, "local_state"),
    (41, |i| declare(i, &questions::WORKERS_ON_ONE_SIDE, Answer::YesNo(false)), Blocker, "workers"),
    (41, undeclared_worker, Blocker, "mailer (compose.yaml:12)"),
    (42, |i| declare(i, &questions::EGRESS_ALLOWED, Answer::YesNo(false)), High, "egress"),
    (43, |i| declare(i, &questions::PIN_ADDRESS, Answer::YesNo(true)), Medium, "partners.pin"),
    (44, |i| declare(i, &questions::CACHES_PREPARED, Answer::YesNo(false)), Medium, "caches"),
    (45, other_version, High, "1.4.2 on the source, 1.5.0 on the target"),
    (46, |i| declare(i, &questions::METRICS_OF_BOTH, Answer::YesNo(false)), High, "of_both_sides"),
    (46, |i| declare(i, &questions::METRICS_ALERT, Answer::YesNo(false)), High, "metrics.alert"),
    (47, |i| declare(i, &questions::KEPT_AT_SIZE, Answer::YesNo(false)), High, "kept_at_size"),
    (48, |i| declare(i, &questions::SWITCH_IN_PIPELINE, Answer::YesNo(true)), Blocker, "pipeline"),
    (48, |i| sight(&mut i.around.switch_owners, "aws_lb_listener"), Blocker, "aws_lb_listener"),
    (49, |i| declare(i, &questions::SECRETS_IN_CLEAR, Answer::YesNo(true)), High, "in_clear"),
    (49, |i| sight(&mut i.around.credentials, "DB_PASSWORD"), High, "DB_PASSWORD"),
    (49, |i| of(&mut source(i).activity).clients[0].superuser = true, High, "superuser app"),
    (
        50,
        |i| of(&mut source(i).replication).replicas.push(replica(None)),
        High,
        "behind by unknown",
    ),
    (50, |i| of(&mut target(i).replication).slots.push(slot("etl", "lost")), High, "etl is lost"),
    (50, |i| of(&mut source(i).trouble).checksum_failures = 1, High, "1 checksum failure"),
    (50, |i| of(&mut source(i).trouble).invalid_indexes.push("ix".into()), High, "ix"),
    (50, |i| of(&mut source(i).trouble).subscription_errors.push("s".into()), High, "failing"),
];

#[test]
fn each_check_fires_where_it_should_and_names_its_evidence() {
    for (number, change, severity, part) in CASES {
        let found = found(*number, *change);
        let expected = found.iter().any(|(of, text)| of == severity && text.contains(part));
        assert!(expected, "R{number:02} with `{part}` as {severity:?}: {found:?}");
    }
}

#[test]
fn every_check_has_a_case() {
    for check in CHECKS {
        let number: usize = check.id[1..3].parse().expect("R and a number");
        assert!(CASES.iter().any(|(of, ..)| *of == number), "{}", check.id);
    }
}

fn open(age_s: u64, idle: bool) -> OpenTransaction {
    OpenTransaction { pid: 7, user: "app".into(), application: "shop".into(), age_s, idle }
}

fn schema_changed(inventory: &mut Inventory, days: Option<u64>) {
    declare(inventory, &questions::SCHEMA_FROZEN, Answer::YesNo(false));
    let at = days.map(|days| WallMs(clean::NOW.0 - days * DAY_MS));
    let tool = "flyway_schema_history".to_owned();
    *of(&mut source(inventory).schema_change) = Some(SchemaChange { tool, at });
}

fn physical_slot(inventory: &mut Inventory) {
    let slot = Slot { logical: false, ..slot("backup", "reserved") };
    of(&mut source(inventory).replication).slots.push(slot);
}

fn more_clients_than_half(inventory: &mut Inventory) {
    withhold(inventory, &questions::POOL_CONNECTIONS);
    of(&mut source(inventory).activity).clients = clients(101, 60);
}

fn restored_long_ago(inventory: &mut Inventory) {
    let then = WallMs(clean::NOW.0 - 100 * DAY_MS);
    declare(inventory, &questions::RESTORED_ON, Answer::Date(then));
}

/// What was measured stands where nothing is declared.
fn read_slowly(inventory: &mut Inventory) {
    withhold(inventory, &questions::COPY_RATE);
    source(inventory).read_bytes_s = seen(5_000);
}

fn certificate(inventory: &mut Inventory) -> &mut crate::inventory::Certificate {
    of(inventory.target.upstreams[0].tls.as_mut().expect("TLS"))
}

fn health_without_database(inventory: &mut Inventory) {
    of(&mut inventory.source.upstreams[0].health).names_database = false;
    declare(inventory, &questions::HEALTH_READS_DATABASE, Answer::YesNo(false));
}

fn hard_coded(inventory: &mut Inventory) {
    withhold(inventory, &questions::OLD_ADDRESS_IN_USE);
    sight(&mut inventory.around.hard_coded, "DB_HOST=10.0.0.5");
}

fn undeclared_worker(inventory: &mut Inventory) {
    withhold(inventory, &questions::WORKERS_ON_ONE_SIDE);
    sight(&mut inventory.around.workers, "mailer");
}

fn other_version(inventory: &mut Inventory) {
    withhold(inventory, &questions::SAME_VERSION);
    *of(&mut inventory.target.upstreams[0].version) = "1.5.0".into();
}
