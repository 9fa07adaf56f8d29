use super::*;

fn small() -> Map {
    let mut found = system(
        &["edge", "web", "api", "worker"],
        &["orders"],
        &[("edge", "web"), ("web", "api"), ("api", "orders"), ("api", "worker"), ("worker", "api")],
    );
    found.links[2].evidence = seen(at(3));
    found.components[0].traits.insert(Trait::FacesClients);
    build(&found)
}

#[test]
fn mermaid_shows_waves_kinds_and_cycles() {
    insta::assert_snapshot!(mermaid(&small()));
}

#[test]
fn hostile_names_stay_text() {
    let mut found = system(&["end", "\"><script>alert(1)</script>\u{0}"], &[], &[]);
    found.links.push(link("end", "\"><script>alert(1)</script>\u{0}"));
    found.components[0].evidence.source = "</title><script>'\"&".to_owned();
    let map = build(&found);
    let picture = svg(&map, "<b>\"' & ]]>");
    assert!(!picture.contains("<script") && !picture.contains("<b>"), "{picture}");
    assert!(!picture.chars().any(|c| c.is_control() && c != '\n'));
    let chart = mermaid(&map);
    assert!(!chart.contains('<') || chart.contains("<br/>"), "{chart}");
    assert!(chart.contains("n_end"), "`end` alone is a word of Mermaid");
}

/// Numbers of `name="…"` in an element.
fn number(element: &str, name: &str) -> f64 {
    let start = element.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
    element[start..].split('"').next().unwrap().parse().unwrap()
}

proptest! {
    /// No box covers another, no line leaves the picture, and the same map is the same picture.
    #[test]
    fn boxes_stand_apart_and_lines_stay_inside(
        edges in proptest::collection::vec((0usize..12, 0usize..12), 0..40),
    ) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let links: Vec<(&str, &str)> =
            edges.iter().map(|(from, to)| (names[*from], names[*to])).collect();
        let map = build(&system(&names[..9], &names[9..], &links));
        let plan = crate::map::layout::layout(&map);
        for (i, a) in plan.boxes.iter().enumerate() {
            for b in &plan.boxes[i + 1..] {
                let apart = (a.x - b.x).abs() >= crate::map::layout::BOX_WIDTH
                    || (a.y - b.y).abs() >= crate::map::layout::BOX_HEIGHT + 10.0;
                prop_assert!(apart, "{a:?} {b:?}");
            }
        }
        for spot in plan.lines.iter().flat_map(|line| &line.points) {
            prop_assert!(spot.x >= 0.0 && spot.x <= plan.width, "{spot:?}");
            prop_assert!(spot.y >= 0.0 && spot.y <= plan.height, "{spot:?}");
        }
        let picture = svg(&map, "map");
        prop_assert_eq!(svg(&map, "map"), picture.clone());
        prop_assert!(number(&picture, "height") >= plan.height);
    }
}
