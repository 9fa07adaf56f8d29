use super::*;
use proptest::prelude::*;

#[test]
fn words_as_haproxy_splits_them() {
    for (line, expected) in [
        (" server a 10.0.0.1:80 check # comment", vec!["server", "a", "10.0.0.1:80", "check"]),
        (r"log-format a\ b\#c", vec!["log-format", "a b#c"]),
        (
            r#"http-request set-header X "a \"b\" #c" 'd "e'"#,
            vec!["http-request", "set-header", "X", "a \"b\" #c", "d \"e"],
        ),
        ("a \"\" b", vec!["a", "", "b"]),
        ("# only a comment", vec![]),
    ] {
        assert_eq!(words(line).unwrap(), expected, "{line}");
    }
    assert!(words("a \"b").is_err());
}

#[test]
fn binds_of_many_forms() {
    for (text, expected) in [
        (":80", Some(("", 80))),
        ("*:80", Some(("*", 80))),
        ("10.0.0.5:443", Some(("10.0.0.5", 443))),
        ("[::]:443", Some(("::", 443))),
        ("ipv4@1.2.3.4:5", Some(("1.2.3.4", 5))),
        ("/run/haproxy.sock", None),
        ("fd@3", None),
        ("unix@/x:y", None),
    ] {
        assert_eq!(bind_address(text), expected.map(|(h, p)| (h.to_owned(), p)), "{text}");
    }
}

proptest! {
    #[test]
    fn never_panics(text in "(\\PC|[\n \\\\'\"#]|server|backend|frontend|bind|timeout){0,60}") {
        let mut found = Discovery::default();
        let mut notes = Notes { source: "f", machine: "m", now: changeover_types::WallMs(1), found: &mut found };
        for section in sections(&text, &mut notes) {
            prop_assert!(section.lines.iter().all(|line| !line.words.is_empty()));
        }
    }
}
