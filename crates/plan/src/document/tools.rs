//! Programs and servers that take part: those that were found, and those that the plan names.

use super::Line;
use crate::model::checks::{Load, Traffic};
use crate::model::{Measure, Plan, Step};

/// The tool itself, what was found, and what the plan calls or asks.
pub(super) fn tools(plan: &Plan, tool: &str, found: Vec<Line>) -> Vec<Line> {
    let own = (!tool.is_empty()).then(|| Line::new("this program", tool));
    let mut tools: Vec<Line> = own.into_iter().chain(found).collect();
    for guard in &plan.guards {
        let of = format!("guard {}", guard.name);
        match &guard.measure {
            Measure::Prometheus { url, .. } => {
                tools.push(Line::new(of, format!("Prometheus at {url}")));
            }
            Measure::Exec { argv, .. } => tools.push(Line::new(of, command(argv))),
            _ => {}
        }
    }
    for placed in plan.steps() {
        if let Step::Canary(canary) = placed.step {
            let outside = canary.outside.iter();
            tools.extend(outside.map(|it| {
                Line::new(
                    format!("{} {}", placed.path, it.name),
                    format!("Prometheus at {}", it.url),
                )
            }));
        }
        if let Step::Run { exec, .. } | Step::Load(Load { traffic: Traffic::Exec(exec), .. }) =
            placed.step
        {
            tools.push(Line::new(placed.path, command(&exec.command)));
        }
    }
    tools
}

fn command(argv: &[String]) -> String {
    format!("`{}`", argv.join(" "))
}
