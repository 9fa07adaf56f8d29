//! The service and its neighbours: what files, hosts and people tell.

use changeover_types::{Question, Side, questions};

use crate::check::{Check, Owner, Verdict};
use crate::fact::Fact;
use crate::finding::Severity::{Blocker, High, Medium};
use crate::inventory::{Inventory, Sighting};
use crate::words::list;

pub(super) const HARD_CODED: Check = Check {
    id: "R37-hard-coded-addresses",
    title: "The source's address is written down",
    severity: High,
    rule: "configuration, environment or code names hosts or addresses of the source",
    why: "whoever uses it goes around the gate, before the switch and after it",
    mitigation: "replace each by a name that the gate answers to, and watch who still comes",
    owner: Owner::Application,
    judge: |inventory| {
        settled(inventory, &inventory.around.hard_coded, &questions::OLD_ADDRESS_IN_USE, false)
    },
};

pub(super) const LOCAL_STATE: Check = Check {
    id: "R40-local-state",
    title: "State outside the database",
    severity: High,
    rule: "sessions or uploads are kept on local disks or in memory",
    why: "they stay on the old side: users are logged out, files are missing",
    mitigation: "move them to the database or shared storage first, or copy them with the move",
    owner: Owner::Application,
    judge: |inventory| {
        settled(inventory, &inventory.around.local_state, &questions::KEEPS_LOCAL_STATE, false)
    },
};

pub(super) const WORKERS: Check = Check {
    id: "R41-workers",
    title: "Workers would run on both sides",
    severity: Blocker,
    rule: "workers, timers or cron jobs exist and nothing says that they run on one side only",
    why: "mail is sent twice, invoices are written twice: no rollback takes that back",
    mitigation: "start them on the target only after the cutover, or guard them by a lock in the \
                 database; then declare service.workers_on_one_side",
    owner: Owner::Application,
    judge: |inventory| {
        settled(inventory, &inventory.around.workers, &questions::WORKERS_ON_ONE_SIDE, true)
    },
};

pub(super) const EGRESS: Check = Check {
    id: "R42-egress",
    title: "Partners do not know the target's addresses",
    severity: High,
    rule: "allow-lists or firewalls lack the target's outgoing addresses",
    why: "calls to payment, mail and other partners fail from the new side only",
    mitigation: "ask each partner to add the new addresses, and test a call from the target",
    owner: Owner::Security,
    judge: |inventory| {
        settled(inventory, &inventory.around.third_parties, &questions::EGRESS_ALLOWED, true)
    },
};

pub(super) const WEBHOOKS: Check = Check {
    id: "R43-webhooks",
    title: "Partners call the old address",
    severity: Medium,
    rule: "webhooks or partners have the source's address in their settings",
    why: "their calls go to the old side for as long as nobody changes them",
    mitigation: "give them a name that moves, or keep a gate on the old address",
    owner: Owner::Application,
    judge: |inventory| {
        let mut verdict = Verdict::default();
        inventory.expect(&questions::PIN_ADDRESS, false, &mut verdict);
        verdict
    },
};

pub(super) const CACHES: Check = Check {
    id: "R44-caches-and-queues",
    title: "Caches are cold or queues stay behind",
    severity: Medium,
    rule: "caches or queues exist that are neither shared, nor warmed, nor moved",
    why: "a cold cache multiplies the load on the new database; jobs in an old queue are lost",
    mitigation: "warm caches from real traffic during the canary; drain or share the queues",
    owner: Owner::Application,
    judge: |inventory| {
        settled(inventory, &inventory.around.shared_stores, &questions::CACHES_PREPARED, true)
    },
};

pub(super) const VERSIONS: Check = Check {
    id: "R45-versions",
    title: "The sides run different versions",
    severity: High,
    rule: "upstreams or images of the two sides name different versions",
    why: "a difference seen during the canary may be the version's, not the environment's",
    mitigation: "move first, upgrade later; or declare that these versions may run side by side",
    owner: Owner::Application,
    judge: versions,
};

