//! The plan as a change board reads it: what happens when, what can go wrong, and the way back
//! from every step. One [`Document`], several forms: [`markdown`], [`html`], JSON; the terminal's is
//! the binary's own.

pub(crate) mod control;
mod html;
mod markdown;
mod program;
mod recovery;
mod timeline;
mod tools;

use serde::Serialize;

use crate::contradictions::Contradiction;
use crate::cost::cost;
use crate::estimate::{Estimates, Measures, Span, show_span};
use crate::explain::{Reversible, explain};
use crate::model::{Plan, PostgresSide};
use crate::units::{show_duration, show_percentage};
use crate::window::show_instant;
pub use control::{Control, ControlKind};
pub use html::html;
pub use markdown::markdown;
pub use program::program_document;
pub use recovery::{Recovery, way_back};

/// What the plan itself does not say.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The plan's file, as commands name it.
    pub file: String,
    /// The program and its version.
    pub tool: String,
    /// When the document was made, for people.
    pub at: String,
    /// What was found; `None` if nobody looked.
    pub risks: Option<Vec<Risk>>,
    /// What can be promised here, and whether it holds.
    pub promises: Vec<(String, bool)>,
    /// Programs and versions that take part.
    pub tools: Vec<Line>,
    /// What in the plan contradicts what was measured.
    pub contradictions: Vec<Contradiction>,
}

/// What a document says of a plan with neither approvals nor windows, deadline or guards.
pub const UNCONTROLLED: &str = "Nobody is asked and nothing is watched: the plan has no approvals, no \
                                windows, no deadline, no guards and no objectives.";

/// A word and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// About what.
    pub what: String,
    /// What is so.
    pub is: String,
}

impl Line {
    /// A line.
    #[must_use]
    pub fn new(what: impl Into<String>, is: impl Into<String>) -> Line {
        Line { what: what.into(), is: is.into() }
    }
}

/// Something that was found and may go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Risk {
    /// Stable.
    pub id: String,
    /// `blocker`, `high`, `medium`, `low`, …: as whoever found it says, worst first.
    pub severity: String,
    /// `source`, `target`, or both.
    pub side: Option<String>,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What mends or softens it.
    pub mitigation: String,
    /// Whose work that is, where it is known.
    pub owner: Option<String>,
    /// Each of several things of that kind.
    pub seen: Vec<String>,
    /// The statements that mend all of them.
    pub script: Vec<String>,
}

impl Risk {
    /// Worst first.
    #[must_use]
    pub fn rank(&self) -> usize {
        let order = ["blocker", "high", "medium", "unknown", "low", "accepted"];
        order.iter().position(|known| *known == self.severity).unwrap_or(order.len())
    }
}

/// The plan for a change board.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    /// The migration.
    pub name: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Where it is tracked.
    pub ticket: Option<String>,
    /// Tells this plan from a changed one.
    pub digest: String,
    /// The plan's file.
    pub file: String,
    /// When the document was made.
    pub at: String,
    /// What made it.
    pub tool: String,
    /// What moves.
    pub moves: Vec<Line>,
    /// What must hold.
    pub objectives: Vec<Line>,
    /// Who must agree, and what may stop the run.
    pub control: Vec<Control>,
    /// What happens.
    pub phases: Vec<PhaseWords>,
    /// How long it takes, in words.
    pub takes: String,
    /// Where the point of no return is.
    pub no_return: String,
    /// What was measured for the estimates, and what not.
    pub measured: Vec<Line>,
    /// What in the plan contradicts it.
    pub contradictions: Vec<Contradiction>,
    /// Worst first; `None` if nobody looked.
    pub risks: Option<Vec<Risk>>,
    /// What can be promised, and whether it holds.
    pub promises: Vec<(String, bool)>,
    /// Programs and versions that take part.
    pub tools: Vec<Line>,
    /// Those of a program; empty for a plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Document>,
}

/// A phase in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseWords {
    /// Its name.
    pub name: String,
    /// Who must approve it, and when it may begin.
    pub entrance: Vec<String>,
    /// Its steps.
    pub steps: Vec<StepWords>,
    /// From its begin to its end.
    pub span: Span,
    /// From the run's begin to its end.
    pub reached: Span,
    /// Steps up to here whose time is not known.
    pub without: Vec<String>,
}

