//! The plan of a whole program as a change board reads it: its own steps with times made of its
//! components', and each component's document below.

use std::time::Duration;

use super::control::{before, entrance};
use super::{Control, Document, Line, PhaseWords, Recovery, Risk, StepWords, Surroundings};
use crate::estimate::{Span, show_span};
use crate::program::{
    ExplainedProgramStep, Leg, Own, PlacedProgramStep, Program, ProgramStep, explain_program,
};

/// Puts together what is known of a program. `parts` are the documents of its components, in their
/// order; of `around` only file, tool and time count.
#[must_use]
pub fn program_document(program: &Program, parts: Vec<Document>, around: Surroundings) -> Document {
    let mut walk = Walk {
        program,
        parts: &parts,
        file: &around.file,
        at: vec![0; parts.len()],
        moved: Vec::new(),
        reached: Span::exactly(0),
        without: Vec::new(),
    };
    let explained: Vec<ExplainedProgramStep> = explain_program(program);
    let mut steps = program.steps().zip(explained).enumerate();
    let phases: Vec<PhaseWords> = program
        .phases
        .iter()
        .map(|phase| {
            let (mut span, mut words) = (Span::exactly(0), Vec::new());
            for (index, (placed, explained)) in steps.by_ref().take(phase.steps.len()) {
                let step = walk.step(index + 1, &placed, explained);
                span = match step.span {
                    Some(more) => span.then(more),
                    None => span.and_unknown(),
                };
                words.push(step);
            }
            walk.reached = walk.reached.then(span);
            PhaseWords {
                name: phase.name.clone(),
                entrance: entrance(&phase.entrance),
                steps: words,
                span,
                reached: walk.reached,
                without: walk.without.clone(),
            }
        })
        .collect();
    let takes = match walk.without.as_slice() {
        [] => show_span(walk.reached),
        unknown => {
            format!("{}, and what is not known: {}", show_span(walk.reached), unknown.join(", "))
        }
    };
    let no_return = format!(
        "none in this program: everything can be taken back until somebody runs `changeover finish \
         {}`, which ends all ways back",
        around.file
    );
    Document {
        name: program.name.to_string(),
        owner: program.owner.clone(),
        ticket: program.ticket.clone(),
        digest: program.digest.clone(),
        file: around.file,
        at: around.at,
        tool: around.tool,
        moves: moves(program, &parts),
        objectives: objectives(),
        control: controls(program, &parts),
        phases,
        takes,
        no_return,
        measured: Vec::new(),
        contradictions: Vec::new(),
        risks: risks(program, &parts),
        promises: Vec::new(),
        tools: tools(&parts),
        components: named(program, parts),
    }
}

/// How far everybody is after the steps so far.
struct Walk<'a> {
    program: &'a Program,
    parts: &'a [Document],
    file: &'a str,
    at: Vec<usize>,
    /// In the order in which they moved first.
    moved: Vec<usize>,
    reached: Span,
    without: Vec<String>,
}

impl Walk<'_> {
    fn step(
        &mut self,
        number: usize,
        placed: &PlacedProgramStep<'_>,
        explained: ExplainedProgramStep,
    ) -> StepWords {
        let (span, basis) = match &placed.step.own {
            Some(Own::Soak { for_ }) => {
                (Some(Span::exactly(millis(*for_))), "declared in the program".to_owned())
            }
            None => self.legs(placed.step),
        };
        for leg in &placed.step.legs {
            self.at[leg.component] = leg.steps;
            if self.program.leg_moves(*leg) && !self.moved.contains(&leg.component) {
                self.moved.push(leg.component);
            }
        }
        StepWords {
            number,
            path: explained.path,
            what: explained.what,
            fallback: explained.fallback,
            reversible: explained.reversible,
            span,
            basis,
            recovery: self.recovery(),
        }
    }

    /// How long a step's components take side by side.
    fn legs(&mut self, step: &ProgramStep) -> (Option<Span>, String) {
        let mut spans = Vec::new();
        let mut words = Vec::new();
        for leg in &step.legs {
            let (span, without) = self.leg(*leg);
            let name = &self.program.components[leg.component].name;
            words.push(match (span, without.is_empty()) {
                (span, true) => format!("{name} {}", show_span(span)),
                (span, false) => {
                    format!("{name} {} without {}", show_span(span), without.join(", "))
                }
            });
            self.without.extend(without.iter().map(|path| format!("{name}: {path}")));
            spans.push((span, without.is_empty()));
        }
        let all: Vec<Span> = spans.iter().map(|(span, _)| *span).collect();
        let together = side_by_side(&all, step.at_once);
        let is_known = spans.iter().all(|(_, is_known)| *is_known);
        let together = if is_known { together } else { together.and_unknown() };
        let nothing = spans.iter().all(|(span, is_known)| !is_known && span.likely_ms == 0);
        let span = (spans.is_empty() || !nothing).then_some(together);
        let how = if step.legs.len() > 1 && step.at_once > 1 { ", side by side" } else { "" };
        (span, format!("{}{how}", words.join("; ")))
    }

    /// The time from where a component is to the leg's end, and the steps whose time is not known.
    fn leg(&self, leg: Leg) -> (Span, Vec<String>) {
        let steps = self.parts[leg.component].phases.iter().flat_map(|phase| &phase.steps);
        let (mut span, mut without) = (Span::exactly(0), Vec::new());
        for step in steps.take(leg.steps).skip(self.at[leg.component]) {
            match step.span {
                Some(more) => span = span.then(more),
                None => {
                    span = span.and_unknown();
                    without.push(step.path.clone());
                }
            }
        }
        (span, without)
    }

    /// The way back from here: the last to have moved first.
    fn recovery(&self) -> Recovery {
        let abort = format!("changeover abort {}", self.file);
        if self.moved.is_empty() {
            return Recovery {
                commands: vec![abort],
                what: "what was copied is removed; the sources are as before".to_owned(),
                loses: "nothing: the sources were never anything but the only ones".to_owned(),
                takes: "see each component below".to_owned(),
                rehearsed: None,
            };
        }
        let back: Vec<&str> = self.moved.iter().rev().map(|it| self.name(*it)).collect();
        let takes = self.moved.iter().rev().map(|component| {
            let steps = self.parts[*component].phases.iter().flat_map(|phase| &phase.steps);
            let last = steps.take(self.at[*component]).last();
            let takes = last.map(|step| step.recovery.takes_and_rehearsed());
            let takes = takes.unwrap_or_else(|| "not known".to_owned());
            format!("{}: {takes}", self.name(*component))
        });
        Recovery {
            commands: vec![format!("changeover rollback {}", self.file), abort],
            what: format!(
                "back to the source in this order: {}. `abort` then removes everything that was made",
                back.join(", then ")
            ),
            loses: "nothing: each source has followed every write".to_owned(),
            takes: takes.collect::<Vec<_>>().join("; "),
            rehearsed: None,
        }
    }

    fn name(&self, component: usize) -> &str {
        &self.program.components[component].name
    }
}

