//! The map as one self-contained picture: no script, no font, no link to anywhere, readable in
//! dark and light.

use std::fmt::Write;

use super::layout::{BOX_HEIGHT, BOX_WIDTH, Layout, Line, layout};
use super::merge::{Edge, Map, Node};
use super::{Evidence, Kind, Relation, Trait};

const STYLE: &str = include_str!("svg/style.css");
const MARGIN: f64 = 40.0;
const HEAD: f64 = 120.0;
const FOOT: f64 = 78.0;
const LEAST_WIDTH: f64 = 900.0;
/// The legend's entries: class and words.
const KINDS: [(&str, &str); 6] = [
    ("service", "service"),
    ("database", "database"),
    ("queue", "queue"),
    ("cache", "cache"),
    ("third", "third party"),
    ("host", "host"),
];

/// Draws the map under a title.
#[must_use]
pub fn svg(map: &Map, title: &str) -> String {
    let plan = layout(map);
    let width = (plan.width + 2.0 * MARGIN).max(LEAST_WIDTH);
    let left = (width - plan.width) / 2.0;
    let height = HEAD + plan.height + FOOT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>\n{STYLE}</style>\n",
        title = escape(title)
    );
    for (id, class) in
        [("arrow", "head"), ("arrow-cycle", "head cycle"), ("arrow-thin", "head thin")]
    {
        add(
            &mut out,
            &format!(
                "<marker id=\"{id}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" \
             markerHeight=\"7\" orient=\"auto\"><path class=\"{class}\" d=\"M0 1 10 5 0 9z\"/></marker>"
            ),
        );
    }
    add(&mut out, &format!("<rect class=\"page\" width=\"{width:.0}\" height=\"{height:.0}\"/>"));
    heading(&mut out, map, title);
    add(&mut out, &format!("<g transform=\"translate({left:.0} {HEAD:.0})\">"));
    columns(&mut out, &plan);
    for frame in &plan.frames {
        add(
            &mut out,
            &format!(
                "<rect class=\"together\" x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"14\"/>",
                frame.x, frame.y, frame.width, frame.height
            ),
        );
    }
    // Cycles last, so that nothing crosses over them.
    let mut drawn: Vec<(&Edge, &Line)> = map.edges.iter().zip(&plan.lines).collect();
    drawn.sort_by_key(|(edge, _)| edge.in_cycle);
    for (edge, line) in drawn {
        dependency(&mut out, map, edge, line);
    }
    for (node, spot) in map.nodes.iter().zip(&plan.boxes) {
        component(&mut out, map, node, spot.x, spot.y);
    }
    add(&mut out, "</g>");
    legend(&mut out, map, height - FOOT + 42.0);
    out.push_str("</svg>\n");
    out
}

fn add(out: &mut String, text: &str) {
    // Writing to a text cannot fail.
    let _infallible = writeln!(out, "{text}");
}

fn heading(out: &mut String, map: &Map, title: &str) {
    let count =
        |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let observed = map.edges.iter().filter(|edge| edge.observed).count();
    let facts = [
        count(map.nodes.len(), "component", "components"),
        count(map.edges.len(), "dependency", "dependencies") + &format!(", {observed} observed"),
        count(map.cycles.len(), "cycle", "cycles"),
        count(map.order.len(), "step", "steps"),
    ];
    add(out, &format!("<text class=\"title\" x=\"{MARGIN}\" y=\"48\">{}</text>", escape(title)));
    add(
        out,
        &format!("<text class=\"facts\" x=\"{MARGIN}\" y=\"72\">{}</text>", facts.join(" · ")),
    );
}

fn columns(out: &mut String, plan: &Layout) {
    for column in 0..plan.columns {
        let x = plan.width * column as f64 / (plan.columns.max(2) - 1) as f64;
        let x = if plan.columns == 1 {
            0.0
        } else {
            x - BOX_WIDTH * column as f64 / (plan.columns - 1) as f64
        };
        let stays = plan.has_stays && column + 1 == plan.columns;
        let name = match (stays, column) {
            (true, _) => "stays".to_owned(),
            (false, 0) => "wave 1 · moves first".to_owned(),
            (false, _) => format!("wave {}", column + 1),
        };
        add(out, &format!("<text class=\"column\" x=\"{x:.0}\" y=\"-18\">{name}</text>"));
    }
}

fn dependency(out: &mut String, map: &Map, edge: &Edge, line: &Line) {
    let class = match (edge.relation, edge.in_cycle, edge.observed) {
        (Relation::Uses, true, true) => "edge cycle",
        (Relation::Uses, true, false) => "edge cycle declared",
        (Relation::Uses, false, true) => "edge",
        (Relation::Uses, false, false) => "edge declared",
        _ => "edge thin",
    };
    let head = match class {
        c if c.contains("cycle") => "arrow-cycle",
        c if c.contains("thin") => "arrow-thin",
        _ => "arrow",
    };
    let label = |id| map.node(id).map_or("", |node| node.label.as_str());
    let verb = match edge.relation {
        Relation::Uses => "uses",
        Relation::Watches => "watches",
        Relation::RunsOn => "runs on",
    };
    let tip =
        format!("{} {verb} {}\n{}", label(&edge.from), label(&edge.to), evidence(&edge.evidence));
    add(
        out,
        &format!(
            "<path class=\"{class}\" marker-end=\"url(#{head})\" d=\"{}\"><title>{}</title></path>",
            curve(line),
            escape(&tip)
        ),
    );
}

