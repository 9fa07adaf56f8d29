//! The shop against a real server.

#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use changeover_testkit::Cluster;

const SHOP: &str = env!("CARGO_BIN_EXE_changeover-shop");

struct Shop {
    child: Child,
    at: SocketAddr,
}

impl Shop {
    fn start(url: &str) -> Shop {
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(SHOP)
            .args(["--listen", &at.to_string(), "--version", "v7"])
            .env("SHOP_DATABASE_URL", url)
            .spawn()
            .unwrap();
        let shop = Shop { child, at };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < deadline, "the shop does not listen");
        }
        shop
    }

    /// The status line, headers and body of an answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.at).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn ask_to_end(mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).unwrap();
        let killed = Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap()
    }
}

fn sql(cluster: &Cluster, database: &str, text: &str) -> String {
    let psql = changeover_testkit::client_program("psql").unwrap();
    let url = cluster.url(database);
    let output = Command::new(psql).args(["-XAtqc", text, &url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_shop_loads_serves_counts_and_reconnects() {
    let cluster = Cluster::for_test("shop");
    sql(&cluster, "postgres", "CREATE ROLE shop_app LOGIN");
    sql(&cluster, "postgres", "CREATE DATABASE shop");
    let loaded = Command::new(SHOP)
        .arg("--load")
        .env("SHOP_DATABASE_URL", cluster.url("shop"))
        .status()
        .unwrap();
    assert!(loaded.success());
    let rows = sql(&cluster, "shop", "SELECT count(*) FROM order_lines");
    assert_eq!(rows, "375000");

    let shop = Shop::start(&cluster.url("shop").replace("postgres@", "shop_app@"));
    let health = shop.ask("GET", "/healthz", "");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    assert!(health.contains("x-shop-version: v7"), "{health}");
    assert!(shop.ask("GET", "/products/17", "").contains("\"kind\":\"tools\""));
    assert!(shop.ask("GET", "/products/0", "").starts_with("HTTP/1.1 404"));
    assert!(shop.ask("GET", "/search?q=chair&kind=books", "").contains("Chair "));

    let order = "{\"request_id\":\"6f1c2b1e-0000-4000-8000-000000000001\",\"customer_id\":5,\
                 \"lines\":[{\"product_id\":3,\"quantity\":2},{\"product_id\":1,\"quantity\":1}]}";
    assert!(shop.ask("POST", "/orders", order).starts_with("HTTP/1.1 200"));
    // The same id a second time is told, and changes nothing.
    assert!(shop.ask("POST", "/orders", order).starts_with("HTTP/1.1 409"));
    let overview = "SELECT lines, paid, status FROM order_overview WHERE id > 150000";
    assert_eq!(sql(&cluster, "shop", overview), "2|5.00|paid");
    let audits = "SELECT count(*) FROM audit_log WHERE id > 50000";
    assert_eq!(sql(&cluster, "shop", audits), "2");
    let bad = order.replace("\"product_id\":3", "\"product_id\":0").replace("0001", "0002");
    assert!(shop.ask("POST", "/orders", &bad).starts_with("HTTP/1.1 422"));
    assert_eq!(sql(&cluster, "shop", overview), "2|5.00|paid");

    let id = "{\"request_id\":\"6f1c2b1e-0000-4000-8000-000000000003\",\"items\":[1]}";
    assert!(shop.ask("POST", "/customers/9/touch", id).ends_with("{\"touches\":1}"));
    assert!(shop.ask("PUT", "/carts/9", id).ends_with("{\"revision\":1}"));
    assert!(shop.ask("PUT", "/carts/20000", id).ends_with("{\"revision\":1}"));

    let end_all = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
                   WHERE application_name = 'shop v7'";
    assert_ne!(sql(&cluster, "postgres", end_all), "0");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !shop.ask("GET", "/healthz", "").starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "the shop did not reconnect");
    }
    assert!(shop.ask_to_end().success());
}