/// A step in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepWords {
    /// From 1 through the whole plan.
    pub number: usize,
    /// As [`crate::PlacedStep::path`].
    pub path: String,
    /// What happens.
    pub what: String,
    /// What happens if it does not work out.
    pub fallback: String,
    /// Whether it can be taken back.
    pub reversible: Reversible,
    /// How long it takes; `None` if it is not known.
    pub span: Option<Span>,
    /// What that was computed from.
    pub basis: String,
    /// The way back from it.
    pub recovery: Recovery,
}

impl StepWords {
    /// How long it takes, for people.
    #[must_use]
    pub fn takes(&self) -> String {
        self.span.map_or_else(|| "not known".to_owned(), show_span)
    }

    /// Whether it can be taken back, for people.
    #[must_use]
    pub fn back(&self) -> &'static str {
        match self.reversible {
            Reversible::ReadOnly => "changes nothing",
            Reversible::Always => "can be taken back",
            Reversible::UntilFinish => "can be taken back until finish",
            Reversible::Never => "POINT OF NO RETURN",
        }
    }
}

/// Neighbouring steps that share their way back.
#[derive(Clone, Debug)]
pub struct WayBack<'a> {
    /// At least one.
    pub steps: Vec<&'a StepWords>,
    /// The way back from each of them.
    pub recovery: &'a Recovery,
}

