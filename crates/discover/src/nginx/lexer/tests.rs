use super::*;
use proptest::prelude::*;

/// `name a b {…}` on one line each, with its line number.
fn shown(directives: &[Directive], depth: usize, out: &mut String) {
    for d in directives {
        let words = [vec![d.name.clone()], d.arguments.clone()].concat().join("|");
        out.push_str(&format!("{}{} {words}\n", "  ".repeat(depth), d.line));
        if let Some(block) = &d.block {
            shown(block, depth + 1, out);
        }
    }
}

#[test]
fn what_nginx_accepts() {
    let text = r#"
user  www-data; worker_processes auto;
http{
  log_format main '$remote_addr - "$request" {"a":1}; #no comment';
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  server { listen [::]:443 ssl http2; server_name ~^(?<sub>\w+)\.example\.com$ "a b";
    location ~ \.(gif|jpe?g)$ { expires 30d; } # comment ; }
    location "/x{2}" { return 200 "it\"s ${host}; \\"; }
    if ($request_method = POST) { proxy_pass http://api$request_uri; }
    set $a "two
lines";
    add_header X a#b;
    access_by_lua_block { local s = "}" -- }
      if a then return { b = 1 } end }
    proxy_pass http://${backend}:80;
  }
}
"#;
    let (directives, fault) = parse(text, "f");
    assert_eq!(fault, None);
    let mut out = String::new();
    shown(&directives, 0, &mut out);
    insta::assert_snapshot!(out);
}

#[test]
fn faults_have_lines_and_what_stood_before_is_kept() {
    for (text, line, word) in [
        ("a b;\nc {\n d e;\n", 4, "without its `}`"),
        ("a b;\n}\n", 2, "too many"),
        ("a b;\nc d\n", 3, "no `;`"),
        ("a b;\nc \"d;\n", 3, "quote"),
        ("a b;\n;\n", 2, "without a name"),
        ("a b;\nc { d }\n", 2, "no `;`"),
    ] {
        let (directives, fault) = parse(text, "f");
        let (at, why) = fault.unwrap();
        assert!(why.contains(word), "{text}: {why}");
        assert_eq!(at, line, "{text}");
        assert_eq!(directives[0].arguments, ["b"], "{text}");
    }
    assert!(parse(&"a {".repeat(100), "f").1.unwrap().1.contains("inside each other"));
}

proptest! {
    #[test]
    fn never_panics(text in "(\\PC|[{};#'\"\\\\$\n a]){0,80}") {
        let (_, fault) = parse(&text, "f");
        prop_assert!(fault.is_none_or(|(line, why)| line > 0 && !why.is_empty()));
    }
}
