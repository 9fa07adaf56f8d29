//! Files that lie, break off, lead elsewhere or never end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use changeover_assess::map::{Discovery, build, mermaid, svg};
use changeover_discover::{Limits, from_files};
use changeover_types::WallMs;
use proptest::prelude::*;

fn read(root: &Path) -> Discovery {
    from_files(&[root.to_owned()], true, &Limits::default(), WallMs(1))
}

fn whys(found: &Discovery) -> String {
    found.unread.iter().map(|u| format!("{}:{:?} {}\n", u.source, u.line, u.why)).collect()
}

#[test]
fn one_bad_file_is_named_with_its_line_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.yaml"), "services:\n  a: [\n").unwrap();
    fs::write(folder.path().join("helm.yaml"), "{{- if .Values.x }}\nkind: X\n{{ end }}\n")
        .unwrap();
    fs::write(folder.path().join("bad.json"), "{\"a\": 1,\n}").unwrap();
    fs::write(folder.path().join("image.png"), [0xff, 0xfe, 0]).unwrap();
    fs::write(folder.path().join("binary.yaml"), [0xff, 0xfe, 0]).unwrap();
    fs::write(folder.path().join("good.yaml"), "services:\n  a: {image: nginx}\n").unwrap();
    fs::write(folder.path().join("module.tf"), "resource \"x\" \"y\" {}").unwrap();
    let found = read(folder.path());
    assert_eq!(found.components.len(), 1);
    let whys = whys(&found);
    for expected in [
        "bad.yaml:Some(3)",
        "helm.yaml:Some(1)",
        "bad.json:Some(2)",
        "binary.yaml:None it is not UTF-8",
        "module.tf:None Terraform modules",
    ] {
        assert!(whys.contains(expected), "{expected} in {whys}");
    }
    assert!(!whys.contains("image.png"));
}

#[test]
fn nothing_outside_the_root_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside.env");
    fs::write(&outside, "STOLEN_URL=http://stolen.example.com\n").unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    symlink(&outside, root.join("link.env")).unwrap();
    symlink(folder.path(), root.join("loop")).unwrap();
    fs::write(
        root.join("compose.yaml"),
        format!(
            "services:\n  a:\n    image: x\n    env_file: [../outside.env, link.env, {}]\n",
            outside.display()
        ),
    )
    .unwrap();
    fs::write(
        root.join("nginx.conf"),
        "http {\n include ../*.env;\n include /etc/passwd;\n include nginx.conf;\n}\n",
    )
    .unwrap();
    let found = read(&root);
    assert!(found.links.is_empty(), "{:?}", found.links);
    let whys = whys(&found);
    assert!(
        whys.contains("out of the given folder") || whys.contains("not inside the given folder"),
        "{whys}"
    );
    assert!(whys.contains("includes inside each other"), "{whys}");
}

#[test]
fn what_is_not_followed_is_told_and_switched_off_sites_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let site = |host: &str| format!("server {{ location / {{ proxy_pass http://{host}; }} }}\n");
    write(
        "nginx/nginx.conf",
        "events {}\nhttp {\n include sites-enabled/*;\n include a/*/*.conf;\n}\n",
    );
    write("nginx/sites-available/on", &site("on.internal"));
    write("nginx/sites-available/off", &site("off.internal"));
    fs::create_dir(folder.path().join("nginx/sites-enabled")).unwrap();
    symlink("../sites-available/on", folder.path().join("nginx/sites-enabled/on")).unwrap();
    write(
        "compose.yaml",
        "services:\n  a:\n    image: x\n    extends: {file: b.yaml, service: b}\n",
    );
    write(
        "kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
    );
    let found = read(folder.path());
    let hosts: Vec<&str> = found.links.iter().map(|link| link.to.host.as_str()).collect();
    assert_eq!(hosts, ["on.internal"]);
    let whys = whys(&found);
    for expected in ["a/*/*.conf is more than", "a extends another", "what kustomize makes"] {
        assert!(whys.contains(expected), "{expected} in {whys}");
    }
}

