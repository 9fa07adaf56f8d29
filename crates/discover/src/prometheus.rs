//! Prometheus: the targets that a server scrapes now, and those that its configuration names.

use std::time::Duration;

use bytes::Bytes;
use changeover_assess::hints::HintKind;
use changeover_assess::map::{Discovery, Endpoint, Evidence, Kind, Name, Relation, SourceKind};
use changeover_types::WallMs;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpStream;

use crate::files::{File, Root};
use crate::notes::Notes;
use crate::tree::{self, Node};

/// Largest answer.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why a Prometheus server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// The address is not one that we can ask.
    #[error("`{0}` is not an address of the form http://HOST:PORT[/PREFIX]")]
    Address(String),
    /// No connection, or it broke.
    #[error("asking Prometheus at {at} for its targets")]
    Talk {
        /// Where.
        at: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It did not answer in time.
    #[error("Prometheus at {at} did not answer within {within:?}")]
    Silent {
        /// Where.
        at: String,
        /// How long we waited.
        within: Duration,
    },
    /// It answered something else.
    #[error("Prometheus at {at} answered {what}; is it Prometheus, and is the prefix right?")]
    Answer {
        /// Where.
        at: String,
        /// What.
        what: String,
    },
}

/// Asks a server for its active targets.
///
/// # Errors
/// If it cannot be asked or answers something else.
pub async fn from_prometheus(
    url: &str,
    within: Duration,
    now: WallMs,
) -> Result<Discovery, PrometheusError> {
    let bad =
        || PrometheusError::Address(url.split('@').next_back().unwrap_or_default().to_owned());
    let endpoint = Endpoint::parse(url).filter(|e| e.scheme == "http" && !url.contains('@'));
    let endpoint = endpoint.ok_or_else(bad)?;
    let at = endpoint.address();
    let prefix = url.splitn(4, '/').nth(3).unwrap_or_default().trim_end_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    let path = format!("{slash}{prefix}/api/v1/targets?state=active");
    let text = tokio::time::timeout(within, get(&endpoint, &path))
        .await
        .map_err(|_| PrometheusError::Silent { at: at.clone(), within })?
        .map_err(|source| PrometheusError::Talk { at: at.clone(), source })?;
    let answer = |what: String| PrometheusError::Answer { at: at.clone(), what };
    let text = text.map_err(|status| answer(format!("with status {status}")))?;
    let document = tree::json(&text).map_err(|fault| answer(fault.to_string()))?;
    if document.get("status").text() != Some("success") {
        return Err(answer("without `\"status\": \"success\"`".to_owned()));
    }
    let mut found = Discovery::default();
    let source = format!("http://{at}{slash}{prefix}/api/v1/targets");
    found.read.insert(source.clone(), SourceKind::Prometheus);
    let mut notes = Notes { source: &source, machine: "machine", now, found: &mut found };
    let own = Name::address("machine", &endpoint.host, endpoint.port);
    server(&mut notes, own.clone());
    for target in document.at(&["data", "activeTargets"]).items() {
        active(&mut notes, &own, target);
    }
    Ok(found)
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The body of a 200, or the status.
async fn get(endpoint: &Endpoint, path: &str) -> Result<Result<String, u16>, Problem> {
    let port = endpoint.port.unwrap_or(80);
    let stream = TcpStream::connect((endpoint.host.as_str(), port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get(path)
        .header(http::header::HOST, endpoint.address())
        .header(http::header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())?;
    let talk = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        if status != http::StatusCode::OK {
            return Ok(Err(status.as_u16()));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await?;
        Ok(Ok(String::from_utf8(body.to_bytes().to_vec())?))
    };
    // The connection is driven here rather than by a task of its own.
    let mut connection = std::pin::pin!(connection);
    let mut talk = std::pin::pin!(talk);
    tokio::select! {
        biased;
        answer = &mut talk => answer,
        ended = &mut connection => { ended?; talk.await }
    }
}

fn server(notes: &mut Notes<'_>, name: Name) {
    let evidence = notes.observed(notes.now, "it answered");
    let mut component = notes.component("prometheus", name, evidence);
    component.kind = Some(Kind::Service);
    component.engine = Some("prometheus".to_owned());
    notes.add(component);
}

/// A target that is scraped now.
fn active(notes: &mut Notes<'_>, server: &Name, target: &Node) {
    let job = target.at(&["labels", "job"]).to_string();
    let url = target.get("scrapeUrl").to_string();
    let Some(endpoint) = Endpoint::parse(&url) else {
        let why = format!("a target of job {job} has a scrape URL that is none");
        notes.unread(0, why, "look at /targets of Prometheus");
        return;
    };
    let health = target.get("health").to_string();
    let up = match health.as_str() {
        "up" => Some(true),
        "down" => Some(false),
        _ => None,
    };
    // Never scraped is the year 1.
    let last = target.get("lastScrape").text().and_then(|text| text.parse::<Timestamp>().ok());
    let last = last.and_then(|at| u64::try_from(at.as_millisecond()).ok()).filter(|ms| *ms > 0);
    let says = format!("job {job} scrapes {}: {health}", endpoint.address());
    let evidence = match (up, last) {
        (Some(_), Some(ms)) => notes.observed(WallMs(ms), says),
        _ => notes.declared(0, says),
    };
    let what = HintKind::ScrapeTarget { job, up };
    notes.hint(&endpoint.address(), what, evidence.clone());
    watches(notes, server, &endpoint, evidence);
}

/// Reads a configuration file.
pub(crate) fn read_config(root: &Root<'_>, file: &File, found: &mut Discovery) {
    let mut notes = root.notes(&file.shown, found);
    let Ok(documents) = tree::yaml(&file.text) else { return };
    let name = Name::component(notes.machine, "prometheus");
    for document in &documents {
        let configs = document.get("scrape_configs");
        let evidence = notes.declared(configs.line, "the configuration of Prometheus");
        let mut component = notes.component("prometheus", name.clone(), evidence);
        component.kind = Some(Kind::Service);
        component.engine = Some("prometheus".to_owned());
        component.names.insert(Name::address(notes.machine, "localhost", Some(9090)));
        notes.add(component);
        for config in configs.items() {
            scrape(root, file, &mut notes, &name, config);
        }
    }
}

fn scrape(root: &Root<'_>, file: &File, notes: &mut Notes<'_>, name: &Name, config: &Node) {
    let job = config.get("job_name").to_string();
    let scheme = config.get("scheme").text().unwrap_or("http").to_owned();
    for group in config.get("static_configs").items() {
        for (target, line) in group.get("targets").texts() {
            configured(notes, name, &job, &scheme, target, line);
        }
    }
    for files in config.get("file_sd_configs").items() {
        for (pattern, line) in files.get("files").texts() {
            let paths = root.matching(&file.path, pattern);
            if paths.is_empty() {
                let why = format!("no file {pattern} with targets of job {job}");
                notes.unread(line, why, "give it inside the folder");
            }
            for path in paths {
                file_targets(
                    root,
                    file,
                    notes,
                    name,
                    (&job, &scheme),
                    &path.display().to_string(),
                    line,
                );
            }
        }
    }
    for (key, node) in config.entries() {
        if key.ends_with("_sd_configs") && key != "file_sd_configs" {
            let why = format!("the targets of job {job} are found by {key} while Prometheus runs");
            notes.unread(node.line, why, "ask the server: --prometheus URL");
        }
    }
}

fn file_targets(
    root: &Root<'_>,
    file: &File,
    notes: &mut Notes<'_>,
    name: &Name,
    (job, scheme): (&str, &str),
    path: &str,
    line: usize,
) {
    let documents = root.referred(&file.path, path).and_then(|file| {
        let read = if path.ends_with(".json") {
            tree::json(&file.text).map(|node| vec![node])
        } else {
            tree::yaml(&file.text)
        };
        read.map(|documents| (file, documents)).map_err(|fault| fault.to_string())
    });
    match documents {
        Ok((there, documents)) => {
            let mut notes = root.notes(&there.shown, notes.found);
            for group in documents.iter().flat_map(Node::items) {
                for (target, line) in group.get("targets").texts() {
                    configured(&mut notes, name, job, scheme, target, line);
                }
            }
        }
        Err(why) => notes.unread(line, format!("the targets in {path}: {why}"), "mend the file"),
    }
}

fn configured(
    notes: &mut Notes<'_>,
    name: &Name,
    job: &str,
    scheme: &str,
    target: &str,
    line: usize,
) {
    let Some(endpoint) = Endpoint::parse(&format!("{scheme}://{target}")) else {
        notes.unread(
            line,
            format!("the target {target} of job {job} is no address"),
            "promtool check config FILE",
        );
        return;
    };
    let evidence = notes.declared(line, format!("job {job} scrapes {}", endpoint.address()));
    let what = HintKind::ScrapeTarget { job: job.to_owned(), up: None };
    notes.hint(&endpoint.address(), what, evidence.clone());
    watches(notes, name, &endpoint, evidence);
}

/// Exporters speak for what runs beside them on the same host.
const EXPORTERS: [(u16, &str); 5] = [
    (9187, "postgres"),
    (9104, "mysql"),
    (9121, "redis"),
    (15692, "rabbitmq"),
    (9150, "memcached"),
];

/// An edge to the target, or to what its exporter speaks for.
fn watches(notes: &mut Notes<'_>, server: &Name, target: &Endpoint, evidence: Evidence) {
    let exporter = EXPORTERS.iter().find(|(port, _)| target.port == Some(*port));
    let port = match exporter {
        Some((_, engine)) => Endpoint::usual_port(engine),
        None => target.port,
    };
    let assumed = exporter.and(port).and_then(Endpoint::usual_on);
    let scope = notes.machine.to_owned();
    let to = Name::address(&scope, &target.host, port);
    notes.link(server, to, Relation::Watches, evidence, assumed);
}