fn versions(inventory: &Inventory) -> Verdict {
    let told = |side: Side| -> Vec<&String> {
        let upstreams = &inventory.side(side).upstreams;
        let mut told: Vec<&String> =
            upstreams.iter().filter_map(|upstream| upstream.version.get().ok()).collect();
        told.sort();
        told.dedup();
        told
    };
    let (ours, theirs) = (told(Side::Source), told(Side::Target));
    let everybody = [Side::Source, Side::Target].into_iter().all(|side| {
        let upstreams = &inventory.side(side).upstreams;
        !upstreams.is_empty() && upstreams.iter().all(|upstream| upstream.version.get().is_ok())
    });
    let around = &inventory.around.version_differences;
    let differ = !ours.is_empty() && !theirs.is_empty() && ours != theirs;
    // What both sides' upstreams say themselves needs no declaration; files that could not be
    // compared prove nothing against it.
    if everybody && !differ && around.get().map_or(true, Vec::is_empty) {
        return Verdict::default();
    }
    let mut seen = around.get().cloned().unwrap_or_default();
    if differ {
        let what = format!("{} on the source, {} on the target", list(ours), list(theirs));
        seen.push(Sighting { what, place: "their own answers".to_owned() });
    }
    let seen = Fact { value: crate::fact::Value::Known(seen), ..around.clone() };
    settled(inventory, &seen, &questions::SAME_VERSION, true)
}

pub(super) const METRICS: Check = Check {
    id: "R46-metrics",
    title: "Not everything is watched",
    severity: High,
    rule: "metrics of one side are not gathered, or no alert fires when an objective is missed",
    why: "a guard without data holds the move, and nobody sees what users see",
    mitigation: "add both sides to the scrape configuration, with a label for the side",
    owner: Owner::Platform,
    judge: |inventory| {
        let (seen, question) = (&inventory.around.unmonitored, &questions::METRICS_OF_BOTH);
        let mut verdict = settled(inventory, seen, question, true);
        inventory.expect(&questions::METRICS_ALERT, true, &mut verdict);
        verdict
    },
};

pub(super) const SWITCH: Check = Check {
    id: "R48-switch-in-pipeline",
    title: "A pipeline owns the switch",
    severity: Blocker,
    rule: "a resource that decides where traffic goes is in a Terraform or CloudFormation state",
    why: "the next apply of the pipeline puts the old weights back: it undoes the migration",
    mitigation: "freeze the pipeline, ignore changes of that attribute, or switch through its \
                 variable; close with a patch that writes the new value",
    owner: Owner::Platform,
    judge: |inventory| {
        let mut verdict = Verdict::default();
        let (seen, question) = (&inventory.around.switch_owners, &questions::SWITCH_IN_PIPELINE);
        inventory.seen_or_admitted(seen, question, &mut verdict);
        verdict
    },
};

pub(super) const CREDENTIALS: Check = Check {
    id: "R49-credentials",
    title: "Credentials in clear text, or too powerful",
    severity: High,
    rule: "files hold passwords or tokens in clear text, or clients use a superuser",
    why: "whoever reads the file may write past every gate; a superuser lifts our seal",
    mitigation: "keep secrets in a secret store; give the application a role of its own",
    owner: Owner::Security,
    judge: credentials,
};

fn credentials(inventory: &Inventory) -> Verdict {
    let mut verdict = Verdict::default();
    let (seen, question) = (&inventory.around.credentials, &questions::SECRETS_IN_CLEAR);
    inventory.seen_or_admitted(seen, question, &mut verdict);
    if let Some(database) = &inventory.source.database
        && let Some(activity) = verdict.known("source: its clients", &database.activity)
    {
        for client in activity.clients.iter().filter(|client| client.superuser) {
            let name = if client.application.is_empty() { "unnamed" } else { &client.application };
            verdict.fires(Side::Source, format!("{name} connects as superuser {}", client.user));
        }
    }
    verdict
}

/// What was seen, settled by an answer of `good`.
fn settled(
    inventory: &Inventory,
    seen: &Fact<Vec<Sighting>>,
    question: &Question,
    good: bool,
) -> Verdict {
    let mut verdict = Verdict::default();
    inventory.seen_or_answered(seen, question, good, &mut verdict);
    verdict
}
