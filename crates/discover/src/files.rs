//! Walks the given roots, within bounds, and hands each file to its reader.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Component as Part, Path, PathBuf};

use changeover_assess::map::{Discovery, Unread};
use changeover_types::WallMs;

use crate::detect::{FileKind, detect, expected};
use crate::notes::Notes;
use crate::{compose, haproxy, kubernetes, nginx, prometheus, systemd, terraform};

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest file, in bytes.
    pub file_bytes: u64,
    /// The most files in all roots.
    pub files: usize,
    /// The deepest folder.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { file_bytes: 32 * 1024 * 1024, files: 20_000, depth: 12 }
    }
}

/// Folders in which nobody keeps configuration of their own.
const SKIPPED: [&str; 6] = [".git", "node_modules", "target", ".terraform", "__pycache__", ".venv"];

/// A file's text, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// The path as people know it: the root as given, and what follows.
    pub(crate) shown: String,
    pub(crate) text: String,
    pub(crate) kind: FileKind,
}

/// One root: everything in it is read before it is understood, for one file may speak of another.
pub(crate) struct Root<'a> {
    /// The folder that bounds it.
    folder: PathBuf,
    /// The same folder as the operator wrote it.
    given: PathBuf,
    /// Scope of loopback addresses in it.
    pub(crate) machine: String,
    pub(crate) now: WallMs,
    limits: &'a Limits,
}

/// Reads every root. With `same_machine` (always with a single root) loopback addresses in all
/// files mean this machine, else each root is a machine of its own.
#[must_use]
pub fn from_files(
    roots: &[PathBuf],
    same_machine: bool,
    limits: &Limits,
    now: WallMs,
) -> Discovery {
    let mut found = Discovery::default();
    let mut budget = limits.files;
    for root in roots {
        let same = same_machine || roots.len() == 1;
        let machine =
            if same { "machine".to_owned() } else { format!("machine {}", root.display()) };
        read_root(root, machine, &mut budget, limits, now, &mut found);
    }
    found
}

fn read_root(
    given: &Path,
    machine: String,
    budget: &mut usize,
    limits: &Limits,
    now: WallMs,
    found: &mut Discovery,
) {
    let whole = match fs::canonicalize(given) {
        Ok(whole) => whole,
        Err(error) => {
            found.unread.push(unread(
                given,
                &error.to_string(),
                "give a file or folder that exists",
            ));
            return;
        }
    };
    let (folder, given) = if whole.is_dir() {
        (whole.clone(), given.to_owned())
    } else {
        (parent(&whole), given.parent().unwrap_or(Path::new("")).to_owned())
    };
    let root = Root { folder, given, machine, now, limits };
    let mut paths = Vec::new();
    walk(&whole, 0, limits.depth, budget, &mut paths, found);
    let mut files: Vec<File> = Vec::new();
    let mut modules: Option<PathBuf> = None;
    let mut seen = BTreeSet::new();
    for path in paths {
        let shown = root.shown(&path);
        // A link inside the root and what it leads to are one file.
        let path = fs::canonicalize(&path).unwrap_or(path);
        if !seen.insert(path.clone()) {
            continue;
        }
        if path.extension().is_some_and(|end| end == "tf") {
            modules.get_or_insert(path.clone());
        }
        let text = match root.read(&path) {
            Ok(text) => text,
            Err(why) => {
                if expected(&path) {
                    let next = "make it readable, or leave it out";
                    found.unread.push(unread(Path::new(&shown), &why, next));
                } else {
                    found.passed_over += 1;
                }
                continue;
            }
        };
        match detect(&path, &text) {
            Ok(Some(kind)) => {
                found.read.extend(kind.source().map(|source| (shown.clone(), source)));
                files.push(File { path, shown, text, kind });
            }
            Ok(None) => found.passed_over += 1,
            Err(fault) => {
                let next = "mend it, or leave it out";
                let mut entry = unread(Path::new(&shown), &fault.why, next);
                entry.line = Some(fault.line);
                found.unread.push(entry);
            }
        }
    }
    understand(&root, &files, found);
    let terraform = |file: &File| file.kind == FileKind::Terraform;
    if let Some(module) = modules
        && !files.iter().any(terraform)
    {
        let why = "Terraform modules say what is wanted, not what is there, and are not read";
        let next = "terraform show -json > state.json, and give that file too";
        found.unread.push(unread(Path::new(&root.shown(&module)), why, next));
    }
}

/// Each kind's reader over its files.
fn understand(root: &Root<'_>, files: &[File], found: &mut Discovery) {
    let of = |kind: FileKind| files.iter().filter(move |file| file.kind == kind);
    for file in of(FileKind::Compose) {
        compose::read(root, file, found);
    }
    for file in of(FileKind::Terraform) {
        terraform::read(root, file, found);
    }
    kubernetes::read(root, &of(FileKind::Kubernetes).collect::<Vec<_>>(), found);
    systemd::read(root, &of(FileKind::Systemd).collect::<Vec<_>>(), found);
    nginx::read(root, &of(FileKind::Nginx).collect::<Vec<_>>(), found);
    for file in of(FileKind::Haproxy) {
        haproxy::read(root, file, found);
    }
    for file in of(FileKind::Prometheus) {
        prometheus::read_config(root, file, found);
    }
}

