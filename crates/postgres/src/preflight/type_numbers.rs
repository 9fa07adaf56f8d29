//! Whether types keep their numbers, which drivers remember for the life of a process.

use std::collections::BTreeSet;

use changeover_types::Side;

use super::Severity::{High, Low};
use super::{Evidence, Fact, Findings, list};
use crate::catalog::Selection;
use crate::session::Session;
use crate::type_numbers::facts::{Creation, read, room};
use crate::type_numbers::plan::{Conditions, Missed, Placing, Shape, distance, plan};

/// What is known of type numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeNumbers {
    /// The source's types and extensions with types.
    pub source: Vec<Creation>,
    /// The target's, under the same selection.
    pub target: Vec<Creation>,
    /// The number that the target gives next; `None` if it was not asked, there being no types.
    pub next: Option<u32>,
}

/// Reads both sides. Uses up one or two of the target's numbers where the source has types.
pub(super) async fn facts(
    source: &mut Session,
    target: &mut Session,
    selection: &Selection,
) -> Fact<TypeNumbers> {
    let ask = async {
        let ours = read(source, selection).await?;
        let theirs = read(target, selection).await?;
        let next = match ours.is_empty() {
            true => None,
            false => Some(room(source, target, selection).await?.next),
        };
        Ok::<_, crate::error::Error>(TypeNumbers { source: ours, target: theirs, next })
    };
    ask.await.map_err(|e| e.to_string())
}

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    let topic = "whether types keep their numbers";
    let fact = &evidence.type_numbers;
    let known = findings.known(High, "type_numbers", Side::Target, topic, fact);
    let Some(facts) = known else { return };
    let Some(next) = facts.next else { return };
    let placing = expected(facts, next, evidence.options.type_numbers_budget);
    if placing.missed.is_empty() {
        kept(facts, next, &placing, findings);
    } else {
        let gate = evidence.options.postgres_gate;
        let (severity, id) = match gate {
            true => (Low, "type_numbers_shown"),
            false => (High, "type_numbers"),
        };
        findings.add(severity, id, Side::Target, lost(facts, next, &placing, gate));
    }
}

/// What placing will come to, if everything goes as it went on the source.
fn expected(facts: &TypeNumbers, next: u32, budget: u64) -> Placing {
    let mut there = BTreeSet::new();
    let mut settled = Placing::default();
    for creation in &facts.source {
        let same = |c: &&Creation| {
            c.catalog_oid == creation.catalog_oid
                && c.name == creation.name
                && (c.schema == creation.schema || c.kind.keyword() == "EXTENSION")
        };
        let Some(theirs) = facts.target.iter().find(same) else { continue };
        there.insert((creation.catalog_oid, creation.oid));
        let numbers = creation.numbers.iter().cloned();
        let (right, other): (Vec<_>, Vec<_>) = numbers.partition(|n| theirs.numbers.contains(n));
        settled.placed += right.len();
        if !other.is_empty() {
            let why = format!("{creation} is on the target already, with other numbers");
            settled.missed.push(Missed { numbers: other, why });
        }
    }
    if budget == 0 {
        for creation in &facts.source {
            if !there.contains(&(creation.catalog_oid, creation.oid)) {
                let why = "the plan's data.type_numbers.budget is 0".to_owned();
                settled.missed.push(Missed { numbers: creation.numbers.clone(), why });
            }
        }
        return settled;
    }
    let taken: BTreeSet<u32> =
        facts.target.iter().flat_map(|c| c.numbers.iter().map(|n| n.oid)).collect();
    let shapes: Vec<Shape> = facts.source.iter().map(Shape::of).collect();
    let conditions = Conditions { next, budget, taken: &taken, there: &there };
    let mut placing = plan(&facts.source, &shapes, &conditions);
    placing.placed += settled.placed;
    placing.missed.extend(settled.missed);
    placing
}

fn kept(facts: &TypeNumbers, next: u32, placing: &Placing, findings: &mut Findings) {
    let nearest = facts.source.iter().map(|c| distance(next, c.first)).min().unwrap_or(0);
    let what = format!("{} type numbers of the source can be had on the target", placing.placed);
    let why = format!(
        "`apply` uses up {} numbers for it, {}; what else creates objects on this server before, a \
         rehearsal too, has room for {nearest} numbers",
        placing.burnt,
        duration(placing.burnt)
    );
    findings.add(Low, "type_numbers_kept", Side::Target, [what, why, String::new()]);
}

/// Numbers that will be others on the target: what, why, and what to do.
fn lost(facts: &TypeNumbers, next: u32, placing: &Placing, gate: bool) -> [String; 3] {
    let all: usize = facts.source.iter().map(|c| c.numbers.len()).sum();
    let names = placing.missed.iter().flat_map(|missed| &missed.numbers);
    let names: Vec<String> = names.map(|n| format!("{}.{}", n.schema, n.name)).collect();
    let shown = match gate {
        true => ", where the PostgreSQL gate shows the source's to all sessions",
        false => "",
    };
    let what = format!(
        "{} of {all} type numbers will be others on the target{shown}: {}",
        names.len(),
        list(&names)
    );
    let mut whys: Vec<&String> = placing.missed.iter().map(|missed| &missed.why).collect();
    whys.dedup();
    let drivers = "Drivers remember type numbers for the life of their process and use them on \
                   every new connection (psycopg and Django: hstore, citext, enums; asyncpg; \
                   node-postgres setTypeParser; Npgsql; JDBC)";
    let then = match gate {
        true => {
            "the gate translates them in descriptions, parameters, binary arrays and rows, and in \
             look-ups by plain columns of the catalogue. It does not translate numbers that are \
             written out in the text of a statement, that became text or integers, or that lie \
             inside COPY in binary format"
        }
        false => {
            "after the cutover, and again after a rollback, they read values of these types \
             wrongly, most often as plain text"
        }
    };
    let why = format!("{}. {drivers}: {then}", list(whys));
    let whole = expected(facts, next, u64::MAX);
    let budget = match whole.missed.len() < placing.missed.len() {
        true => format!(
            ", or let the numbers be used up until they are met: data.type_numbers.budget: {} ({})",
            whole.burnt + u64::from(u16::MAX),
            duration(whole.burnt)
        ),
        false => String::new(),
    };
    let restart = match gate {
        true => {
            "Restart the processes that connect past the gate right after the cutover, and all \
             others when the gate is taken out of their way"
        }
        false => {
            "Restart every process of the application right after the cutover, and after a rollback"
        }
    };
    let fix = format!("{restart}; or use a new target server, whose counter is lower{budget}");
    [what, why, fix]
}

/// What using up so many numbers takes, at 1 µs as a superuser and 3 µs otherwise.
fn duration(numbers: u64) -> String {
    let words = |us: u64| match us / 1_000_000 {
        s @ 0..=119 => format!("{s} s"),
        s => format!("{} min", s / 60),
    };
    match numbers {
        0..=1_000_000 => "a few seconds at most".to_owned(),
        _ => format!("about {} as a superuser, {} otherwise", words(numbers), words(3 * numbers)),
    }
}
