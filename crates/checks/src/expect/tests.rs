use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};

use super::*;

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: map,
        body: Bytes::from(body.to_owned()),
        cut_off: false,
    }
}

fn expectation() -> HttpExpect {
    HttpExpect {
        status: vec![StatusRange { from: 200, to: 200 }],
        headers: vec![],
        json: vec![],
        contains: vec![],
        below: None,
    }
}

const SOON: Duration = Duration::from_millis(10);

#[test]
fn every_unmet_expectation_is_told_and_no_value_that_came() {
    let expect = HttpExpect {
        status: vec![StatusRange { from: 200, to: 299 }, StatusRange { from: 304, to: 304 }],
        headers: vec![
            ("content-type".into(), TextExpect::Equals("application/json".into())),
            ("set-cookie".into(), TextExpect::Exists(false)),
            ("etag".into(), TextExpect::Contains("v2".into())),
        ],
        json: vec![
            ("$.status".into(), JsonExpect::Equals("ok".into())),
            ("$.items[*].price".into(), JsonExpect::AtMost(10.0)),
            ("$.items".into(), JsonExpect::Length(3)),
            ("$.gone".into(), JsonExpect::Exists(true)),
            ("$.secret".into(), JsonExpect::Exists(false)),
        ],
        contains: vec!["welcome".into()],
        below: Some(Duration::from_millis(50)),
    };
    let body = r#"{"status":"hunter2","items":[{"price":9},{"price":4711}],"secret":"s3cr3t"}"#;
    let headers = [("content-type", "text/hunter2"), ("set-cookie", "sid=hunter2")];
    let wrong = http(&expect, &answer(503, &headers, body), Duration::from_millis(70));
    assert_eq!(
        wrong,
        [
            "answered 503, expected 2xx or 304",
            "header `content-type` is another text of 12 bytes, expected `application/json`",
            "header `set-cookie` is there, expected it not to be",
            "header `etag` is not there, expected `v2` within it",
            "`$.status` is a text of 7 characters, expected `ok`",
            "`$.items[*].price` is wrong at 1 of 2 places, the first of which is a number, \
             expected at most 10",
            "`$.items` is a list of 2, expected a length of 3",
            "`$.gone` is not there, expected it there",
            "`$.secret` is there, expected it not to be",
            "the body of 75 bytes does not contain `welcome`",
            "took 70.0 ms, expected less than 50.0 ms",
        ]
    );
}

#[test]
fn an_answer_that_is_right_has_nothing_wrong() {
    let mut expect = expectation();
    expect.json = vec![
        ("$.n".into(), JsonExpect::Equals("5".into())),
        ("$.n".into(), JsonExpect::AtLeast(5.0)),
        ("$.t".into(), JsonExpect::Equals("true".into())),
        ("$.x".into(), JsonExpect::Equals("null".into())),
        ("$.none".into(), JsonExpect::Exists(false)),
    ];
    expect.contains = vec!["\"n\"".into()];
    assert!(http(&expect, &answer(200, &[], r#"{"n":5,"t":true,"x":null}"#), SOON).is_empty());
}

#[test]
fn a_place_that_is_not_there_never_passes_as_right() {
    let mut expect = expectation();
    expect.json = vec![("$.items[*].id".into(), JsonExpect::AtLeast(0.0))];
    let wrong = http(&expect, &answer(200, &[], r#"{"items":[]}"#), SOON);
    assert_eq!(wrong, ["`$.items[*].id` is not there, expected at least 0"]);
    let wrong = http(&expect, &answer(200, &[], "<html>"), SOON);
    assert_eq!(wrong, ["the body of 6 bytes is not JSON"]);
}

#[test]
fn a_body_that_was_cut_off_is_not_judged_as_if_it_were_whole() {
    let mut expect = expectation();
    expect.contains = vec!["a".into()];
    let cut = Answer { cut_off: true, ..answer(200, &[], "aaaa") };
    assert_eq!(
        http(&expect, &cut, SOON),
        ["the body is longer than the 4 bytes that a check reads"]
    );
}

#[test]
fn rows_are_judged_and_never_shown() {
    let row = |values: &[Option<&str>]| -> Vec<Option<String>> {
        values.iter().map(|v| v.map(str::to_owned)).collect()
    };
    let found = vec![row(&[Some("1"), Some("hunter2")]), row(&[Some("2"), None])];
    assert!(rows(&Expect::Rows(2), &found).is_empty());
    assert_eq!(rows(&Expect::Rows(3), &found), ["gave 2 rows, expected 3"]);
    assert_eq!(rows(&Expect::Value("1".into()), &found), ["gave 2 rows, expected one with `1`"]);
    assert!(rows(&Expect::Value("1".into()), &found[..1]).is_empty());
    assert_eq!(rows(&Expect::Value("5".into()), &found[..1]), ["gave another value than `5`"]);
    assert!(rows(&Expect::Table(found.clone()), &found).is_empty());
    let expected = vec![row(&[Some("1"), Some("a")]), row(&[Some("2"), Some("")]), row(&[])];
    assert_eq!(
        rows(&Expect::Table(expected), &found),
        [
            "gave 2 rows, expected 3",
            "row 1, column 2 is another value",
            "row 2, column 2 is another value",
        ]
    );
}
