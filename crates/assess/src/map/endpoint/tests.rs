use super::*;
use proptest::prelude::*;

#[test]
fn reads_addresses_and_drops_the_rest() {
    let cases = [
        ("postgres://app:s3cret@db:6432/orders?sslmode=require", "db", Some(6432), Some("orders")),
        ("postgresql+asyncpg://app@10.0.0.7/orders", "10.0.0.7", Some(5432), Some("orders")),
        ("jdbc:postgresql://db.internal/orders", "db.internal", Some(5432), Some("orders")),
        ("host=db user=app password=x dbname=orders", "db", Some(5432), Some("orders")),
        ("redis://:pw@cache:6379/0", "cache", Some(6379), None),
        ("amqps://rabbit", "rabbit", Some(5671), None),
        ("https://api.stripe.com/v1/charges", "api.stripe.com", Some(443), None),
        ("https://[2001:db8::1]:8443/x", "2001:db8::1", Some(8443), None),
        ("mongodb://u:p@a:1,b:2/x", "a", Some(1), Some("x")),
        ("postgres://app:p/w@rd@db/orders", "db", Some(5432), Some("orders")),
        ("https://files:8080/a@b", "files", Some(8080), None),
        ("http://api:${PORT}/", "api", Some(80), None),
    ];
    for (text, host, port, database) in cases {
        let got = Endpoint::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(
            (got.host.as_str(), got.port, got.database.as_deref()),
            (host, port, database),
            "{text}"
        );
    }
}

#[test]
fn other_texts_are_not_addresses() {
    for text in
        ["", "production", "a b", "http://", "://x", "a=b", "http://a b", "host=x", "http://<x>/"]
    {
        assert_eq!(Endpoint::parse(text), None, "{text}");
    }
}

#[test]
fn knows_that_there_is_a_password_but_not_which() {
    let written = Endpoint::parse("postgres://app:s3cret@db/x").unwrap();
    assert!(written.has_password);
    assert!(!format!("{written:?}").contains("s3cret"));
    for filled_in in ["postgres://app:${PASSWORD}@db/x", "postgres://app@db/x", "host=db user=a"] {
        assert!(!Endpoint::parse(filled_in).unwrap().has_password, "{filled_in}");
    }
}

proptest! {
    #[test]
    fn a_password_never_survives(
        scheme in "(postgres|https|redis|amqp)",
        password in "[a-zA-Z0-9/@:?#!]{6,20}",
        path in "[a-z]{0,5}",
    ) {
        let marked = format!("Zq{password}");
        let text = format!("{scheme}://user:{marked}@db.example.com:7000/{path}");
        if let Some(endpoint) = Endpoint::parse(&text) {
            prop_assert!(!format!("{endpoint:?}").contains("Zq"), "{endpoint:?}");
        }
    }

    #[test]
    fn never_panics(text in "\\PC{0,80}") {
        if let Some(endpoint) = Endpoint::parse(&text) {
            prop_assert!(!endpoint.host.is_empty());
        }
    }
}