/// So many at the same time, each beginning as soon as there is room, in their order.
fn side_by_side(spans: &[Span], at_once: usize) -> Span {
    let schedule = |of: &dyn Fn(&Span) -> Option<u64>| {
        let mut lanes = vec![0_u64; at_once.max(1)];
        for span in spans {
            let first = lanes.iter_mut().min()?;
            *first = first.saturating_add(of(span)?);
        }
        lanes.into_iter().max()
    };
    Span {
        least_ms: schedule(&|span| Some(span.least_ms)).unwrap_or_default(),
        likely_ms: schedule(&|span| Some(span.likely_ms)).unwrap_or_default(),
        most_ms: schedule(&|span| span.most_ms),
    }
}

fn moves(program: &Program, parts: &[Document]) -> Vec<Line> {
    let line = |(component, part): (&crate::Component, &Document)| {
        let mut is = vec![format!("`{}`", part.file)];
        is.extend(part.moves.iter().map(|line| format!("{} {}", line.what, line.is)));
        if !component.needs.is_empty() {
            let needs: Vec<&str> =
                component.needs.iter().map(|it| program.components[*it].name.as_str()).collect();
            is.push(format!("needs {}", needs.join(", ")));
        }
        Line::new(&component.name, is.join("; "))
    };
    program.components.iter().zip(parts).map(line).collect()
}

fn objectives() -> Vec<Line> {
    vec![
        Line::new("data loss", "none, in any component"),
        Line::new("order", "a component is on the target only while everything it needs is there"),
        Line::new(
            "several databases",
            "each changes authority by itself: between two cutovers a read across both may see one \
             moved and the other not",
        ),
    ]
}

/// What the program's own phases wait for, then what each component's plan does.
fn controls(program: &Program, parts: &[Document]) -> Vec<Control> {
    let own = program.phases.iter().flat_map(|phase| before(&phase.name, &phase.entrance));
    let of_parts = program.components.iter().zip(parts).flat_map(|(component, part)| {
        part.control.iter().map(|it| Control {
            of: Some(format!("{}: {}", component.name, it.of())),
            ..it.clone()
        })
    });
    own.chain(of_parts).collect()
}

/// The registers of all components in one, worst first; `None` if one of them was not looked at.
fn risks(program: &Program, parts: &[Document]) -> Option<Vec<Risk>> {
    let mut risks = Vec::new();
    for (component, part) in program.components.iter().zip(parts) {
        risks.extend(part.risks.as_ref()?.iter().map(|risk| Risk {
            what: format!("{}: {}", component.name, risk.what),
            ..risk.clone()
        }));
    }
    risks.sort_by_key(|risk| risk.rank());
    Some(risks)
}

fn tools(parts: &[Document]) -> Vec<Line> {
    let mut tools: Vec<Line> = Vec::new();
    for line in parts.iter().flat_map(|part| &part.tools) {
        if !tools.contains(line) {
            tools.push(line.clone());
        }
    }
    tools
}

fn named(program: &Program, parts: Vec<Document>) -> Vec<Document> {
    let named = |(component, part): (&crate::Component, Document)| {
        let name = match &component.name {
            name if *name == part.name => name.clone(),
            name => format!("{name} (migration {})", part.name),
        };
        Document { name, ..part }
    };
    program.components.iter().zip(parts).map(named).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
