//! The results of somebody else's tests: names and outcomes. Messages and output stay where they
//! are: they may hold what no journal should.

use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// `class / name`, or the name alone.
    pub name: String,
    /// How long it took, as far as it says.
    pub took: Duration,
    /// How it failed: the type of its failure or error, where that is given.
    pub failed: Option<String>,
    /// It was left out.
    pub skipped: bool,
}

/// A text that is no JUnit.
#[derive(Debug, thiserror::Error)]
pub enum NotJunit {
    /// Not XML.
    #[error("it is not XML: at byte {at}: {source}")]
    Xml {
        /// Where.
        at: u64,
        /// The cause.
        #[source]
        source: quick_xml::Error,
    },
    /// XML of something else, or cut off.
    #[error("{0}")]
    Shape(&'static str),
}

/// A name longer than this is cut.
const NAME_MAX: usize = 200;

/// Reads `<testsuites>` or `<testsuite>`, however deep the suites are nested.
///
/// # Errors
/// If it is not JUnit, or not whole.
pub fn read(text: &str) -> Result<Vec<Test>, NotJunit> {
    let mut reader = Reader::from_str(text);
    let mut tests = Vec::new();
    let mut open: Option<Test> = None;
    let (mut depth, mut suites) = (0_usize, 0_usize);
    loop {
        let event = reader.read_event();
        let at = reader.buffer_position();
        match event.map_err(|source| NotJunit::Xml { at, source })? {
            Event::Start(tag) => {
                depth += 1;
                suites += usize::from(tag.name().as_ref().starts_with(b"testsuite"));
                begin(&tag, &mut open);
            }
            Event::Empty(tag) => {
                suites += usize::from(tag.name().as_ref().starts_with(b"testsuite"));
                let outside = open.is_none();
                begin(&tag, &mut open);
                if outside {
                    tests.extend(open.take());
                }
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                if tag.name().as_ref() == b"testcase" {
                    tests.extend(open.take());
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match (depth, suites) {
        (0, 0) => Err(NotJunit::Shape("it has no <testsuite>")),
        (0, _) => Ok(tests),
        _ => Err(NotJunit::Shape("it is cut off")),
    }
}

/// A tag that opens a test, or says how the open one went.
fn begin(tag: &BytesStart<'_>, open: &mut Option<Test>) {
    match (tag.name().as_ref(), open) {
        (b"testcase", open) => {
            let name = attribute(tag, b"name").unwrap_or_else(|| "a test without a name".into());
            let name = match attribute(tag, b"classname").filter(|class| !class.is_empty()) {
                Some(class) => format!("{class} / {name}"),
                None => name,
            };
            let seconds = attribute(tag, b"time").and_then(|time| time.parse::<f64>().ok());
            let took = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
            let name = name.chars().take(NAME_MAX).collect();
            let took = took.unwrap_or_default();
            *open = Some(Test { name, took, failed: None, skipped: false });
        }
        (b"failure" | b"error", Some(test)) => {
            let kind = attribute(tag, b"type").unwrap_or_default();
            test.failed = Some(kind.chars().take(NAME_MAX).collect());
        }
        (b"skipped", Some(test)) => test.skipped = true,
        _ => {}
    }
}

fn attribute(tag: &BytesStart<'_>, name: &[u8]) -> Option<String> {
    let found = tag.attributes().flatten().find(|it| it.key.as_ref() == name)?;
    Some(found.unescape_value().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_pytest_surefire_and_others() {
        let text = r#"<?xml version="1.0" encoding="utf-8"?>
            <testsuites><testsuite name="pytest" tests="4" failures="1" errors="1">
              <properties><property name="a" value="b"/></properties>
              <testcase classname="shop.Orders" name="pays &amp; ships" time="0.25"/>
              <testcase classname="" name="refunds" time="1e-3">
                <failure type="AssertionError" message="secret 4711">trace</failure>
              </testcase>
              <testsuite name="inner">
                <testcase name="crashes"><error message="x"><![CDATA[boom]]></error></testcase>
                <testcase name="later"><skipped/></testcase>
              </testsuite>
            </testsuite></testsuites>"#;
        let tests = read(text).unwrap();
        let names: Vec<&str> = tests.iter().map(|test| &*test.name).collect();
        assert_eq!(names, ["shop.Orders / pays & ships", "refunds", "crashes", "later"]);
        assert_eq!(tests[0].took, Duration::from_millis(250));
        let failed: Vec<_> = tests.iter().map(|test| test.failed.as_deref()).collect();
        assert_eq!(failed, [None, Some("AssertionError"), Some(""), None]);
        assert!(tests[3].skipped);
    }

    #[test]
    fn what_is_no_junit_is_no_success() {
        for (text, why) in [
            ("", "it has no <testsuite>"),
            ("<html></html>", "it has no <testsuite>"),
            ("<testsuite><testcase name='a'/>", "it is cut off"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), why, "{text}");
        }
        assert!(matches!(read("<testsuite></wrong>"), Err(NotJunit::Xml { .. })));
        assert_eq!(read("<testsuite/>").unwrap(), []);
    }
}
