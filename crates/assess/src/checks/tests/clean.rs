//! A move in which everything is known and in order.

use std::collections::BTreeMap;

use changeover_types::{Answer, AnswerKind, Side, TableName, WallMs, questions};

use crate::fact::Fact;
use crate::inventory::{
    Activity, Around, Certificate, Client, Code, Database, Disk, Environment, Extension, Health,
    Inventory, Locale, Outside, Privileges, Rate, Relation, RelationKind, Replication, Role,
    RoleEntry, Sequence, Server, Trouble, Upstream,
};

/// A day in 2026.
pub(super) const NOW: WallMs = WallMs(1_795_000_000_000);
const DAY_MS: u64 = 86_400_000;

pub(super) fn seen<T>(value: T) -> Fact<T> {
    Fact::known(value, "a test", NOW)
}

pub(super) fn inventory() -> Inventory {
    let mut inventory = Inventory::empty(NOW);
    for side in [Side::Source, Side::Target] {
        *inventory.side_mut(side) = Environment {
            database: Some(Box::new(database(side))),
            upstreams: vec![upstream(side)],
        };
    }
    inventory.around = Around {
        hard_coded: seen(Vec::new()),
        local_state: seen(Vec::new()),
        workers: seen(Vec::new()),
        shared_stores: seen(Vec::new()),
        switch_owners: seen(Vec::new()),
        autoscalers: seen(Vec::new()),
        credentials: seen(Vec::new()),
        third_parties: seen(Vec::new()),
        unmonitored: seen(Vec::new()),
        version_differences: seen(Vec::new()),
        slow_names: seen(Vec::new()),
        long_requests: seen(Vec::new()),
        without_health: seen(Vec::new()),
        long_lived: seen(Vec::new()),
    };
    declare_all(&mut inventory);
    inventory
}

/// Every question with its good answer.
fn declare_all(inventory: &mut Inventory) {
    let bad_if_yes = [
        questions::FAILS_OVER,
        questions::SWITCH_IN_PIPELINE,
        questions::KEEPS_LOCAL_STATE,
        questions::OLD_ADDRESS_IN_USE,
        questions::SECRETS_IN_CLEAR,
        questions::PIN_ADDRESS,
    ];
    for question in questions::ALL {
        let answer = match question.kind {
            AnswerKind::YesNo => Answer::YesNo(!bad_if_yes.contains(&question)),
            AnswerKind::Bytes if question == questions::COPY_RATE => Answer::Bytes(50_000_000),
            AnswerKind::Bytes => Answer::Bytes(1_000_000_000_000),
            AnswerKind::Duration if question == questions::WINDOW => Answer::DurationMs(3_600_000),
            AnswerKind::Duration => Answer::DurationMs(20_000),
            AnswerKind::Date => Answer::Date(WallMs(NOW.0 - 10 * DAY_MS)),
            AnswerKind::Count => Answer::Count(3),
        };
        inventory.declared.0.insert(question.path(), (answer, "answers.yaml:1".to_owned()));
    }
}

fn database(side: Side) -> Database {
    let settings = [
        ("wal_level", "logical"),
        ("max_replication_slots", "10"),
        ("max_wal_senders", "10"),
        ("max_connections", "200"),
        ("max_slot_wal_keep_size", "-1"),
        ("wal_sender_timeout", "60000"),
        ("TimeZone", "Etc/UTC"),
    ];
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Database {
        url: format!("postgresql://app@{side}.example/shop"),
        server: seen(Server {
            major: 15,
            version: 150_018,
            system_id: Some(side.to_string()),
            in_recovery: false,
            database: "shop".into(),
            encoding: "UTF8".into(),
        }),
        settings: seen(settings),
        role: seen(Role {
            name: "mover".into(),
            superuser: true,
            replication: true,
            replica_role: true,
        }),
        locale: seen(Locale {
            provider: Some("c".into()),
            collate: "C.UTF-8".into(),
            ctype: "C.UTF-8".into(),
            icu: None,
            version: Some("2.36".into()),
            recorded: Some("2.36".into()),
        }),
        relations: seen(vec![orders()]),
        sequences: seen(vec![Sequence {
            name: TableName::new("public", "orders_id_seq"),
            type_name: "bigint".into(),
            used_permille: Some(10),
            uncarried: None,
        }]),
        extensions: seen(vec![Extension { name: "citext".into(), version: "1.6".into() }]),
        available: seen([("citext".to_owned(), "1.6".to_owned())].into()),
        code: seen(Code::default()),
        roles: seen(vec![RoleEntry {
            name: "app".into(),
            attributes: vec!["LOGIN".into()],
            needed: true,
        }]),
        privileges: seen(Privileges {
            grants: vec!["app: SELECT".into()],
            ..Privileges::default()
        }),
        activity: seen(Activity {
            clients: vec![Client {
                application: "shop".into(),
                user: "app".into(),
                superuser: false,
                address: Some("10.0.0.7".into()),
                sessions: 5,
                oldest_s: 60,
            }],
            ..Activity::default()
        }),
        prepared: seen(Vec::new()),
        replication: seen(Replication::default()),
        outside: seen(Outside::default()),
        disk: seen(Disk {
            database_bytes: 1_000_000_000,
            free_bytes: Some(100_000_000_000),
            wal_free_bytes: Some(1_000_000_000_000),
        }),
        rate: seen(Rate {
            over_ms: 2_000,
            wal_bytes_s: 100_000,
            commits_s: 20,
            tables: Vec::new(),
        }),
        read_bytes_s: seen(50_000_000),
        trouble: seen(Trouble::default()),
        schema_change: seen(None),
        clock_skew_ms: seen(3),
        round_trip_us: seen(400),
    }
}

pub(super) fn orders() -> Relation {
    Relation {
        name: TableName::new("public", "orders"),
        kind: RelationKind::Plain,
        partitioned_by: None,
        inherits: Vec::new(),
        unlogged: false,
        rows: Some(10_000),
        heap_bytes: 1_000_000_000,
        toast_bytes: 8_192,
        index_bytes: 100_000,
        row_bytes: Some(120),
        inserts: 10_000,
        changes: 500,
        no_identity: None,
        wide_key: Vec::new(),
        generated: Vec::new(),
        bound_columns: Vec::new(),
        row_security: false,
        leaving: Vec::new(),
        replica_triggers: Vec::new(),
    }
}

fn upstream(side: Side) -> Upstream {
    Upstream {
        url: format!("https://{side}.example:8443"),
        health: seen(Health {
            path: "/healthz".into(),
            status: 200,
            http: "HTTP/1.1".into(),
            keep_alive: true,
            latency_ms: 1.5,
            latency_max_ms: 3.0,
            names_database: true,
        }),
        clock_skew_ms: seen(0),
        tls: Some(seen(Certificate {
            not_after: WallMs(NOW.0 + 90 * DAY_MS),
            names: vec![format!("{side}.example")],
            names_host: true,
            untrusted: None,
        })),
        version: seen("1.4.2".into()),
    }
}
