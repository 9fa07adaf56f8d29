//! The plan's text.

use std::fmt::Write as _;

use super::free_port;

/// What clients go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nothing: writers connect to the databases.
    None,
    /// The PostgreSQL gate.
    Postgres,
    /// The HTTP gate: each side's application connects to its own database.
    Http,
    /// Both: the PostgreSQL gate holds.
    Both,
}

/// A plan to be rendered.
#[derive(Clone, Debug)]
pub(crate) struct PlanText {
    gate: Gate,
    ports: (u16, u16),
    write_pause: String,
    latency_p99: Option<String>,
    upstreams: Option<(String, String)>,
    phases: String,
    neighbours: bool,
    gate_user: Option<String>,
    routes: Option<String>,
}

impl PlanText {
    /// The default phases with short times between attempts.
    pub(crate) fn new(gate: Gate) -> PlanText {
        PlanText {
            gate,
            ports: (free_port(), free_port()),
            write_pause: "3s".to_owned(),
            latency_p99: None,
            upstreams: None,
            phases: "phases:\n  \
                - {name: copy, steps: [replicate, verify]}\n  \
                - {name: cutover, steps: [{cutover: {attempts: 5, retry_after: 1s}}]}\n  \
                - {name: check, steps: [verify]}\n"
                .to_owned(),
            neighbours: false,
            gate_user: None,
            routes: None,
        }
    }

    /// How long writers may be held.
    pub(crate) fn write_pause(mut self, text: &str) -> PlanText {
        self.write_pause = text.to_owned();
        self
    }

    /// What a target that is watched is held to, in place of the source's own pace before: that
    /// changes with whatever else the machine does.
    pub(crate) fn latency_p99(mut self, text: &str) -> PlanText {
        self.latency_p99 = Some(text.to_owned());
        self
    }

    /// The application's addresses on both sides.
    pub(crate) fn upstreams(mut self, source: &str, target: &str) -> PlanText {
        self.upstreams = Some((source.to_owned(), target.to_owned()));
        self
    }

    /// Other phases: a whole `phases:` block.
    pub(crate) fn phases(mut self, text: &str) -> PlanText {
        self.phases = text.to_owned();
        self
    }

    /// Routes of the HTTP gate: a list.
    pub(crate) fn routes(mut self, text: &str) -> PlanText {
        self.routes = Some(text.to_owned());
        self
    }

    /// Other migrations run on the same servers: the preflight takes a slot that one of them is
    /// making for a standby, so the plan declares that none is promoted.
    pub(crate) fn beside_others(mut self) -> PlanText {
        self.neighbours = true;
        self
    }

    /// The gate lets in only this user, by a password in the file `password` beside the plan.
    pub(crate) fn gate_user(mut self, name: &str) -> PlanText {
        self.gate_user = Some(name.to_owned());
        self
    }

    pub(crate) fn postgres_port(&self) -> Option<u16> {
        matches!(self.gate, Gate::Postgres | Gate::Both).then_some(self.ports.0)
    }

    pub(crate) fn http_port(&self) -> Option<u16> {
        matches!(self.gate, Gate::Http | Gate::Both).then_some(self.ports.1)
    }

    pub(crate) fn render(&self, name: &str, source: &str, target: &str) -> String {
        let p99 = self.latency_p99.iter().map(|it| format!(", latency_p99: {it}"));
        let mut text = format!(
            "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: {name}}}\n\
             objectives: {{write_pause: {}{}}}\n",
            self.write_pause,
            p99.collect::<String>()
        );
        let http = |address: Option<&String>| {
            address.map(|a| format!("  http: {{upstreams: [\"{a}\"]}}\n")).unwrap_or_default()
        };
        let upstreams = self.upstreams.as_ref();
        write!(
            text,
            "source:\n{}  postgres: {{url: \"{source}\"{}}}\n\
             target:\n{}  postgres: {{url: \"{target}\"}}\n",
            http(upstreams.map(|pair| &pair.0)),
            if self.neighbours { ", standbys: not-promotable" } else { "" },
            http(upstreams.map(|pair| &pair.1)),
        )
        .unwrap();
        if self.gate != Gate::None {
            text.push_str("gates:\n");
        }
        if let Some(port) = self.http_port() {
            let routes = self.routes.as_ref().map(|list| format!(", routes: {list}"));
            let routes = routes.unwrap_or_default();
            writeln!(text, "  http: {{listen: \"127.0.0.1:{port}\"{routes}}}").unwrap();
        }
        if let Some(port) = self.postgres_port() {
            let who = match &self.gate_user {
                Some(name) => {
                    format!("auth: scram, users: [{{name: {name}, password: {{file: password}}}}]")
                }
                None => "auth: trust".to_owned(),
            };
            writeln!(text, "  postgres: {{listen: \"127.0.0.1:{port}\", {who}}}").unwrap();
        }
        text + &self.phases
    }
}
