//! The path of requests: clocks, certificates, health, names, repetition.

use changeover_types::{Side, questions};

use crate::answers::{declared, sighted, unanswered};
use crate::check::{Check, Owner, Verdict};
use crate::finding::Severity::{Blocker, High, Medium};
use crate::inventory::{Inventory, Upstream};
use crate::words::{list, seconds};

const SKEW_MS: u64 = 200;
const CERTIFICATE_S: u64 = 30 * 86_400;
const TTL_MS: u64 = 300_000;
/// A gate waits so long for requests that are under way.
const DRAIN_MS: u64 = 30_000;
const NO_UPSTREAM: &str = "no HTTP upstreams were given";

fn upstreams(inventory: &Inventory) -> impl Iterator<Item = (Side, &Upstream)> {
    [Side::Source, Side::Target]
        .into_iter()
        .flat_map(|side| inventory.side(side).upstreams.iter().map(move |it| (side, it)))
}

pub(super) const CLOCKS: Check = Check {
    id: "R33-clocks",
    title: "Clocks differ",
    severity: High,
    rule: "the clock of a database or upstream is more than 200 ms from this machine's",
    why: "certificates, sessions, tokens and logs of both sides are compared during the move",
    mitigation: "run NTP (chrony) on every host, and look at its offset",
    owner: Owner::Platform,
    judge: clocks,
};

fn clocks(inventory: &Inventory) -> Verdict {
    let mut verdict = Verdict::default();
    let mut clocks = Vec::new();
    for side in [Side::Source, Side::Target] {
        if let Some(database) = &inventory.side(side).database {
            clocks.push((side, format!("the {side}'s database"), &database.clock_skew_ms));
        }
    }
    clocks.extend(upstreams(inventory).map(|(side, it)| (side, it.url.clone(), &it.clock_skew_ms)));
    if clocks.is_empty() {
        return Verdict::not_applicable("neither databases nor upstreams were given");
    }
    for (side, whose, fact) in clocks {
        if let Some(skew) = verdict.known(format!("the clock of {whose}"), fact)
            && skew.unsigned_abs() > SKEW_MS
        {
            let way = if *skew > 0 { "ahead" } else { "behind" };
            verdict.fires(side, format!("{whose} is {} ms {way}", skew.unsigned_abs()));
        }
    }
    verdict
}

pub(super) const TLS: Check = Check {
    id: "R34-certificates",
    title: "Certificates that clients will refuse",
    severity: Blocker,
    rule: "the authority is unknown, the certificate ends within 30 days, or it is for other names",
    why: "every client is refused at once, and none of our retries helps",
    mitigation: "renew it, or install one for the names that clients use, before the canary",
    owner: Owner::Security,
    judge: tls,
};

fn tls(inventory: &Inventory) -> Verdict {
    let mut verdict = Verdict::default();
    let mut any = false;
    for (side, upstream) in upstreams(inventory) {
        let Some(fact) = &upstream.tls else { continue };
        any = true;
        let url = &upstream.url;
        let Some(certificate) = verdict.known(format!("the certificate of {url}"), fact) else {
            continue;
        };
        if let Some(why) = &certificate.untrusted {
            verdict.fires(side, format!("{url} is not trusted: {why}"));
        }
        if !certificate.names_host {
            let names = list(&certificate.names);
            verdict.fires(side, format!("{url} has a certificate for {names}"));
        }
        let left = certificate.not_after.since(inventory.at).as_secs();
        if left < CERTIFICATE_S {
            let when = match left {
                0 => "has ended".to_owned(),
                left => format!("ends in {}", seconds(left)),
            };
            verdict.fires(side, format!("the certificate of {url} {when}"));
        }
    }
    if !any {
        return Verdict::not_applicable("no upstream is asked with TLS");
    }
    verdict
}

