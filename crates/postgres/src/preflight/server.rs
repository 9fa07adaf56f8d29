//! What the servers must be and have room for.

use std::collections::BTreeMap;

use changeover_types::{Side, TOKEN_SETTING, quote_ident};

use super::Severity::{Blocker, High, Low, Medium};
use super::{Evidence, Findings, SideFacts, Thing, list};

/// The oldest server version that is supported on either side.
const OLDEST_MAJOR: u32 = 12;

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    versions(evidence, findings);
    for (side, facts) in [(Side::Source, &evidence.source), (Side::Target, &evidence.target)] {
        identity(side, facts, findings);
        if let Some(settings) =
            findings.known(Blocker, "settings", side, "the server's settings", &facts.settings)
        {
            replication_room(side, facts, settings, findings);
            durability(side, settings, findings);
            lock_room(side, facts, settings, evidence, findings);
        }
        directness(side, facts, findings);
        role_defaults(side, facts, findings);
        transactions(side, facts, evidence, findings);
    }
    standbys(evidence, findings);
}

fn versions(evidence: &Evidence, findings: &mut Findings) {
    let (Ok(source), Ok(target)) = (&evidence.source.server, &evidence.target.server) else {
        return;
    };
    for (side, server) in [(Side::Source, source), (Side::Target, target)] {
        if server.major() < OLDEST_MAJOR {
            findings.add(Blocker, "version", side, [
                format!("PostgreSQL {}", server.major()),
                format!("older than {OLDEST_MAJOR}, from which on the change stream carries what we need"),
                "Upgrade that server first".into(),
            ]);
        }
    }
    if target.major() < source.major() {
        findings.add(
            Blocker,
            "version_order",
            None,
            [
                format!(
                    "the target runs PostgreSQL {}, the source {}",
                    target.major(),
                    source.major()
                ),
                "a schema can only be restored into the same or a newer version".into(),
                format!("Use a target with PostgreSQL {} or newer", source.major()),
            ],
        );
    } else if target.major() > source.major() {
        findings.add(
            Low,
            "version_step",
            None,
            [
                format!("the target is newer ({} after {})", target.major(), source.major()),
                "planner and defaults may differ; the way back streams from the newer to the older"
                    .into(),
                String::new(),
            ],
        );
    }
    let same = source.system_id.is_some() && source.system_id == target.system_id;
    if same && source.database == target.database {
        findings.add(
            Blocker,
            "same_database",
            None,
            [
                format!("source and target are the same database ({})", source.database),
                "nothing would move".into(),
                "Check the two URLs".into(),
            ],
        );
    }
}

fn identity(side: Side, facts: &SideFacts, findings: &mut Findings) {
    let topic = "the server's identity";
    let Some(server) = findings.known(Blocker, "server", side, topic, &facts.server) else {
        return;
    };
    if server.in_recovery {
        findings.add(
            Blocker,
            "standby",
            side,
            [
                "this server is a standby".into(),
                "it cannot be written to, and its slots do not carry over".into(),
                "Give the URL of its primary".into(),
            ],
        );
    }
    if server.system_id.is_none() {
        findings.add(Medium, "system_id", side, [
            "our role may not read the server's system identifier".into(),
            "after a failover a different server behind the same address could not be told apart".into(),
            "GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint() to our role".into(),
        ]);
    }
}

fn number(settings: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    settings.get(name)?.parse().ok()
}

