//! The shape of the sources: how long files are, and that files of one crate do not import each other
//! in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer.
const LINES_MAX: usize = 500;

/// Circles that are still there, by crate. A number here only ever goes down; a crate that is not
/// named has none.
const CIRCLES: &[(&str, usize)] = &[
    ("assess", 3),
    ("changeover", 3),
    ("discover", 1),
    ("gate", 4),
    ("plan", 5),
    ("postgres", 2),
    ("run", 2),
];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

type Module = Vec<String>;

/// `a/b.rs` is the module a, b; the crate's root is the empty path.
fn module(root: &Path, file: &Path) -> Module {
    let inside = file.strip_prefix(root).unwrap_or(file).with_extension("");
    let parts: Module = inside.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    if parts == ["lib"] || parts == ["main"] { Vec::new() } else { parts }
}

/// `a::{b, c::d}` is a::b and a::c::d.
fn unfolded(path: &str) -> Vec<String> {
    let Some((before, group)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (mut depth, mut part, mut all) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => all.push(std::mem::take(&mut part)),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                part.push(c);
            }
        }
    }
    all.push(part);
    let parts = all.iter().filter(|it| !it.is_empty());
    parts.flat_map(|it| unfolded(&format!("{before}{it}"))).collect()
}

/// The modules of the same crate that a file imports from.
fn imports(text: &str, of: &Module, known: &BTreeSet<Module>) -> BTreeSet<Module> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let statements = text.split(';').filter_map(|it| {
        let at = it.rfind("use ").filter(|at| {
            let line = it[..*at].lines().last().unwrap_or_default().trim();
            line.is_empty() || line.starts_with("pub")
        })?;
        let path: String = it[at + 4..].split_whitespace().collect();
        ["crate", "super", "self"].iter().any(|it| path.starts_with(it)).then_some(path)
    });
    let mut found = BTreeSet::new();
    for path in statements.flat_map(|it| unfolded(&it)) {
        let mut at = of.clone();
        for part in path.split("::") {
            match part {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                name => {
                    at.push(name.to_owned());
                    if !known.contains(&at) {
                        at.pop();
                        break;
                    }
                }
            }
        }
        // Whoever is made of parts may use them.
        if known.contains(&at) && !at.starts_with(of) {
            found.insert(at);
        }
    }
    found
}

/// Groups of modules each of which leads to all others.
fn circles(uses: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<BTreeSet<Module>> {
    let reached = |from: &Module| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&Module> = uses[from].iter().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module.clone()) {
                next.extend(&uses[module]);
            }
        }
        seen
    };
    let all: BTreeMap<&Module, BTreeSet<Module>> =
        uses.keys().map(|it| (it, reached(it))).collect();
    let circle = |module: &Module| -> BTreeSet<Module> {
        all[module].iter().filter(|it| all[*it].contains(module)).cloned().collect()
    };
    uses.keys().map(circle).filter(|it| it.len() > 1).collect()
}

#[test]
fn files_of_a_crate_import_each_other_in_no_new_circle() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(crates()).unwrap().flatten() {
        let (name, root) = (entry.file_name().into_string().unwrap(), entry.path().join("src"));
        let mut files = Vec::new();
        sources(&root, &mut files);
        files.retain(|it| it.file_stem().is_some_and(|stem| stem != "tests"));
        let known: BTreeSet<Module> = files.iter().map(|it| module(&root, it)).collect();
        let uses = files.iter().map(|file| {
            let of = module(&root, file);
            let text = fs::read_to_string(file).unwrap();
            let imports = imports(&text, &of, &known);
            (of, imports)
        });
        let circles = circles(&uses.collect());
        let allowed = CIRCLES.iter().find(|it| it.0 == name).map_or(0, |it| it.1);
        if circles.len() != allowed {
            let shown: Vec<Vec<String>> =
                circles.iter().map(|it| it.iter().map(|it| it.join("/")).collect()).collect();
            wrong.push(format!("{name} has {} circles, not {allowed}: {shown:?}", circles.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let mut files = Vec::new();
    sources(&crates(), &mut files);
    sources(&crates().join("../examples"), &mut files);
    let lines = |it: &PathBuf| fs::read_to_string(it).unwrap().lines().count();
    let long: Vec<_> = files.iter().filter(|it| lines(it) > LINES_MAX).collect();
    assert!(files.len() > 800 && long.is_empty(), "{long:?}");
}

#[test]
fn imports_are_understood() {
    let known: BTreeSet<Module> = [vec![], vec!["a"], vec!["a", "b"], vec!["c"]]
        .map(|it| it.into_iter().map(str::to_owned).collect())
        .into();
    let of: Module = vec!["a".to_owned(), "b".to_owned()];
    let text = "use std::fs;\nuse crate::{\n  c::{D, self},\n  E,\n};\npub(crate) use super::f;\n\
                use self::own::X;\n#[cfg(test)]\nuse crate::never;";
    let found: Vec<String> = imports(text, &of, &known).iter().map(|it| it.join("/")).collect();
    assert_eq!(found, ["", "a", "c"]);
}