impl<'a> Root<'a> {
    pub(crate) fn notes<'n>(&'n self, source: &'n str, found: &'n mut Discovery) -> Notes<'n> {
        Notes { source, machine: &self.machine, now: self.now, found }
    }

    /// A path as the operator would write it.
    fn shown(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.folder);
        inside.map_or_else(|_| path.to_owned(), |rest| self.given.join(rest)).display().to_string()
    }

    /// Reads one file of ours, within the limits.
    fn read(&self, path: &Path) -> Result<String, String> {
        let real = fs::canonicalize(path).map_err(|error| error.to_string())?;
        if !real.starts_with(&self.folder) {
            return Err("it leads out of the given folder".to_owned());
        }
        let file = fs::File::open(&real).map_err(|error| error.to_string())?;
        let facts = file.metadata().map_err(|error| error.to_string())?;
        if !facts.is_file() {
            return Err("it is not a plain file".to_owned());
        }
        let limit = self.limits.file_bytes;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > limit {
            return Err(format!("it is larger than {limit} bytes"));
        }
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
    }

    /// Reads a file that `beside` refers to. Absolute paths are looked for as they are, under the
    /// root as if it were `/`, and beside the referring file; never outside the root.
    ///
    /// # Errors
    /// With the reason, in words.
    pub(crate) fn referred(&self, beside: &Path, path: &str) -> Result<File, String> {
        let mut last = String::from("it is not inside the given folder");
        for candidate in self.candidates(beside, path) {
            match self.read(&candidate) {
                Ok(text) => {
                    let shown = self.shown(&candidate);
                    return Ok(File { path: candidate, shown, text, kind: FileKind::Referred });
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// Every file that a reference with `*` in its last part means, in order.
    pub(crate) fn matching(&self, beside: &Path, pattern: &str) -> Vec<PathBuf> {
        let (folder, last) = pattern.rsplit_once('/').unwrap_or((".", pattern));
        for candidate in self.candidates(beside, folder) {
            let Ok(entries) = fs::read_dir(&candidate) else { continue };
            let mut paths: Vec<PathBuf> = entries
                .flatten()
                .take(self.limits.files)
                .map(|entry| entry.path())
                .filter(|p| p.file_name().is_some_and(|n| matches(last, &n.to_string_lossy())))
                .collect();
            paths.sort();
            return paths;
        }
        Vec::new()
    }

    fn candidates(&self, beside: &Path, path: &str) -> Vec<PathBuf> {
        let path = Path::new(path);
        let folder = parent(beside);
        let mut candidates = vec![folder.join(path)];
        if path.is_absolute() {
            let bare: PathBuf =
                path.components().filter(|part| matches!(part, Part::Normal(_))).collect();
            candidates.push(self.folder.join(&bare));
            // `/etc/nginx/conf.d` beside a copied `nginx.conf` is `conf.d`.
            let parts: Vec<Part<'_>> = bare.components().collect();
            for skip in 1..parts.len() {
                candidates.push(folder.join(parts[skip..].iter().collect::<PathBuf>()));
            }
        }
        let mut seen = BTreeSet::new();
        candidates
            .into_iter()
            .filter_map(|path| fs::canonicalize(path).ok())
            .filter(|path| path.starts_with(&self.folder) && seen.insert(path.clone()))
            .collect()
    }
}

/// `*` in one place of a name.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => pattern == name,
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}

fn unread(path: &Path, why: &str, next: &str) -> Unread {
    Unread {
        source: path.display().to_string(),
        line: None,
        why: why.to_owned(),
        next: next.to_owned(),
    }
}

fn walk(
    path: &Path,
    depth: usize,
    deepest: usize,
    budget: &mut usize,
    paths: &mut Vec<PathBuf>,
    found: &mut Discovery,
) {
    let skipped = path.file_name().is_some_and(|name| SKIPPED.iter().any(|s| name == *s));
    if !path.is_dir() {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        if *budget == 0 {
            let why = "too many files: this one and those after it were not read";
            found.unread.push(unread(path, why, "give folders that hold only configuration"));
            return;
        }
        paths.push(path.to_owned());
        return;
    }
    if depth > 0 && skipped {
        return;
    }
    if depth >= deepest {
        let why = "nested too deep to be read";
        found.unread.push(unread(path, why, "give this folder as a root of its own"));
        return;
    }
    match fs::read_dir(path) {
        Ok(entries) => {
            let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            entries.sort();
            for entry in entries {
                // Links to folders are not followed: they could lead in a circle.
                let linked = fs::symlink_metadata(&entry).is_ok_and(|m| m.is_symlink());
                if !(linked && entry.is_dir()) {
                    walk(&entry, depth + 1, deepest, budget, paths, found);
                }
            }
        }
        Err(error) => {
            found.unread.push(unread(
                path,
                &error.to_string(),
                "make it readable, or leave it out",
            ));
        }
    }
}
