//! Our checks for a build server.

use std::fmt::Write;

use changeover_types::{CheckReport, WallMs};
use quick_xml::escape::escape;

/// A check that was carried out, and when it ended.
#[derive(Clone, Debug)]
pub struct Suite<'a> {
    /// What it found.
    pub report: &'a CheckReport,
    /// When its outcome was recorded.
    pub at: WallMs,
}

/// One `<testsuite>` for each check that was carried out, one `<testcase>` for each question, limit
/// or test in it. `at` turns a time into ISO 8601.
pub fn write(name: &str, suites: &[Suite<'_>], at: impl Fn(WallMs) -> String) -> String {
    let all = suites.iter().flat_map(|suite| &suite.report.cases);
    let (tests, failures) = (all.clone().count(), all.filter(|c| !c.failures.is_empty()).count());
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let head = format!("name=\"{}\" tests=\"{tests}\" failures=\"{failures}\"", text(name));
    line(&mut xml, 0, &format!("<testsuites {head} errors=\"0\">"));
    for suite in suites {
        one(&mut xml, suite, &at(suite.at));
    }
    line(&mut xml, 0, "</testsuites>");
    xml
}

fn one(xml: &mut String, suite: &Suite<'_>, at: &str) {
    let report = suite.report;
    let skipped = report.cases.iter().filter(|case| case.skipped).count();
    let head = format!(
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{skipped}\" \
         time=\"{}\" timestamp=\"{}\">",
        text(&report.step),
        report.cases.len(),
        report.failed().count(),
        seconds(report.took_ms),
        text(at)
    );
    line(xml, 1, &head);
    if !report.numbers.is_empty() {
        line(xml, 2, "<properties>");
        for (name, value) in &report.numbers {
            line(xml, 3, &format!("<property name=\"{}\" value=\"{value}\"/>", text(name)));
        }
        line(xml, 2, "</properties>");
    }
    for case in &report.cases {
        let head = format!(
            "<testcase name=\"{}\" classname=\"{}\" time=\"{}\"",
            text(&case.name),
            text(&report.step),
            seconds(case.took_ms)
        );
        if case.failures.is_empty() && !case.skipped {
            line(xml, 2, &format!("{head}/>"));
            continue;
        }
        line(xml, 2, &format!("{head}>"));
        if case.skipped {
            line(xml, 3, "<skipped/>");
        }
        for failure in &case.failures {
            let message = text(failure);
            line(xml, 3, &format!("<failure message=\"{message}\">{message}</failure>"));
        }
        line(xml, 2, "</testcase>");
    }
    line(xml, 2, &format!("<system-out>{}</system-out>", text(&report.summary)));
    line(xml, 1, "</testsuite>");
}

fn line(xml: &mut String, depth: usize, text: &str) {
    // Writing into a string cannot fail.
    writeln!(xml, "{:1$}{text}", "", depth * 2).ok();
}

/// Escaped, and without the control characters that XML does not know.
fn text(value: &str) -> String {
    let clean: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    escape(&clean).into_owned()
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use changeover_types::CheckCase;

    use super::*;
    use crate::junit::read;

    #[test]
    fn what_is_written_is_read_again() {
        let case = |name: &str, failures: &[&str]| CheckCase {
            name: name.to_owned(),
            took_ms: 1250,
            failures: failures.iter().map(|f| (*f).to_owned()).collect(),
            skipped: false,
        };
        let report = CheckReport {
            step: "copy/smoke".to_owned(),
            check: "smoke".to_owned(),
            summary: "2 questions, 1 answered wrongly".to_owned(),
            took_ms: 2500,
            cases: vec![
                case("GET /a?b=1&c=\"2\" on the target", &[]),
                case("GET /<x>", &["answered 500, expected 200", "took \u{1} long"]),
            ],
            numbers: [("questions".to_owned(), 2)].into(),
        };
        let suites = [Suite { report: &report, at: WallMs(0) }];
        let xml = write("shop", &suites, |_| "1970-01-01T00:00:00Z".to_owned());
        let tests = read(&xml).unwrap();
        assert_eq!(tests[0].name, "copy/smoke / GET /a?b=1&c=\"2\" on the target");
        assert_eq!((tests[0].failed.is_some(), tests[1].failed.is_some()), (false, true));
        assert_eq!(tests[0].took.as_millis(), 1250);
        assert!(xml.contains("<testsuites name=\"shop\" tests=\"2\" failures=\"1\" errors=\"0\">"));
        assert!(xml.contains("message=\"took   long\""), "{xml}");
        assert!(xml.contains("<property name=\"questions\" value=\"2\"/>"));
    }
}
