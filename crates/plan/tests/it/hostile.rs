//! Input that nobody meant: it must end in faults, never in a panic.

use changeover_plan::{TemplateKind, parse, template};
use proptest::prelude::*;

/// A plan, or at least one fault that can be shown.
fn answered(text: &str) -> Result<(), TestCaseError> {
    if let Err(faults) = parse("p", text) {
        prop_assert!(!faults.0.is_empty());
        prop_assert!(!faults.to_string().is_empty());
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,300}") {
        answered(&text)?;
    }

    #[test]
    fn any_bytes_of_yaml_are_answered(text in "[-a-z:{}\\[\\],'\"#&*!|>%@ \\n\\t0-9]{0,300}") {
        answered(&text)?;
    }

    #[test]
    fn a_damaged_plan_is_answered(at in 0usize..3000, cut in 0usize..40, put in "[-a-z:{}\\[\\]'\" é\\n]{0,8}") {
        let text = template(TemplateKind::Service);
        let floor = |at: usize| (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
        let (from, to) = (floor(at).unwrap_or(0), floor(at + cut).unwrap_or(0));
        let damaged = format!("{}{put}{}", &text[..from], &text[to..]);
        answered(&damaged)?;
    }

    #[test]
    fn a_password_is_never_shown(password in "[A-Za-z0-9!@:/?#%&=_-]{8,20}", at in 0usize..4) {
        let secret = format!("zq{password}zq");
        let url = match at {
            0 => format!("url: \"postgres://u:{secret}@h/db\""),
            1 => format!("url: postgres://u:{secret}@h/db  # old"),
            2 => format!("url: \"postgres://h/db?sslmode=off&password={}\"", secret.replace(['&', '#'], "")),
            _ => format!("password: \"{secret}\""),
        };
        let text = format!("source:\n  postgres:\n    {url}\n    nonsense: [\n");
        let shown = parse("p", &text).expect_err("it is no plan").to_string();
        prop_assert!(!shown.contains("zq"), "{shown}");
        let text = format!("source:\n  postgres:\n    {url}\n    nonsense: 1\n");
        let shown = parse("p", &text).expect_err("it is no plan").to_string();
        prop_assert!(!shown.contains("zq"), "{shown}");
    }
}

#[test]
fn the_limits_hold() {
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    let wide = format!("a: [{}]", "1,".repeat(60_000));
    let long = "#".repeat(300_000);
    for text in [&deep, &wide, &long] {
        let faults = parse("p", text).unwrap_err();
        assert_eq!(faults.0.len(), 1, "{faults}");
    }
}