fn replication_room(
    side: Side,
    facts: &SideFacts,
    settings: &BTreeMap<String, String>,
    findings: &mut Findings,
) {
    match settings.get("wal_level").map(String::as_str) {
        Some("logical") => {}
        level => {
            findings.add(
                Blocker,
                "wal_level",
                side,
                [
                    format!("wal_level is {}", level.unwrap_or("unknown")),
                    match side {
                        Side::Source => {
                            "without `logical` the server cannot send its changes".into()
                        }
                        Side::Target => {
                            "without `logical` there is no way back after the cutover".into()
                        }
                    },
                    "ALTER SYSTEM SET wal_level = logical; then restart that server".into(),
                ],
            );
            findings.mended_by("ALTER SYSTEM SET wal_level = logical; -- then restart the server");
        }
    }
    if let Some(libraries) = settings.get("output_plugin_libraries")
        && !libraries.split(',').any(|library| library.trim().trim_matches('"') == "pgoutput")
    {
        findings.add(
            Blocker,
            "output_plugin",
            side,
            [
                format!("output_plugin_libraries is `{libraries}`"),
                "it does not allow pgoutput, so no slot of ours can be created".into(),
                "ALTER SYSTEM SET output_plugin_libraries = 'pgoutput'; SELECT pg_reload_conf()"
                    .into(),
            ],
        );
        findings.mended_by("ALTER SYSTEM SET output_plugin_libraries = 'pgoutput';");
        findings.mended_by("SELECT pg_reload_conf();");
    }
    let topic = "replication slots and senders";
    let Some(replication) = findings.known(Blocker, "slots", side, topic, &facts.replication)
    else {
        return;
    };
    let ours = facts.left_over.as_ref().map_or(0, |left| left.slots.len() as u64);
    // One slot of ours and one for an aligned verification.
    for (id, what, setting, used, needed) in [
        ("slots", "replication slots", "max_replication_slots", replication.slots, 2 - ours.min(1)),
        ("senders", "WAL senders", "max_wal_senders", replication.senders, 2),
    ] {
        match number(settings, setting) {
            Some(limit) if limit >= used + needed => {}
            limit => {
                let raised = used + needed + 2;
                findings.add(
                    Blocker,
                    id,
                    side,
                    [
                        format!(
                            "{used} of {} {what} are in use",
                            limit.map_or("?".into(), |l| l.to_string())
                        ),
                        format!("a migration needs {needed} more"),
                        format!("ALTER SYSTEM SET {setting} = {raised}; then restart that server"),
                    ],
                );
                findings.mended_by(format!(
                    "ALTER SYSTEM SET {setting} = {raised}; -- then restart the server"
                ));
            }
        }
    }
    findings.many(
        High,
        "other_slots",
        side,
        ["other logical slot", "other logical slots"],
        &replication.other_logical,
        [
            "their readers do not move along: after the cutover they see nothing new",
            "Create theirs on the target before the cutover, and let them drain the old ones",
        ],
    );
    findings.many(
        High,
        "subscriptions",
        side,
        ["subscription into this database", "subscriptions into this database"],
        replication.subscriptions.iter().map(|name| {
            Thing::mended_by(name, format!("ALTER SUBSCRIPTION {} DISABLE;", quote_ident(name)))
        }),
        [
            "their workers write past every gate, and are refused once the side is sealed",
            "Disable them before the cutover and make them anew on the target",
        ],
    );
}

fn durability(side: Side, settings: &BTreeMap<String, String>, findings: &mut Findings) {
    if settings.get("synchronous_commit").is_some_and(|value| value == "off") {
        findings.add(Low, "synchronous_commit", side, [
            "synchronous_commit is off by default here".into(),
            "the server may forget commits it acknowledged when it crashes; ours are made durable".into(),
            String::new(),
        ]);
    }
    if settings.get("default_transaction_read_only").is_some_and(|value| value == "on") {
        findings.add(
            Blocker,
            "read_only",
            side,
            [
                "default_transaction_read_only is on for our role".into(),
                "our objects cannot be created".into(),
                "ALTER ROLE … RESET default_transaction_read_only, or use another role".into(),
            ],
        );
    }
}

/// Finding 26: the lease locks every moved relation at once, and a full lock table fails the
/// *application's* reads.
fn lock_room(
    side: Side,
    facts: &SideFacts,
    settings: &BTreeMap<String, String>,
    evidence: &Evidence,
    findings: &mut Findings,
) {
    let Ok(catalog) = &evidence.source_catalog else { return };
    let topic = "locks in use";
    let Some(database) = findings.known(High, "lock_room", side, topic, &facts.database) else {
        return;
    };
    let room = || {
        let per = number(settings, "max_locks_per_transaction")?;
        let sessions = number(settings, "max_connections")?
            .checked_add(number(settings, "max_prepared_transactions")?)?;
        per.checked_mul(sessions)
    };
    let indexes: usize = catalog.tables.iter().map(|table| table.keys.len()).sum();
    let relations = (catalog.tables.len() + indexes) as u64;
    // Twice for the lease; on the source once for each reader of the copy and its holder.
    let needed = match side {
        Side::Source => relations * 2.max(evidence.options.copy_jobs as u64 + 1),
        Side::Target => relations * 2,
    };
    match room() {
        Some(room) if database.locks + needed <= room => {}
        room => findings.add(
            Blocker,
            "lock_room",
            side,
            [
                format!(
                    "the lock table has room for {} locks",
                    room.map_or("?".into(), |r| r.to_string())
                ),
                format!(
                    "{} are taken and we lock up to {needed} at once; when it is full, \
                 the application's own queries fail",
                    database.locks
                ),
                "Raise max_locks_per_transaction and restart that server".into(),
            ],
        ),
    }
}

