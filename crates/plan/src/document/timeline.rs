//! The phases as a picture: inline SVG, coloured by the page's own variables.

use std::fmt::Write as _;

use super::Document;
use super::html::escaped;
use crate::estimate::Span;
use crate::explain::Reversible;

const LABELS: f64 = 130.0;
const WIDTH: f64 = 1000.0;
const RIGHT: f64 = 12.0;
const ROW: f64 = 34.0;
const TOP: f64 = 26.0;

/// Marks of the axis, in milliseconds.
const MARKS: [(u64, &str); 12] = [
    (1_000, "1 s"),
    (10_000, "10 s"),
    (60_000, "1 min"),
    (600_000, "10 min"),
    (3_600_000, "1 h"),
    (6 * 3_600_000, "6 h"),
    (86_400_000, "1 d"),
    (3 * 86_400_000, "3 d"),
    (7 * 86_400_000, "7 d"),
    (30 * 86_400_000, "30 d"),
    (90 * 86_400_000, "90 d"),
    (365 * 86_400_000, "1 y"),
];

/// Rows of bars from begin to likely end, with a thin line from the least to the most.
pub(super) fn svg(document: &Document) -> String {
    let all = document.phases.iter().flat_map(|phase| {
        [Some(phase.reached.likely_ms), phase.reached.most_ms].into_iter().flatten()
    });
    let last = all.max().unwrap_or(0).max(1);
    let scale = Scale { last_ms: last };
    let height = TOP + ROW * document.phases.len() as f64 + 8.0;
    let mut out = format!(
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Phases over time\">"
    );
    // Writing to a text cannot fail.
    axis(&mut out, &scale, height).ok();
    bars(&mut out, &scale, document).ok();
    out + "</svg>"
}

/// Square root, so that a copy of minutes is seen beside a soak of days; the axis says so.
struct Scale {
    last_ms: u64,
}

impl Scale {
    fn x(&self, ms: u64) -> f64 {
        let share = (ms as f64 / self.last_ms as f64).min(1.0).sqrt();
        LABELS + share * (WIDTH - LABELS - RIGHT)
    }
}

fn axis(out: &mut String, scale: &Scale, height: f64) -> std::fmt::Result {
    let mut previous = 0.0;
    for (mark, label) in MARKS.iter().filter(|(mark, _)| *mark <= scale.last_ms) {
        let x = scale.x(*mark);
        if x - previous < 44.0 {
            continue;
        }
        previous = x;
        write!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{height}\"/>\
             <text class=\"mark\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{}\">{label}</text>",
            TOP - 8.0,
            if x > WIDTH - 40.0 { "end" } else { "middle" },
        )?;
    }
    Ok(())
}

fn bars(out: &mut String, scale: &Scale, document: &Document) -> std::fmt::Result {
    let mut begin = 0;
    for (row, phase) in document.phases.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let (from, to) = (scale.x(begin), scale.x(phase.reached.likely_ms));
        begin = phase.reached.likely_ms;
        let class = if phase.steps.iter().any(|step| step.reversible == Reversible::Never) {
            "never"
        } else if phase.steps.iter().any(|step| step.reversible == Reversible::UntilFinish) {
            "moves"
        } else {
            "back"
        };
        let middle = y + ROW / 2.0;
        write!(
            out,
            "<text class=\"phase\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             rx=\"3\"/>",
            LABELS - 12.0,
            middle + 4.5,
            escaped(&phase.name),
            y + 6.0,
            (to - from).max(4.0),
            ROW - 12.0,
        )?;
        range(out, scale, phase.reached, middle)?;
    }
    Ok(())
}

/// A whisker over the bar: the phase ends between its least and its most. Without a most it is
/// dashed and runs to the edge.
fn range(out: &mut String, scale: &Scale, reached: Span, y: f64) -> std::fmt::Result {
    let least = scale.x(reached.least_ms);
    let tick = |x: f64| format!("M{x:.1} {:.1}V{:.1}", y - 5.0, y + 5.0);
    let (most, class, end) = match reached.most_ms.map(|most| scale.x(most)) {
        Some(most) if most - least < 2.0 => return Ok(()),
        Some(most) => (most, "range", tick(most)),
        None => (WIDTH - RIGHT, "range open", String::new()),
    };
    write!(
        out,
        "<path class=\"{class}\" d=\"M{least:.1} {y:.1}H{most:.1}\"/>\
         <path class=\"range\" d=\"{}{end}\"/>",
        tick(least)
    )
}
