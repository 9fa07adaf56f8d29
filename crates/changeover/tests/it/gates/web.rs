//! Small real upstreams, and a client that counts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::get;

/// A web server that says its name, and fails one request of so many.
pub(crate) struct Upstream {
    name: &'static str,
    address: SocketAddr,
    fails_one_in: Arc<AtomicU64>,
    fails_below: Arc<Mutex<&'static str>>,
    served: Arc<AtomicU64>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Upstream {
    pub(crate) fn start(name: &'static str) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut upstream = Upstream {
            name,
            address: listener.local_addr().unwrap(),
            fails_one_in: Arc::default(),
            fails_below: Arc::new(Mutex::new("/")),
            served: Arc::default(),
            runtime: None,
        };
        upstream.serve(listener);
        upstream
    }

    fn serve(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (name, fails) = (self.name, self.fails_one_in.clone());
        let served = self.served.clone();
        let below = self.fails_below.clone();
        let answer = move |uri: Uri| {
            let number = served.fetch_add(1, Ordering::Relaxed);
            let one_in = fails.load(Ordering::Relaxed);
            let here = uri.path().starts_with(*below.lock().unwrap());
            let fails = here && one_in > 0 && number.is_multiple_of(one_in);
            let status = if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
            std::future::ready((status, name))
        };
        let app = Router::new()
            // What is sent is read before it is answered.
            .route("/", get(answer.clone()).post(async move |_: axum::body::Bytes| name))
            .route("/search", get(answer.clone()))
            .route("/products/{id}", get(answer));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// As the plan wants it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it was asked.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// From now on one request of so many gets a 500; 0 for none.
    pub(crate) fn fail_one_in(&self, requests: u64) {
        self.fails_one_in.store(requests, Ordering::Relaxed);
    }

    /// Only paths that begin so may fail.
    pub(crate) fn fail_below(&self, path: &'static str) {
        *self.fails_below.lock().unwrap() = path;
    }

    /// It is gone, with all connections.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a client got for one request: of which path, status, body, and the cookie it was given.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: &'static str,
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) cookie: Option<String>,
}

/// Asks the gate once, with a cookie if there is one.
pub(crate) fn ask(port: u16, cookie: Option<&str>) -> Result<Got, String> {
    ask_for(port, "/", cookie)
}

fn ask_for(port: u16, path: &'static str, cookie: Option<&str>) -> Result<Got, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(|e| e.to_string())?;
    let cookie = cookie.map(|value| format!("cookie: {value}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{cookie}\r\n");
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| answer.clone())?;
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let cookie = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim().split(';').next()?;
        name.eq_ignore_ascii_case("set-cookie").then(|| value.to_owned())
    });
    let status = status.ok_or_else(|| head.to_owned())?;
    Ok(Got { path, status, body: body.to_owned(), cookie })
}

/// Clients that ask all the time, each request as a new client.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<Result<Got, String>>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(port: u16) -> Load {
        Load::of(port, 3, Duration::from_millis(4))
    }

    /// So many clients, each with so long a pause between two requests.
    pub(crate) fn of(port: u16, clients: usize, pause: Duration) -> Load {
        Load::begin(port, &["/"], clients, pause)
    }

    /// On these paths in turn.
    pub(crate) fn on(port: u16, paths: &'static [&'static str]) -> Load {
        Load::begin(port, paths, 3, Duration::from_millis(4))
    }

    fn begin(port: u16, paths: &'static [&'static str], clients: usize, pause: Duration) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let threads = (0..clients)
            .map(|_| {
                let (stop, answers) = (stop.clone(), answers.clone());
                std::thread::spawn(move || {
                    for path in paths.iter().cycle() {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let answer = ask_for(port, path, None);
                        answers.lock().unwrap().push(answer);
                        std::thread::sleep(pause);
                    }
                })
            })
            .collect();
        Load { stop, answers, threads }
    }

    /// How many requests were answered, well or not.
    pub(crate) fn so_far(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    /// All answers since the one with this number.
    pub(crate) fn since(&self, number: usize) -> Vec<Result<Got, String>> {
        self.answers.lock().unwrap()[number..].to_vec()
    }

    /// Waits until so many more are there, and gives them.
    pub(crate) fn more(&self, count: usize) -> Vec<Result<Got, String>> {
        let from = self.so_far();
        let enough = crate::stage::until(crate::stage::PATIENCE, || {
            (self.so_far() >= from + count).then_some(())
        });
        assert!(enough.is_some(), "the load does not get on");
        self.since(from).into_iter().take(count).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

/// How many answers were 200 from this upstream.
pub(crate) fn from(answers: &[Result<Got, String>], name: &str) -> usize {
    let good = |got: &&Got| got.status == 200 && got.body == name;
    answers.iter().filter_map(|answer| answer.as_ref().ok()).filter(good).count()
}