#[test]
fn no_file_gives_away_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "nginx.conf",
        "http { server {\n location /a { proxy_pass http://u:hunter2@a:1/; }\n \
         location /b { proxy_pass http://u:hunter2@$b; }\n \
         location /c { proxy_pass http://u:hunter2@c:x:y; }\n} }\n",
    );
    write("haproxy.cfg", "backend b\n option pgsql-check user hunter2\n server s 10.0.0.1:1\n");
    write(
        "a.service",
        "[Service]\nExecStart=/bin/a --password hunter2 --url=redis://:hunter2@r:1 --token=hunter2\n",
    );
    write(
        "compose.yaml",
        "services:\n  a:\n    image: x\n    command: [a, --password=hunter2]\n    \
         environment: {A_PASSWORD: hunter2, A_DSN: 'https://hunter2@e.example.com/1'}\n    \
         healthcheck: {test: [CMD, curl, 'http://u:hunter2@localhost/h?t=hunter2']}\n",
    );
    write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {p: hunter2}\n",
    );
    write(
        "state.json",
        "{\"format_version\":\"1.0\",\"terraform_version\":\"1.11.4\",\"values\":{\"root_module\":\
         {\"resources\":[{\"address\":\"aws_db_instance.a\",\"mode\":\"managed\",\"type\":\
         \"aws_db_instance\",\"name\":\"a\",\"values\":{\"password\":\"hunter2\"}}]}}}",
    );
    let found = read(folder.path());
    assert_eq!(found.read.len(), 6, "{:?}", found.read);
    let map = build(&found);
    let shown = format!("{found:?} {map:?} {} {}", svg(&map, "x"), mermaid(&map));
    let at = shown.find("hunter2").map(|at| &shown[at.saturating_sub(200)..at + 7]);
    assert_eq!(at, None);
}

#[test]
fn bounds_are_told_not_silently_kept() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5 {
        fs::write(folder.path().join(format!("{number}.yaml")), "services:\n  a: {image: nginx}\n")
            .unwrap();
    }
    let few = Limits { files: 3, ..Limits::default() };
    let found = from_files(&[folder.path().to_owned()], true, &few, WallMs(1));
    assert_eq!(found.read.len(), 2);
    assert!(whys(&found).contains("too many files"));
    let small = Limits { file_bytes: 10, ..Limits::default() };
    let found = from_files(&[folder.path().to_owned()], true, &small, WallMs(1));
    assert!(whys(&found).contains("larger than 10 bytes"));
    let missing = read(&folder.path().join("none"));
    assert_eq!(missing.unread.len(), 1);
}

/// Every file of the example by its path.
fn example() -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(folder: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if fs::metadata(&path).unwrap().len() < 100_000 {
                out.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    let mut out = Vec::new();
    let top =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/systems/multi-service");
    walk(&top, &mut out);
    out.sort();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Real files, cut and spoilt anywhere: a map or a finding, never a panic.
    #[test]
    fn spoilt_files_never_panic(
        which in 0usize..1000,
        cut in 0usize..1_000_000,
        changes in proptest::collection::vec((0usize..1_000_000, proptest::num::u8::ANY), 0..6),
    ) {
        let files = example();
        let (path, bytes) = &files[which % files.len()];
        let mut bytes = bytes.clone();
        for (at, value) in changes {
            let at = at % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(cut % (bytes.len() + 1));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(path.file_name().unwrap()), bytes).unwrap();
        let map = build(&read(folder.path()));
        prop_assert!(svg(&map, "x").ends_with("</svg>\n"));
        prop_assert!(mermaid(&map).starts_with("flowchart"));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        name in "(x\\.yaml|x\\.json|x\\.service|nginx\\.conf|haproxy\\.cfg|x\\.tfstate|x\\.timer)",
        start in "(|services:\n|\\{\"version\":4,\"lineage\":1,\"resources\":|frontend x\n|server \\{|apiVersion: v1\nkind: |scrape_configs:\n|\\[Service\\]\n)",
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..120),
    ) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), [start.as_bytes(), &bytes].concat()).unwrap();
        let found = read(folder.path());
        prop_assert!(found.unread.iter().all(|unread| !unread.why.is_empty()));
    }
}
