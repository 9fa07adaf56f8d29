//! One missing fact for each check: it must say what is missing, and not pass.

use changeover_types::questions;

use super::*;

/// `(check, what is withheld, a part of what the check says)`.
const CASES: &[(usize, Change, &str)] = &[
    (3, |i| target(i).activity = unknown(), "target: its sessions"),
    (5, |i| target(i).activity = unknown(), "target: its open transactions"),
    (7, limited_at_unknown_rate, "source: its change rate"),
    (8, |i| target(i).settings = unknown(), "target: its settings"),
    (9, no_space_known, "`source.wal_free` is not declared"),
    (10, |i| source(i).relations = unknown(), "source: its tables"),
    (10, |i| orders(i).row_bytes = None, "no statistics that our role may see"),
    (14, |i| source(i).locale = unknown(), "source: its collation"),
    (15, |i| untold(source(i), "TimeZone"), "pg_read_all_settings"),
    (15, |i| target(i).settings = unknown(), "target: its settings"),
    (17, |i| source(i).sequences = unknown(), "source: its sequences"),
    (18, |i| target(i).code = unknown(), "target: its rewrite rules"),
    (19, |i| source(i).relations = unknown(), "source: its tables"),
    (20, |i| withhold(i, &questions::SCHEMA_FROZEN), "`move.schema_frozen` is not declared"),
    (22, |i| source(i).code = unknown(), "source: its functions"),
    (23, |i| target(i).roles = unknown(), "target: its roles"),
    (24, |i| source(i).outside = unknown(), "source: its jobs"),
    (27, |i| source(i).replication = unknown(), "source: its slots and readers"),
    (28, |i| withhold(i, &questions::FAILS_OVER), "`source.fails_over` is not declared"),
    (29, |i| withhold(i, &questions::SIZED_FOR_PEAK), "`target.sized_for_peak`"),
    (30, |i| withhold(i, &questions::POOL_CONNECTIONS), "`clients.pool_connections`"),
    (31, |i| withhold(i, &questions::RESTORED_ON), "`target.restored_on`"),
    (32, neither_rate, "`move.copy_rate`"),
    (32, |i| withhold(i, &questions::WINDOW), "`move.window`"),
    (33, |i| i.source.upstreams[0].clock_skew_ms = unknown(), "https://source.example"),
    (34, |i| i.target.upstreams[0].tls = Some(unknown()), "https://target.example"),
    (35, |i| i.target.upstreams[0].health = unknown(), "the health of https://target"),
    (36, |i| withhold(i, &questions::DNS_TTL), "`dns.ttl`"),
    (37, |i| withhold(i, &questions::OLD_ADDRESS_IN_USE), "`service.old_address_in_use`"),
    (38, |i| withhold(i, &questions::MAX_CONNECTION_AGE), "`clients.max_connection_age`"),
    (39, |i| withhold(i, &questions::LONGEST_REQUEST), "`clients.longest_request`"),
    (40, |i| withhold(i, &questions::KEEPS_LOCAL_STATE), "`service.keeps_local_state`"),
    (41, |i| withhold(i, &questions::WORKERS_ON_ONE_SIDE), "`service.workers_on_one_side`"),
    (42, |i| withhold(i, &questions::EGRESS_ALLOWED), "`target.egress_allowed`"),
    (43, |i| withhold(i, &questions::PIN_ADDRESS), "`partners.pin_address`"),
    (44, |i| withhold(i, &questions::CACHES_PREPARED), "`service.caches_prepared`"),
    (45, versions_unknown, "`service.same_version`"),
    (46, |i| withhold(i, &questions::METRICS_ALERT), "`metrics.alert`"),
    (47, |i| withhold(i, &questions::KEPT_AT_SIZE), "`source.kept_at_size`"),
    (48, |i| withhold(i, &questions::SWITCH_IN_PIPELINE), "`move.switch_in_pipeline`"),
    (49, |i| source(i).activity = unknown(), "source: its clients"),
    (50, |i| target(i).trouble = unknown(), "target: its faults"),
];

#[test]
fn each_check_says_what_it_misses_and_does_not_pass() {
    for (number, change, part) in CASES {
        let mut inventory = clean::inventory();
        change(&mut inventory);
        let verdict = (check(*number).judge)(&inventory);
        assert!(verdict.found.is_empty(), "R{number:02}: {verdict:?}");
        let said = verdict.unknown.iter().any(|why| why.contains(part));
        assert!(said, "R{number:02} without `{part}`: {verdict:?}");
    }
    for check in CHECKS {
        let number: usize = check.id[1..3].parse().expect("R and a number");
        assert!(CASES.iter().any(|(of, ..)| *of == number), "{}", check.id);
    }
}

#[test]
fn an_answer_of_the_good_kind_settles_what_was_seen() {
    let mut inventory = clean::inventory();
    sight(&mut inventory.around.workers, "mailer");
    assert!((check(41).judge)(&inventory).found.is_empty());
    // But not what no answer can make good.
    sight(&mut inventory.around.switch_owners, "aws_lb_listener");
    assert!(!(check(48).judge)(&inventory).found.is_empty());
}

fn limited_at_unknown_rate(inventory: &mut Inventory) {
    set(source(inventory), "max_slot_wal_keep_size", "1");
    source(inventory).rate = unknown();
}

fn neither_rate(inventory: &mut Inventory) {
    source(inventory).read_bytes_s = unknown();
    withhold(inventory, &questions::COPY_RATE);
}

fn no_space_known(inventory: &mut Inventory) {
    of(&mut source(inventory).disk).wal_free_bytes = None;
    withhold(inventory, &questions::WAL_FREE);
}

fn versions_unknown(inventory: &mut Inventory) {
    inventory.source.upstreams[0].version = unknown();
    withhold(inventory, &questions::SAME_VERSION);
}

fn untold(database: &mut Database, setting: &str) {
    of(&mut database.settings).remove(setting).expect("a known setting");
}
