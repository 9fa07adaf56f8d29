//! Where to look besides both sides, for `assess` and `plan`.

use std::path::PathBuf;

use clap::Args;

/// Files, hosts and servers that say what surrounds a move.
#[derive(Clone, Debug, Args)]
pub(crate) struct Places {
    /// A file or folder to read: Compose, Kubernetes, Terraform state or plan as JSON, systemd,
    /// nginx, HAProxy, Prometheus; kinds are told by content; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Vec<PathBuf>,
    /// Look at this host's processes and their connections
    #[arg(long)]
    pub(crate) proc: bool,
    /// A Prometheus server to ask for its targets, http://HOST:PORT; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) prometheus: Vec<String>,
    /// Ask the system's name servers how long the names that were found are kept
    #[arg(long)]
    pub(crate) resolve: bool,
    /// Write the dependency map into this file: .svg, .mmd or .json; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Vec<PathBuf>,
}

impl Places {
    /// Whether it was said where to look.
    pub(crate) fn any(&self) -> bool {
        self.hold_something() || self.resolve || !self.map.is_empty()
    }

    /// Whether one of them may hold what is to be found.
    pub(crate) fn hold_something(&self) -> bool {
        !self.from.is_empty() || self.proc || !self.prometheus.is_empty()
    }
}
