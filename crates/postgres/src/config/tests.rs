use super::*;

fn parse(url: &str) -> Result<ConnectConfig> {
    ConnectConfig::parse(Side::Source, url)
}

#[test]
fn a_full_url_is_read() {
    let config = parse(
        "postgresql://al%40ice:p%3Aw%2F%25@db.example:6543/shop?connect_timeout=3&sslmode=prefer",
    )
    .unwrap();
    assert_eq!(config.user, "al@ice");
    assert_eq!(config.password.as_ref().unwrap().expose(), "p:w/%");
    assert_eq!((config.host.as_str(), config.port), ("db.example", 6543));
    assert_eq!(config.database, "shop");
    assert_eq!(config.connect_timeout, Duration::from_secs(3));
    assert_eq!(config.redacted(), "postgresql://al@ice@db.example:6543/shop");
    assert!(!format!("{config:?}").contains("p:w"));
}

#[test]
fn short_forms_have_defaults() {
    let config = parse("postgres://bob@").unwrap();
    assert_eq!((config.host.as_str(), config.port), ("localhost", 5432));
    assert_eq!(config.database, "bob");
    let config = parse("postgresql://bob@[::1]:7/x").unwrap();
    assert_eq!((config.host.as_str(), config.port), ("::1", 7));
    let config = parse("postgresql:///shop?host=/run/pg&user=bob").unwrap();
    assert_eq!((config.host.as_str(), config.user.as_str()), ("/run/pg", "bob"));
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    for (url, why) in [
        ("mysql://bob@h/x", "must start with"),
        ("postgresql://h/x", "names no user"),
        ("postgresql://bob@a,b/x", "several hosts"),
        ("postgresql://bob@a/x?sslmode=require", "TLS to databases is not built yet"),
        ("postgresql://bob@a/x?sslmode=verify-full", "TLS to databases is not built yet"),
        ("postgresql://bob@a/x?channel_binding=require", "`channel_binding` is not supported"),
        ("postgresql://bob@a/x?colour=red", "unknown parameter"),
        ("postgresql://bob@a:99999/x", "port"),
        ("postgresql://bob@a/x%zz", "hexadecimal"),
        ("postgresql://bob@a/x?connect_timeout=0", "1 to 3600"),
        ("postgresql://bob%00@a/x", "zero byte"),
    ] {
        let error = parse(url).unwrap_err().to_string();
        assert!(error.contains(why), "{url}: {error}");
    }
}

#[test]
fn an_error_never_shows_the_password() {
    for url in ["postgresql://bob:hunter2@a:x/y", "postgresql://bob:x?hunter2=@a/y"] {
        let error = format!("{:?}", parse(url).unwrap_err());
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn children_get_the_password_by_environment_only() {
    let config = parse("postgresql://bob:pw@h:1/d").unwrap();
    assert!(config.libpq_env().contains(&("PGPASSWORD".to_owned(), "pw".to_owned())));
}