impl WayBack<'_> {
    /// `step 3` or `steps 4 to 9`.
    #[must_use]
    pub fn numbers(&self) -> String {
        let (first, last) = (self.steps.first(), self.steps.last());
        match (first.map(|it| it.number), last.map(|it| it.number)) {
            (Some(first), Some(last)) if first < last => format!("steps {first} to {last}"),
            (first, _) => format!("step {}", first.unwrap_or_default()),
        }
    }

    /// What a rehearsal found, a sentence for each step that it tells something of.
    #[must_use]
    pub fn rehearsed(&self) -> Vec<String> {
        let found =
            self.steps.iter().filter_map(|it| Some((it.number, it.recovery.rehearsed.as_ref()?)));
        found.map(|(number, found)| format!("step {number}: {found}")).collect()
    }

    /// The steps' paths.
    #[must_use]
    pub fn paths(&self) -> String {
        self.steps.iter().map(|it| it.path.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Document {
    /// The recovery plan, from the first step to the last.
    #[must_use]
    pub fn ways_back(&self) -> Vec<WayBack<'_>> {
        let steps: Vec<&StepWords> = self.phases.iter().flat_map(|phase| &phase.steps).collect();
        // What a rehearsal found is said of each step, what its plan says of all that share it.
        let plan = |it: &Recovery| Recovery { rehearsed: None, ..it.clone() };
        let groups = steps.chunk_by(|a, b| plan(&a.recovery) == plan(&b.recovery));
        groups
            .map(|group| WayBack { steps: group.to_vec(), recovery: &group[0].recovery })
            .collect()
    }
}

/// Puts together what is known of a plan.
#[must_use]
pub fn document(
    plan: &Plan,
    estimates: &Estimates,
    measures: &Measures,
    around: Surroundings,
) -> Document {
    let mut steps = explain(plan)
        .into_iter()
        .zip(&estimates.steps)
        .enumerate()
        .map(|(index, (explained, estimated))| StepWords {
            number: index + 1,
            recovery: recovery::from(plan, index, (estimates, measures), &around.file),
            path: explained.path,
            what: explained.what,
            fallback: explained.fallback,
            reversible: explained.reversible,
            span: estimated.span,
            basis: estimated.basis.clone(),
        })
        .collect::<Vec<_>>()
        .into_iter();
    let phases: Vec<PhaseWords> = plan
        .phases
        .iter()
        .zip(&estimates.milestones)
        .map(|(phase, milestone)| PhaseWords {
            name: phase.name.clone(),
            entrance: control::entrance(&phase.entrance),
            steps: steps.by_ref().take(phase.steps.len()).collect(),
            span: milestone.span,
            reached: milestone.reached,
            without: milestone.without.clone(),
        })
        .collect();
    Document {
        name: plan.name.to_string(),
        owner: plan.owner.clone(),
        ticket: plan.ticket.clone(),
        digest: plan.digest.clone(),
        no_return: no_return(&phases, &around.file),
        takes: takes(estimates),
        moves: moves(plan),
        objectives: objectives(plan, estimates),
        control: control::controls(plan),
        phases,
        measured: measured(measures),
        file: around.file,
        at: around.at,
        tools: tools::tools(plan, &around.tool, around.tools),
        tool: around.tool,
        contradictions: around.contradictions,
        risks: around.risks,
        promises: around.promises,
        components: Vec::new(),
    }
}

fn takes(estimates: &Estimates) -> String {
    let whole = show_span(estimates.whole());
    match estimates.without() {
        [] => whole,
        unknown => format!("{whole}, and what is not known: {}", unknown.join(", ")),
    }
}

fn no_return(phases: &[PhaseWords], file: &str) -> String {
    let steps = phases.iter().flat_map(|phase| &phase.steps);
    match steps.clone().find(|step| step.reversible == Reversible::Never) {
        Some(step) => format!("step {}, {}: {}", step.number, step.path, step.what),
        None => format!(
            "none in this plan: everything can be taken back until somebody runs `changeover finish \
             {file}`"
        ),
    }
}

fn moves(plan: &Plan) -> Vec<Line> {
    let mut lines = Vec::new();
    for (word, side) in [("source", &plan.source), ("target", &plan.target)] {
        let http = side.http.iter().map(|http| format!("HTTP {}", http.upstreams.join(", ")));
        let postgres =
            side.postgres.iter().map(|PostgresSide { url, .. }| format!("PostgreSQL at {url}"));
        lines.push(Line::new(word, http.chain(postgres).collect::<Vec<_>>().join("; ")));
    }
    if let Some(gate) = &plan.gates.http {
        lines.push(Line::new("HTTP gate", gate.listen.to_string()));
    }
    if let Some(gate) = &plan.gates.postgres {
        lines.push(Line::new("PostgreSQL gate", gate.listen.to_string()));
    }
    if plan.moves_data() {
        let all = "all schemas".to_owned();
        let some = |list: &[String]| list.join(", ");
        let include = if plan.data.include.is_empty() { all } else { some(&plan.data.include) };
        lines.push(Line::new("data", include));
        if !plan.data.exclude.is_empty() {
            lines.push(Line::new("stays behind", some(&plan.data.exclude)));
        }
    }
    lines
}

fn objectives(plan: &Plan, estimates: &Estimates) -> Vec<Line> {
    let objectives = &plan.objectives;
    let mut lines = Vec::new();
    if plan.moves_data() {
        let pause = show_duration(objectives.write_pause);
        lines.push(Line::new("data loss", "none"));
        lines
            .push(Line::new("longest write pause", format!("{pause}; a longer one is called off")));
        let keep = show_duration(plan.data.reverse_keep);
        lines.push(Line::new(
            "way back",
            format!("kept open for {keep}, then `finish` is asked for"),
        ));
    }
    if let Some(rate) = objectives.error_rate {
        lines.push(Line::new("error budget", format!("{} of the requests", show_percentage(rate))));
    }
    if let Some(latency) = objectives.latency_p99 {
        lines.push(Line::new("latency, 99th percentile", show_duration(latency)));
    }
    if let Some(deadline) = objectives.deadline {
        lines.push(Line::new("deadline", show_instant(deadline.at)));
    }
    if let (Some(prices), Some(cost)) = (&plan.cost, cost(plan, estimates)) {
        let ceiling = objectives.cost_ceiling.map(|it| format!("; at most {it:.2} is allowed"));
        let is = cost.words(&prices.currency) + &ceiling.unwrap_or_default();
        lines.push(Line::new("cost of double running", is));
    }
    lines
}

fn measured(measures: &Measures) -> Vec<Line> {
    use crate::estimate::size;
    let rate = |bytes: u64| format!("{}/s", size(bytes));
    let mut lines = Vec::new();
    let mut add = |what: &str, is: Option<String>| {
        lines.extend(is.map(|is| Line::new(what, is)));
    };
    add("rows", measures.bytes.map(size));
    add("largest table", measures.largest_table_bytes.map(size));
    add("indexes", measures.index_bytes.map(size));
    add("one session reads on the source", measures.read_bytes_per_s.map(rate));
    let write = measures.write_bytes_per_s.map(rate);
    add(
        "one session writes on the target",
        write.map(|it| it + " (into a temporary table, unlogged)"),
    );
    add("the source's server writes of log", measures.change_bytes_per_s.map(rate));
    let answer = measures.answer_us.map(|(source, target)| {
        format!("{:.1} ms and {:.1} ms", source as f64 / 1000.0, target as f64 / 1000.0)
    });
    add("source and target answer within", answer);
    for earlier in &measures.earlier {
        lines.push(Line::new("measured before", earlier.origin.clone()));
    }
    lines.extend(measures.unknown.iter().map(|unknown| Line::new("not known", unknown.clone())));
    lines
}

#[cfg(test)]
mod tests;