fn directness(side: Side, facts: &SideFacts, findings: &mut Findings) {
    let topic = "whether a pooler is in between";
    let Some(direct) = findings.known(Blocker, "pooler", side, topic, &facts.directness) else {
        return;
    };
    if direct.pids.len() > 1 || !direct.named {
        findings.add(Blocker, "pooler", side, [
            "the URL leads through a pooler, not to the server".into(),
            "snapshots, locks and our token belong to one server session, which a pooler shares".into(),
            "Give the server's own address".into(),
        ]);
    }
}

fn role_defaults(side: Side, facts: &SideFacts, findings: &mut Findings) {
    let topic = "settings of roles and databases";
    let Some(defaults) = findings.known(Medium, "role_settings", side, topic, &facts.defaults)
    else {
        return;
    };
    for (whose, name, value) in defaults {
        if name.eq_ignore_ascii_case(TOKEN_SETTING) {
            findings.add(
                Blocker,
                "token",
                side,
                [
                    format!("{whose} has {TOKEN_SETTING} set by default"),
                    "whoever holds the token writes past the seal".into(),
                    format!("ALTER ROLE or ALTER DATABASE … RESET {TOKEN_SETTING}"),
                ],
            );
        } else if name == "synchronous_commit" && value == "off" {
            findings.add(Low, "synchronous_commit", side, [
                format!("synchronous_commit is off for {whose}"),
                "the server may forget commits it acknowledged when it crashes; ours are made durable".into(),
                String::new(),
            ]);
        } else if name == "session_replication_role" && value != "origin" {
            findings.add(
                Medium,
                "replication_role",
                side,
                [
                    format!("session_replication_role is {value} for {whose}"),
                    "that role's writes fire no ordinary triggers; our seal still refuses them"
                        .into(),
                    "Find out who needs it".into(),
                ],
            );
        }
    }
}

fn transactions(side: Side, facts: &SideFacts, evidence: &Evidence, findings: &mut Findings) {
    let topic = "prepared transactions";
    if let Some(prepared) = findings.known(High, "prepared", side, topic, &facts.prepared) {
        findings.many(
            Blocker,
            "prepared",
            side,
            ["prepared transaction", "prepared transactions"],
            prepared,
            [
                "they hold their locks until somebody ends them, and no slot can be made meanwhile",
                "COMMIT PREPARED or ROLLBACK PREPARED each of them",
            ],
        );
    }
    let topic = "open transactions";
    let open = findings.known(High, "long_transaction", side, topic, &facts.long_transactions);
    let long = open.into_iter().flatten();
    findings.many(
        High,
        "long_transaction",
        side,
        ["transaction has been open for long", "transactions have been open for long"],
        long.filter(|it| it.age_s >= evidence.options.long_transaction_s)
            .map(|it| format!("{} s ({})", it.age_s, it.who())),
        [
            "the slot waits for every transaction that writes, and the cutover for every one",
            "End them, or SELECT pg_terminate_backend(pid)",
        ],
    );
}
impl super::OpenTransaction {
    /// Who it is, without what it runs.
    #[must_use]
    pub fn who(&self) -> String {
        let or = |text: &Option<String>, other: &str| {
            text.clone().filter(|t| !t.is_empty()).unwrap_or_else(|| other.to_owned())
        };
        format!(
            "pid {}, role {}, {} from {}, {}",
            self.pid,
            or(&self.user, "unknown"),
            or(&self.application, "unnamed"),
            or(&self.client, "a local socket"),
            or(&self.state, "state unknown"),
        )
    }
}

fn standbys(evidence: &Evidence, findings: &mut Findings) {
    for (side, facts) in [(Side::Source, &evidence.source), (Side::Target, &evidence.target)] {
        let Ok(replication) = &facts.replication else { continue };
        if replication.standbys.is_empty() {
            continue;
        }
        let severity = if evidence.options.standbys_never_promoted || side == Side::Target {
            Low
        } else {
            Blocker
        };
        findings.add(
            severity,
            "standbys",
            side,
            [
                format!("standbys: {}", list(&replication.standbys)),
                "one that is promoted before it has the seal would take writes that are lost"
                    .into(),
                match severity {
                    Low => String::new(),
                    _ => "Declare in the plan that they are never promoted during the migration"
                        .into(),
                },
            ],
        );
    }
}
