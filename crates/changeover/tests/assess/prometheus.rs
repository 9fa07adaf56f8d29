//! Asking a real Prometheus for what it watches (`scripts/install prometheus`).

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::system::run;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that scrapes itself, which works, and a port where nobody is.
struct Prometheus {
    port: u16,
    dead: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Prometheus {
    fn start() -> Prometheus {
        let (port, dead) = (free_port(), free_port());
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n\
             - {{job_name: itself, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n\
             - {{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{dead}']}}]}}\n"
        );
        fs::write(&config, text).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("prometheus: {e}; scripts/install prometheus"));
        let server = Prometheus { port, dead, child, _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let targets = server.targets();
            if [r#""health":"up""#, r#""health":"down""#].iter().all(|it| targets.contains(it)) {
                return server;
            }
            assert!(Instant::now() < deadline, "Prometheus has not scraped: {targets}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn targets(&self) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let asks = "GET /api/v1/targets HTTP/1.0\r\nhost: localhost\r\n\r\n";
            stream.write_all(asks.as_bytes()).ok();
            stream.read_to_string(&mut answer).ok();
        }
        answer
    }
}

#[test]
fn what_a_prometheus_watches_is_in_the_map_and_what_it_cannot_scrape_is_a_risk() {
    let prometheus = Prometheus::start();
    let scratch = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}", prometheus.port);
    let asked = ["assess", "--prometheus", &url, "--map", "map.json", "--fail-on", "high"];
    let said = run(scratch.path(), &[], &asked);
    assert_eq!(said.code, Some(2), "{}\n{}", said.out, said.err);
    assert!(said.out.contains("R46-metrics"), "{}", said.out);
    assert!(said.out.contains("the scrape of shop fails"), "{}", said.out);
    assert!(!said.out.contains("the scrape of itself fails"), "{}", said.out);
    let map = fs::read_to_string(scratch.path().join("map.json")).unwrap();
    assert!(map.contains(&format!("127.0.0.1:{}", prometheus.dead)), "{map}");
    assert!(map.contains("observed"), "{map}");

    // A server that is gone is unread with its reason, in the report too, and no pass.
    drop(prometheus);
    let said = run(scratch.path(), &[], &["assess", "--prometheus", &url]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    assert!(said.out.contains("unknown R46-metrics"), "{}", said.out);
    assert!(said.out.contains("asking Prometheus at"), "{}", said.out);
}

/// A file that cannot be parsed is named where the check that needed it is unknown.
#[test]
fn why_something_could_not_be_read_is_in_the_report() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("deploy");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("good.yaml"), "services: {api: {image: \"shop/api:1\"}}\n").unwrap();
    fs::write(folder.join("bad.yaml"), "services: {api: [\n").unwrap();
    let said = run(scratch.path(), &[], &["assess", "--from", "deploy"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    let at = said.out.find("unknown R41-workers").unwrap_or_else(|| panic!("{}", said.out));
    let entry = &said.out[at..];
    let entry = entry.split("\n\n").next().unwrap();
    assert!(entry.contains("bad.yaml: "), "{entry}");
}
