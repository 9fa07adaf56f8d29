//! A guard on a query, asked of a real Prometheus (`scripts/install prometheus`).

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use tempfile::TempDir;

use super::service::Service;
use crate::faults::program::has;
use crate::stage::{PATIENCE, free_port, until};

/// A server on loopback that scrapes one figure of ours each second.
struct Prometheus {
    port: u16,
    figure: Arc<Mutex<String>>,
    child: Child,
    _folder: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Prometheus {
    fn start(first: &str) -> Prometheus {
        let figure = Arc::new(Mutex::new(first.to_owned()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scraped = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let told = figure.clone();
        let answer = move || std::future::ready(format!("busy {}\n", told.lock().unwrap()));
        let app = Router::new().route("/metrics", get(answer));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs: [{{job_name: test, static_configs: [{{targets: ['{scraped}']}}]}}]\n"
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
        Prometheus { port, figure, child, _folder: folder, _runtime: runtime }
    }

    fn stop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn a_query_is_watched_and_its_server_s_silence_is_no_success() {
    let mut prometheus = Prometheus::start("0.2");
    let service = Service::start(&format!(
        "guards: [{{name: busy, prometheus: {{url: \"http://127.0.0.1:{}\", query: 'max(busy)'}}, \
         below: 80%, for: 0s, every: 1s, on_fail: pause}}]\n\
         phases: [{{name: move, steps: [{{soak: {{for: 1h}}}}, {{shift: {{to: 100%}}}}]}}]\n",
        prometheus.port
    ));
    service.expect("apply", &["--detach"], 0);
    let seen = until(PATIENCE, || {
        let guard = service.status()["control"]["guards"][0].clone();
        (guard["is"] == "good" && guard["seen"] == "0.2").then_some(())
    });
    assert!(seen.is_some(), "{}", service.report());

    *prometheus.figure.lock().unwrap() = "0.95".to_owned();
    let status = service.wait_for_state("paused");
    has(status["state"]["reason"].as_str().unwrap(), &["guard busy", "0.95", "below 0.8"]);

    // Resumed although it is bad: it acts again when it was good in between, or nothing is known.
    service.expect("resume", &[], 0);
    prometheus.stop();
    let status = service.wait_for_state("waiting");
    has(status["state"]["reason"].as_str().unwrap(), &["guard busy", "no data"]);
    assert_eq!(service.state().target_permille, 0);
}
