//! A real Prometheus (`scripts/install prometheus`) that scrapes what a test says.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use tempfile::TempDir;

use super::free_port;

/// A server on loopback that scrapes a page of ours each second.
pub(crate) struct Prometheus {
    pub(crate) port: u16,
    page: Arc<Mutex<String>>,
    child: Child,
    _folder: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Prometheus {
    pub(crate) fn start(first: &str) -> Prometheus {
        let page = Arc::new(Mutex::new(first.to_owned()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scraped = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let told = page.clone();
        let answer = move || std::future::ready(told.lock().unwrap().clone());
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
        Prometheus { port, page, child, _folder: folder, _runtime: runtime }
    }

    /// What is scraped from now on.
    pub(crate) fn says(&self, page: &str) {
        page.clone_into(&mut self.page.lock().unwrap());
    }

    pub(crate) fn stop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.stop();
    }
}
