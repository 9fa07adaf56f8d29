use super::*;
use crate::{TemplateKind, parse, template};

fn plan(phases: &str) -> Plan {
    let text = template(TemplateKind::Database).to_owned() + phases;
    parse("plan.yaml", &text).unwrap_or_else(|faults| panic!("{faults}"))
}

const COPY: &str = "phases:
  - {name: copy, steps: [replicate, verify]}
  - {name: move, steps: [{cutover: {attempts: 3, retry_after: 10s}}, {soak: {for: 1h}}]}
  - {name: end, steps: [finish]}
";

fn measured() -> Measures {
    Measures {
        bytes: Some(100_000_000_000),
        largest_table_bytes: Some(50_000_000_000),
        index_bytes: Some(20_000_000_000),
        read_bytes_per_s: Some(100_000_000),
        write_bytes_per_s: Some(50_000_000),
        change_bytes_per_s: Some(1_000_000),
        ..Measures::default()
    }
}

#[test]
fn nothing_measured_means_nothing_known_of_the_data() {
    let estimates = estimate(&plan(COPY), &Measures::default());
    let unknown: Vec<&str> =
        estimates.steps.iter().filter(|it| it.span.is_none()).map(|it| it.path.as_str()).collect();
    assert_eq!(unknown, ["copy/replicate", "copy/verify", "end/finish"]);
    let last = estimates.milestones.last().unwrap();
    assert_eq!(last.without, ["copy/replicate", "copy/verify", "end/finish"]);
    // What is not known has no upper bound, and neither has a sum with it.
    assert_eq!((last.reached.least_ms, last.reached.most_ms), (3_600_000, None));
    // A cutover may have to wait for open transactions before its first attempt.
    assert_eq!(estimates.milestones[1].span.most_ms, None);
    assert_eq!(estimates.rollback, None);
}

#[test]
fn a_copy_is_as_long_as_its_slower_end_and_its_largest_table() {
    let copied = |change: fn(&mut Measures)| {
        let mut measures = measured();
        change(&mut measures);
        estimate(&plan(COPY), &measures).steps[0].span.unwrap()
    };
    let span = copied(|_| {});
    // 50 GB in one table at 50 MB/s are 1000 s, 20 GB of indexes at half the effort 200 s.
    assert_eq!(span.least_ms, 500_000);
    assert!((1_200_000..1_230_000).contains(&span.likely_ms), "{span:?}");
    assert!(span.most_ms.unwrap() > 5_600_000, "{span:?}");
    let even = copied(|measures| measures.largest_table_bytes = Some(1_000_000_000));
    assert!(even.likely_ms < span.likely_ms, "{even:?}");
    // An unknown on either side takes away the upper bound, not the rest.
    assert_eq!(copied(|measures| measures.write_bytes_per_s = None).most_ms, None);
    assert_eq!(copied(|measures| measures.change_bytes_per_s = None).most_ms, None);
    // A relay that is slower than the service writes may never catch up.
    assert_eq!(copied(|measures| measures.change_bytes_per_s = Some(40_000_000)).most_ms, None);
}

#[test]
fn what_was_measured_takes_the_place_of_what_was_computed() {
    let took = |ms: u64, bytes: u64| Earlier {
        origin: "rehearsal of 1 May".into(),
        bytes: Some(bytes),
        steps: [("copy/replicate", ms), ("move/cutover", 2_000)]
            .map(|(path, ms)| (path.to_owned(), ms))
            .into(),
        rollback_ms: Some(3_000),
        ..Earlier::default()
    };
    let mut measures = measured();
    measures.earlier = vec![took(100_000, 50_000_000_000)];
    let estimates = estimate(&plan(COPY), &measures);
    // Twice the data, twice the time.
    assert_eq!(
        estimates.steps[0].span,
        Some(Span { least_ms: 100_000, likely_ms: 200_000, most_ms: Some(400_000) })
    );
    assert_eq!(
        estimates.steps[0].basis,
        "measured by the rehearsal of 1 May, in proportion to the data"
    );
    let cutover = estimates.steps[2].span.unwrap();
    assert_eq!((cutover.likely_ms, cutover.most_ms), (2_000, Some(31_500)));
    assert_eq!(estimates.rollback.unwrap().likely_ms, 3_000);
}

#[test]
fn spans_are_shown_without_false_precision() {
    let show = |least_ms, likely_ms, most_ms| show_span(Span { least_ms, likely_ms, most_ms });
    assert_eq!(show(500, 500, Some(500)), "under 1 s");
    assert_eq!(show(180_000, 300_000, Some(545_000)), "3 min to 9 min 5 s, likely 5 min");
    assert_eq!(show(86_400_000, 86_400_000, None), "at least 1 d");
    assert_eq!(show(0, 1_500, Some(31_000)), "0 s to 31 s, likely 1.5 s");
    assert_eq!(show(7_260_000, 7_260_000, Some(7_260_000)), "2 h 1 min");
    assert_eq!(show(0, 0, None), "not known");
    assert_eq!(show(0, 500, None), "likely under 1 s, nobody can say how long at most");
    assert_eq!(show(40_000_000, 45_000_000, None), "at least 11 h, likely 12 h");
}
