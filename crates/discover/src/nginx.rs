//! nginx. The files of a root are one configuration: included files are read where they are
//! included, the others on their own, and an upstream of one file is known in all.

use std::collections::BTreeSet;
use std::path::PathBuf;

use changeover_assess::hints::HintKind;
use changeover_assess::map::{Discovery, Endpoint, Kind, Name, Relation, Trait};

use crate::compose::duration_ms;
use crate::files::{File, Root};
use crate::notes::Notes;

mod lexer;

use lexer::Directive;

/// Deepest chain of includes.
const INCLUDES_MAX: usize = 16;

/// Reads all configuration files of a root.
pub(crate) fn read(root: &Root<'_>, files: &[&File], found: &mut Discovery) {
    let mut reader = Reader { root, included: BTreeSet::new(), whole: Vec::new() };
    // Main files first, so that what they include is known as included.
    let mut ordered: Vec<&&File> = files.iter().collect();
    ordered.sort_by_key(|file| (!is_main(&file.text), file.path.clone()));
    let has_main = files.iter().any(|file| is_main(&file.text));
    for file in ordered {
        // Debian keeps sites there that are switched off: nobody includes them.
        let switched_off =
            has_main && file.path.components().any(|p| p.as_os_str() == "sites-available");
        if !reader.included.contains(&file.path) && !switched_off {
            let directives = reader.parse(file, 0, found);
            reader.whole.extend(directives);
        }
    }
    if reader.whole.is_empty() {
        return;
    }
    let mut upstreams: Vec<&Directive> = Vec::new();
    find(&reader.whole, "upstream", &mut upstreams);
    let mut servers: Vec<&Directive> = Vec::new();
    find(&reader.whole, "server", &mut servers);
    for server in servers.into_iter().filter(|server| server.block.is_some()) {
        let mut notes = root.notes(&server.file, found);
        self::server(&mut notes, server, &upstreams);
    }
    for upstream in &upstreams {
        let mut notes = root.notes(&upstream.file, found);
        keepalive(&mut notes, upstream);
    }
    for name in ["proxy_read_timeout", "proxy_connect_timeout", "proxy_send_timeout"] {
        let mut all = Vec::new();
        find(&reader.whole, name, &mut all);
        for directive in all {
            let mut notes = root.notes(&directive.file, found);
            timeout(&mut notes, directive);
        }
    }
}

fn is_main(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        ["http", "events", "stream"].iter().any(|word| {
            line.strip_prefix(word)
                .is_some_and(|rest| rest.trim_start().starts_with('{') || rest.is_empty())
        })
    })
}

struct Reader<'a> {
    root: &'a Root<'a>,
    included: BTreeSet<PathBuf>,
    whole: Vec<Directive>,
}

impl Reader<'_> {
    /// A file's directives, includes put in their place.
    fn parse(&mut self, file: &File, depth: usize, found: &mut Discovery) -> Vec<Directive> {
        let (directives, fault) = lexer::parse(&file.text, &file.shown);
        if let Some((line, why)) = fault {
            let mut notes = self.root.notes(&file.shown, found);
            notes.unread(line, why, "nginx -t -c FILE; what stands before that line was read");
        }
        self.expand(directives, file, depth, found)
    }

    fn expand(
        &mut self,
        directives: Vec<Directive>,
        file: &File,
        depth: usize,
        found: &mut Discovery,
    ) -> Vec<Directive> {
        let mut out = Vec::new();
        for mut directive in directives {
            if directive.name == "include" {
                out.extend(self.include(&directive, file, depth, found));
                continue;
            }
            directive.block = directive.block.map(|block| self.expand(block, file, depth, found));
            out.push(directive);
        }
        out
    }

    fn include(
        &mut self,
        directive: &Directive,
        file: &File,
        depth: usize,
        found: &mut Discovery,
    ) -> Vec<Directive> {
        let Some(pattern) = directive.arguments.first() else { return Vec::new() };
        if depth >= INCLUDES_MAX {
            let why = format!("more than {INCLUDES_MAX} includes inside each other");
            self.root.notes(&file.shown, found).unread(directive.line, why, "take the circle out");
            return Vec::new();
        }
        let folder = pattern.rsplit_once('/').map_or("", |(folder, _)| folder);
        if pattern.contains(['?', '[']) || folder.contains('*') || pattern.matches('*').count() > 1
        {
            let why =
                format!("the include pattern {pattern} is more than one `*` in a file's name");
            let next = "give what it means as a folder of its own";
            self.root.notes(&file.shown, found).unread(directive.line, why, next);
            return Vec::new();
        }
        let paths: Vec<String> = if pattern.contains('*') {
            let all = self.root.matching(&file.path, pattern);
            all.into_iter().map(|path| path.display().to_string()).collect()
        } else {
            vec![pattern.clone()]
        };
        let mut out = Vec::new();
        for path in paths {
            match self.root.referred(&file.path, &path) {
                Ok(included) => {
                    self.included.insert(included.path.clone());
                    out.extend(self.parse(&included, depth + 1, found));
                }
                // Tables of types and parameters hold nothing that we look for.
                Err(_) if path.ends_with("mime.types") || path.ends_with("_params") => {}
                Err(why) => {
                    let what = format!("the included {path}: {why}");
                    let next = "give it inside the folder";
                    self.root.notes(&file.shown, found).unread(directive.line, what, next);
                }
            }
        }
        out
    }
}

