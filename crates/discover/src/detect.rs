//! What a file is, by its content; names only help where content cannot tell.

use std::path::Path;

use changeover_assess::map::SourceKind;

use crate::tree::{self, Node, Unreadable};

/// The kinds that have a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Compose,
    Terraform,
    Kubernetes,
    Systemd,
    Nginx,
    Haproxy,
    Prometheus,
    /// Read because another file refers to it.
    Referred,
}

impl FileKind {
    /// The same in the words of the map.
    pub(crate) fn source(self) -> Option<SourceKind> {
        match self {
            FileKind::Compose => Some(SourceKind::Compose),
            FileKind::Terraform => Some(SourceKind::Terraform),
            FileKind::Kubernetes => Some(SourceKind::Kubernetes),
            FileKind::Systemd => Some(SourceKind::Systemd),
            FileKind::Nginx => Some(SourceKind::Nginx),
            FileKind::Haproxy => Some(SourceKind::Haproxy),
            FileKind::Prometheus => Some(SourceKind::Prometheus),
            FileKind::Referred => None,
        }
    }
}

/// Whether a file with this name ought to be readable: then it is a finding if it is not.
pub(crate) fn expected(path: &Path) -> bool {
    const ENDS: [&str; 9] =
        ["yaml", "yml", "json", "tfstate", "service", "timer", "socket", "conf", "cfg"];
    path.extension().is_some_and(|end| ENDS.iter().any(|known| end == *known))
}

/// What the file is; `None` if it is nothing we know.
///
/// # Errors
/// If it looks like YAML or JSON that should be read and is not well formed.
pub(crate) fn detect(path: &Path, text: &str) -> Result<Option<FileKind>, Unreadable> {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    match end {
        "json" | "tfstate" => Ok(by_shape(std::slice::from_ref(&tree::json(text)?))),
        "yaml" | "yml" => Ok(by_shape(&tree::yaml(text)?)),
        "service" | "timer" | "socket" | "target" | "path" | "mount" if has_section(text) => {
            Ok(Some(FileKind::Systemd))
        }
        _ if text.trim_start().starts_with('{') => {
            Ok(tree::json(text).ok().and_then(|node| by_shape(&[node])))
        }
        "" | "conf" | "cfg" | "inc" | "vhost" | "nginx" | "haproxy" => Ok(by_lines(path, text)),
        _ => Ok(None),
    }
}

fn by_shape(documents: &[Node]) -> Option<FileKind> {
    let has = |key: &str| documents.iter().any(|node| !node.get(key).is_null());
    if has("terraform_version") || (has("lineage") && has("resources")) {
        return Some(FileKind::Terraform);
    }
    if has("scrape_configs") {
        return Some(FileKind::Prometheus);
    }
    if has("apiVersion") && has("kind") {
        // Our own plans have the same two keys.
        let ours = |node: &Node| node.get("apiVersion").to_string().starts_with("changeover/");
        return (!documents.iter().any(ours)).then_some(FileKind::Kubernetes);
    }
    let service = |node: &Node| {
        ["image", "build", "environment", "extends", "ports", "depends_on", "command"]
            .iter()
            .any(|key| !node.get(key).is_null())
    };
    let services = documents.iter().flat_map(|node| node.get("services").entries());
    services.into_iter().any(|(_, node)| service(node)).then_some(FileKind::Compose)
}

fn has_section(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        line.starts_with('[') && line.ends_with(']')
    })
}

fn by_lines(path: &Path, text: &str) -> Option<FileKind> {
    let drop_in = path
        .parent()
        .and_then(|folder| folder.file_name())
        .is_some_and(|name| name.to_string_lossy().ends_with(".service.d"));
    if drop_in && has_section(text) {
        return Some(FileKind::Systemd);
    }
    let mut words = text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        words.next().map(|first| (line.starts_with(first), first, words.next().unwrap_or_default()))
    });
    let braces = text.contains('{') && text.contains(';');
    let haproxy = |(flush, first, second): (bool, &str, &str)| {
        flush && matches!(first, "frontend" | "backend" | "listen") && !second.is_empty()
    };
    if !braces {
        return words.any(haproxy).then_some(FileKind::Haproxy);
    }
    let nginx = |(_, first, second): (bool, &str, &str)| match first {
        "http" | "stream" | "events" | "server" => second == "{",
        "server{" | "http{" | "events{" | "stream{" => true,
        "upstream" | "location" | "proxy_pass" | "server_name" => !second.is_empty(),
        _ => false,
    };
    words.any(nginx).then_some(FileKind::Nginx)
}