fn curve(line: &Line) -> String {
    let Some((first, rest)) = line.points.split_first() else { return String::new() };
    let mut path = format!("M{:.1} {:.1}", first.x, first.y);
    let mut last = first;
    for point in rest {
        let text = if let Some(bow) = line.bow {
            let x = last.x + bow;
            format!(" C{x:.1} {:.1} {x:.1} {:.1} {:.1} {:.1}", last.y, point.y, point.x, point.y)
        } else if (point.y - last.y).abs() < 0.05 {
            format!(" L{:.1} {:.1}", point.x, point.y)
        } else {
            let half = (point.x - last.x) / 2.0;
            let (a, b) = (last.x + half, point.x - half);
            format!(" C{a:.1} {:.1} {b:.1} {:.1} {:.1} {:.1}", last.y, point.y, point.x, point.y)
        };
        path.push_str(&text);
        last = point;
    }
    path
}

fn component(out: &mut String, map: &Map, node: &Node, x: f64, y: f64) {
    let class = class(node.kind);
    let second = subtitle(node);
    let tip =
        format!("{}\n{}\n{}", node.label, node.addresses.join(", "), evidence(&node.evidence));
    add(
        out,
        &format!(
            "<g transform=\"translate({x:.0} {y:.0})\"><title>{}</title>\
         <rect class=\"box {class}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"9\"/>\
         <rect class=\"band {class}\" width=\"6\" height=\"{}\" x=\"0\" y=\"10\" rx=\"3\"/>\
         <text class=\"label\" x=\"18\" y=\"23\">{}</text>\
         <text class=\"second\" x=\"18\" y=\"41\">{}</text>",
            escape(&tip),
            BOX_HEIGHT - 20.0,
            escape(&fit(&node.label, 19)),
            escape(&fit(&second, 29)),
        ),
    );
    let step = map.order.iter().position(|place| place.members.contains(&node.id));
    if let Some(step) = step {
        let right = BOX_WIDTH - 16.0;
        add(
            out,
            &format!(
                "<text class=\"step\" x=\"{right}\" y=\"23\" text-anchor=\"end\">{}</text>",
                step + 1
            ),
        );
    }
    add(out, "</g>");
}

fn subtitle(node: &Node) -> String {
    let kind = match node.kind {
        Kind::Service if node.traits.contains(&Trait::Background) => "background work",
        Kind::Service if node.traits.contains(&Trait::FacesClients) => "faces clients",
        Kind::Service => "service",
        Kind::Database => "database",
        Kind::Queue => "queue",
        Kind::Cache => "cache",
        Kind::ThirdParty => "third party",
        Kind::Host => "host",
    };
    let engine = node.engine.as_deref().filter(|engine| *engine != node.label);
    match engine {
        Some(engine) => format!("{engine} · {kind}"),
        None => kind.to_owned(),
    }
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service",
        Kind::Database => "database",
        Kind::Queue => "queue",
        Kind::Cache => "cache",
        Kind::ThirdParty => "third",
        Kind::Host => "host",
    }
}

fn legend(out: &mut String, map: &Map, y: f64) {
    let mut x = MARGIN;
    add(out, "<g class=\"legend\">");
    for (class_name, words) in KINDS {
        if !map.nodes.iter().any(|node| class(node.kind) == class_name) {
            continue;
        }
        add(
            out,
            &format!(
                "<rect class=\"band {class_name}\" x=\"{x:.0}\" y=\"{:.0}\" width=\"12\" height=\"12\" rx=\"3\"/>\
             <text x=\"{:.0}\" y=\"{y:.0}\">{words}</text>",
                y - 10.0,
                x + 18.0
            ),
        );
        x += 34.0 + 7.0 * words.len() as f64;
    }
    for (class_name, words) in [
        ("edge", "observed"),
        ("edge declared", "declared"),
        ("edge cycle", "cycle"),
        ("edge thin", "watches, runs on"),
    ] {
        add(
            out,
            &format!(
                "<path class=\"{class_name}\" d=\"M{x:.0} {0:.0} h28\"/><text x=\"{1:.0}\" y=\"{y:.0}\">{words}</text>",
                y - 4.0,
                x + 34.0
            ),
        );
        x += 50.0 + 7.0 * words.len() as f64;
    }
    if !map.together.is_empty() {
        add(
            out,
            &format!(
                "<rect class=\"together\" x=\"{x:.0}\" y=\"{:.0}\" width=\"26\" height=\"14\" \
                 rx=\"5\"/><text x=\"{:.0}\" y=\"{y:.0}\">moves together</text>",
                y - 11.0,
                x + 34.0
            ),
        );
    }
    add(out, "</g>");
}

/// The first pieces of evidence, a line each.
fn evidence(all: &[Evidence]) -> String {
    const SHOWN: usize = 6;
    let mut lines: Vec<String> =
        all.iter().take(SHOWN).map(|one| format!("{}: {}", one.place(), one.says)).collect();
    if all.len() > SHOWN {
        lines.push(format!("and {} more", all.len() - SHOWN));
    }
    lines.join("\n")
}

/// Shortens a text to what fits.
fn fit(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// XML text, also inside attributes; what XML cannot carry becomes U+FFFD.
fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            '\n' => "&#10;".to_owned(),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => '\u{fffd}'.to_string(),
            c => c.to_string(),
        })
        .collect()
}