/// All directives of a name, at any depth, in order.
fn find<'a>(directives: &'a [Directive], name: &str, out: &mut Vec<&'a Directive>) {
    for directive in directives {
        if directive.name == name {
            out.push(directive);
        }
        if let Some(block) = &directive.block {
            find(block, name, out);
        }
    }
}

fn proxy_name(notes: &Notes<'_>) -> Name {
    Name::component(notes.machine, "nginx")
}

/// A virtual server: the names and ports of nginx, and where its locations lead.
fn server(notes: &mut Notes<'_>, server: &Directive, upstreams: &[&Directive]) {
    let block = server.block.as_deref().unwrap_or_default();
    let own = |name: &str| block.iter().filter(move |d| d.name == name).collect::<Vec<_>>();
    let name = proxy_name(notes);
    let mut component =
        notes.component("nginx", name.clone(), notes.declared(server.line, "a server of nginx"));
    component.kind = Some(Kind::Service);
    component.engine = Some("nginx".to_owned());
    let listens = own("listen");
    if listens.is_empty() {
        component.names.insert(Name::address(notes.machine, "localhost", Some(80)));
    }
    for listen in &listens {
        let Some((host, port)) = listen.arguments.first().and_then(|a| listen_address(a)) else {
            continue;
        };
        component.names.insert(Name::address(notes.machine, "localhost", Some(port)));
        if !host.is_empty() {
            component.names.insert(Name::address(notes.machine, &host, Some(port)));
        }
        if !matches!(host.as_str(), "127.0.0.1" | "::1" | "localhost") {
            component.traits.insert(Trait::FacesClients);
        }
    }
    for directive in own("server_name") {
        for host in directive
            .arguments
            .iter()
            .filter(|a| a.contains('.') && !a.contains(['*', '~', '$']) && !a.starts_with('.'))
        {
            component.names.insert(Name::address(notes.machine, host, None));
        }
    }
    notes.add(component);
    let mut passes = Vec::new();
    for directive in ["proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass"] {
        find(block, directive, &mut passes);
    }
    for pass in passes {
        self::pass(notes, &name, pass, upstreams);
    }
    let mut upgrades = Vec::new();
    find(block, "proxy_set_header", &mut upgrades);
    for header in upgrades
        .iter()
        .filter(|h| h.arguments.first().is_some_and(|n| n.eq_ignore_ascii_case("upgrade")))
    {
        let evidence = notes.declared(header.line, "WebSocket connections pass here");
        let shows = "proxy_set_header Upgrade".to_owned();
        notes.hint(
            "nginx",
            HintKind::LongLivedConnections { shows, max_age_seconds: None },
            evidence,
        );
    }
}

/// `8080`, `*:80`, `[::]:443`, `10.0.0.5:80`, `unix:/x` (none).
fn listen_address(text: &str) -> Option<(String, u16)> {
    if text.starts_with("unix:") {
        return None;
    }
    if let Ok(port) = text.parse() {
        return Some((String::new(), port));
    }
    let endpoint = Endpoint::parse(&format!("http://{}", text.replace("*:", "0.0.0.0:")))?;
    let host = if matches!(endpoint.host.as_str(), "0.0.0.0" | "::" | "*") {
        String::new()
    } else {
        endpoint.host
    };
    Some((host, endpoint.port.unwrap_or(80)))
}

