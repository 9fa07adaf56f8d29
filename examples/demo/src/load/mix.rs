//! Which request comes next: about 30 % writes, from clients that keep the gate's cookie.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use http::Request;
use http::header::{CONTENT_TYPE, COOKIE, HOST};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::client::Reply;

/// How many clients the load pretends to be. Each keeps its side and counts once for the canary's
/// verdict, so it needs many.
const SESSIONS: usize = 20_000;

/// How many of the newest orders are read back.
const REMEMBERED: usize = 200;

/// One request to send.
#[derive(Debug)]
pub(crate) struct Job {
    session: usize,
    pub(crate) what: What,
}

/// What it asks for.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Product(i64),
    Order(i64),
    Search { prefix: &'static str, kind: &'static str },
    PlaceOrder { id: Uuid, customer: i64, lines: Vec<(i64, i32)> },
    Touch { id: Uuid, customer: i64 },
    Cart { id: Uuid, cart: i64 },
}

impl What {
    /// Whether it changes something.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self, What::PlaceOrder { .. } | What::Touch { .. } | What::Cart { .. })
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Product(id) => write!(f, "GET /products/{id}"),
            What::Order(id) => write!(f, "GET /orders/{id}"),
            What::Search { prefix, kind } => write!(f, "GET /search?q={prefix}&kind={kind}"),
            What::PlaceOrder { id, .. } => write!(f, "POST /orders ({id})"),
            What::Touch { customer, .. } => write!(f, "POST /customers/{customer}/touch"),
            What::Cart { cart, .. } => write!(f, "PUT /carts/{cart}"),
        }
    }
}

/// The clients' memory: their cookies, and the newest orders.
#[derive(Debug)]
pub(crate) struct Mix {
    cookies: Mutex<Vec<Option<String>>>,
    newest: Mutex<Vec<i64>>,
}

impl Default for Mix {
    fn default() -> Self {
        Mix { cookies: Mutex::new(vec![None; SESSIONS]), newest: Mutex::new(Vec::new()) }
    }
}

impl Mix {
    /// The next request.
    pub(crate) fn next(&self) -> Job {
        let what = match rand::random_range(0..100) {
            0..32 => What::Product(rand::random_range(1..=20_000)),
            32..52 => What::Order(self.some_order()),
            52..70 => {
                let words = ["chair", "lamp 1", "spade", "kettle 2", "violin", "tent"];
                let kinds = ["books", "garden", "kitchen", "music", "outdoor", "tools"];
                let prefix = words[rand::random_range(0..words.len())];
                let prefix = prefix.split(' ').next().unwrap_or(prefix);
                What::Search { prefix, kind: kinds[rand::random_range(0..kinds.len())] }
            }
            70..82 => What::PlaceOrder {
                id: Uuid::new_v4(),
                customer: rand::random_range(1..=60_000),
                lines: some_lines(),
            },
            82..92 => What::Touch { id: Uuid::new_v4(), customer: rand::random_range(1..=3_000) },
            _ => What::Cart { id: Uuid::new_v4(), cart: rand::random_range(1..=20_000) },
        };
        Job { session: rand::random_range(0..SESSIONS), what }
    }

    /// Mostly an old order; sometimes one that was just acknowledged and must be found.
    fn some_order(&self) -> i64 {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.is_empty() || rand::random_range(0..4) > 0 {
            rand::random_range(1..=150_000)
        } else {
            newest[rand::random_range(0..newest.len())]
        }
    }

    /// The bytes of a job.
    pub(crate) fn request(&self, job: &Job) -> Request<Full<Bytes>> {
        let (method, path, body) = match &job.what {
            What::Product(id) => ("GET", format!("/products/{id}"), None),
            What::Order(id) => ("GET", format!("/orders/{id}"), None),
            What::Search { prefix, kind } => {
                ("GET", format!("/search?q={prefix}&kind={kind}"), None)
            }
            What::PlaceOrder { id, customer, lines } => {
                let lines: Vec<_> = lines
                    .iter()
                    .map(|(product, quantity)| json!({"product_id": product, "quantity": quantity}))
                    .collect();
                let body = json!({"request_id": id, "customer_id": customer, "lines": lines});
                ("POST", "/orders".to_owned(), Some(body))
            }
            What::Touch { id, customer } => {
                ("POST", format!("/customers/{customer}/touch"), Some(json!({"request_id": id})))
            }
            What::Cart { id, cart } => {
                let items = json!([{"product": cart % 20_000 + 1, "quantity": 2}]);
                ("PUT", format!("/carts/{cart}"), Some(json!({"request_id": id, "items": items})))
            }
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, "shop.example");
        if let Some(cookie) = &self.cookies()[job.session] {
            request = request.header(COOKIE, cookie);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        match request.body(Full::new(bytes)) {
            Ok(request) => request,
            // Every part is made above, but for a cookie that a gate sent and HTTP allowed.
            Err(e) => unreachable!("a request of our own making is wrong: {e}"),
        }
    }

    /// Remembers what an answer taught the client.
    pub(crate) fn learn(&self, job: &Job, reply: &Reply) {
        if let Some(cookie) = &reply.cookie {
            self.cookies()[job.session] = Some(cookie.clone());
        }
        if let What::PlaceOrder { .. } = job.what
            && let Ok(body) = serde_json::from_slice::<serde_json::Value>(&reply.body)
            && let Some(id) = body["id"].as_i64()
        {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            if newest.len() >= REMEMBERED {
                newest.remove(0);
            }
            newest.push(id);
        }
    }

    fn cookies(&self) -> std::sync::MutexGuard<'_, Vec<Option<String>>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One to four lines, each of another product.
fn some_lines() -> Vec<(i64, i32)> {
    let first: i64 = rand::random_range(1..=19_000);
    (0..rand::random_range(1..=4_i64))
        .map(|n| (first + n * 211, rand::random_range(1..=3)))
        .collect()
}