pub(super) const HEALTH: Check = Check {
    id: "R35-health",
    title: "Health that says nothing of the database",
    severity: High,
    rule: "an upstream has no health endpoint, or it is healthy without its database",
    why: "the canary and the switch trust it: a side whose database is gone would get traffic",
    mitigation: "add a health endpoint that reads from the database, with a short timeout",
    owner: Owner::Application,
    judge: health,
};

fn health(inventory: &Inventory) -> Verdict {
    let mut verdict = Verdict::default();
    let mut silent = Vec::new();
    for (side, upstream) in upstreams(inventory) {
        let topic = format!("the health of {}", upstream.url);
        let Some(health) = verdict.known(topic, &upstream.health) else { continue };
        if !(200..300).contains(&health.status) {
            let evidence = format!(
                "{}{} answers {} (is it elsewhere? --health-path PATH)",
                upstream.url, health.path, health.status
            );
            verdict.fires(side, evidence);
        } else if !health.names_database {
            silent.push(&upstream.url);
        }
    }
    if upstreams(inventory).next().is_none() {
        return Verdict::not_applicable(NO_UPSTREAM);
    }
    if let Ok(without) = inventory.around.without_health.get() {
        sighted(without, &mut verdict);
    }
    if !silent.is_empty() && inventory.source.database.is_some() {
        inventory.expect(&questions::HEALTH_READS_DATABASE, true, &mut verdict);
    }
    verdict
}

pub(super) const DNS: Check = Check {
    id: "R36-dns",
    title: "Names that move slowly",
    severity: Medium,
    rule: "the time to live is over 300 s, or CAA or DNSSEC records forbid the new certificate",
    why: "clients that remember the old address come back to it for as long as they remember",
    mitigation: "lower the TTL to 60 s a day before; add the new authority to CAA",
    owner: Owner::Platform,
    judge: dns,
};

fn dns(inventory: &Inventory) -> Verdict {
    if upstreams(inventory).next().is_none() {
        return Verdict::not_applicable(NO_UPSTREAM);
    }
    let mut verdict = Verdict::default();
    if let Ok(slow) = inventory.around.slow_names.get() {
        sighted(slow, &mut verdict);
    }
    match inventory.number(&questions::DNS_TTL) {
        Some((ttl_ms, place)) if ttl_ms > TTL_MS => {
            let ttl = seconds(ttl_ms / 1000);
            verdict.fires(None, format!("the TTL is {ttl} (declared in {place})"));
        }
        Some(_) => {}
        None => verdict.cannot_tell(unanswered(&questions::DNS_TTL)),
    }
    inventory.expect(&questions::DNS_ALLOWS_CERTIFICATE, true, &mut verdict);
    verdict
}

pub(super) const REPEATABLE: Check = Check {
    id: "R39-repeatable-requests",
    title: "Requests that cannot be repeated, or outlast the switch",
    severity: Medium,
    rule: "requests that write cannot be repeated, or may take longer than 30 s",
    why: "a request whose answer was lost must be sent again; one that outlasts draining is cut",
    mitigation: "use keys for repetition (Idempotency-Key); bound requests to half a minute",
    owner: Owner::Application,
    judge: repeatable,
};

fn repeatable(inventory: &Inventory) -> Verdict {
    if upstreams(inventory).next().is_none() {
        return Verdict::not_applicable(NO_UPSTREAM);
    }
    let mut verdict = Verdict::default();
    if let Ok(long) = inventory.around.long_requests.get() {
        sighted(long, &mut verdict);
    }
    inventory.expect(&questions::RETRY_SAFE, true, &mut verdict);
    match inventory.number(&questions::LONGEST_REQUEST) {
        Some((ms, place)) if ms > DRAIN_MS => {
            let longest = seconds(ms / 1000);
            let evidence = format!("{} ({longest})", declared(&questions::LONGEST_REQUEST, place));
            verdict.fires(None, evidence);
        }
        Some(_) => {}
        None => verdict.cannot_tell(unanswered(&questions::LONGEST_REQUEST)),
    }
    verdict
}