/// Where a location leads: to an upstream's servers, or straight to a host.
fn pass(notes: &mut Notes<'_>, name: &Name, pass: &Directive, upstreams: &[&Directive]) {
    let Some(target) = pass.arguments.first() else { return };
    let bare = target.split_once("://").map_or(target.as_str(), |(_, rest)| rest);
    let bare = bare.split('/').next().unwrap_or_default();
    // A user and password before the host are nobody's business here.
    let bare = bare.rsplit('@').next().unwrap_or_default();
    if bare.starts_with("unix:") {
        return;
    }
    if bare.contains('$') {
        let why = format!("{} leads to {bare}, which nginx fills in while it runs", pass.name);
        let mut there = Notes {
            source: &pass.file,
            machine: notes.machine,
            now: notes.now,
            found: notes.found,
        };
        there.unread(pass.line, why, "name what it leads to in the plan");
        return;
    }
    let group: Vec<&Directive> = upstreams
        .iter()
        .filter(|upstream| upstream.arguments.first().is_some_and(|n| n == bare))
        .flat_map(|upstream| upstream.block.as_deref().unwrap_or_default())
        .filter(|directive| directive.name == "server")
        .collect();
    let scheme = if target.starts_with("https") { "https" } else { "http" };
    if group.is_empty() {
        lead(
            notes,
            name,
            &format!("{scheme}://{bare}"),
            pass,
            &format!("{} leads to {bare}", pass.name),
        );
    }
    for server in group {
        let Some(address) = server.arguments.first().filter(|a| !a.starts_with("unix:")) else {
            continue;
        };
        let down = server.arguments.iter().any(|a| a == "down");
        let says = format!(
            "upstream {bare} has the server {address}{}",
            if down { ", which is down" } else { "" }
        );
        lead(notes, name, &format!("{scheme}://{address}"), server, &says);
    }
}

fn lead(notes: &mut Notes<'_>, from: &Name, url: &str, at: &Directive, says: &str) {
    let mut notes =
        Notes { source: &at.file, machine: notes.machine, now: notes.now, found: notes.found };
    let Some(endpoint) = Endpoint::parse(url) else {
        notes.unread(at.line, format!("where {} leads is no address", at.name), "nginx -t");
        return;
    };
    let scope = notes.machine.to_owned();
    let to = Name::address(&scope, &endpoint.host, endpoint.port);
    let evidence = notes.declared(at.line, says);
    if to.is_ip() || to.host.contains('.') {
        let what = HintKind::HardCodedAddress { key: at.name.clone(), address: endpoint.address() };
        notes.hint("nginx", what, evidence.clone());
    }
    let assumed = endpoint.port.and_then(Endpoint::usual_on);
    notes.link(from, to, Relation::Uses, evidence, assumed);
}

/// Idle connections to the upstream are kept, and for how long.
fn keepalive(notes: &mut Notes<'_>, upstream: &Directive) {
    let block = upstream.block.as_deref().unwrap_or_default();
    let Some(kept) = block.iter().find(|d| d.name == "keepalive") else { return };
    let age = block.iter().find(|d| d.name == "keepalive_time");
    let age = age.and_then(|d| duration_ms(d.arguments.first()?)).map(|ms| ms / 1000);
    let evidence = notes.declared(kept.line, "connections to the upstream are kept");
    let shows = format!("keepalive of upstream {}", upstream.arguments.join(" "));
    notes.hint("nginx", HintKind::LongLivedConnections { shows, max_age_seconds: age }, evidence);
}

fn timeout(notes: &mut Notes<'_>, directive: &Directive) {
    let Some(text) = directive.arguments.first() else { return };
    let seconds = text.parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1000));
    let Some(ms) = seconds.or_else(|| duration_ms(text)) else { return };
    let evidence = notes.declared(directive.line, format!("{} {text}", directive.name));
    notes.hint("nginx", HintKind::Timeout { name: directive.name.clone(), ms }, evidence);
}
