//! Certificates: one for this machine that nobody vouches for, and one that has ended.

use std::net::SocketAddr;
use std::sync::Arc;

use changeover_assess::inventory::Certificate;
use changeover_probe::ask;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::asking;
use super::server::{ok, serve};

async fn secure(certificate: &[u8], key: &[u8]) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serve(stream, |_| Some(ok("", "fine"))));
            }
        }
    });
    address
}

async fn certificate(url: &str) -> Certificate {
    let upstream = ask(url, &asking(None)).await;
    assert_eq!(upstream.health.get().unwrap().status, 200);
    upstream.tls.unwrap().get().unwrap().clone()
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_seen_and_said() {
    let server = secure(include_bytes!("localhost.crt"), include_bytes!("localhost.key")).await;
    let seen = certificate(&format!("https://{server}")).await;
    assert_eq!(seen.names, ["localhost", "127.0.0.1", "::1"]);
    assert!(seen.names_host);
    assert!(seen.untrusted.unwrap().starts_with("invalid peer certificate: "));
}

#[tokio::test]
async fn a_certificate_of_another_name_that_has_ended_is_seen_and_said() {
    let server = secure(include_bytes!("ended.crt"), include_bytes!("ended.key")).await;
    let seen = certificate(&format!("https://{server}")).await;
    assert_eq!(seen.names, ["old.example", "www.old.example"]);
    assert!(!seen.names_host);
    assert_eq!(seen.not_after.0, 1_609_502_400_000);
}

#[tokio::test]
async fn a_server_without_tls_is_unknown_with_the_reason() {
    let server = super::server::clear(|_| Some(ok("", "fine"))).await;
    let mut asking = asking(None);
    // It waits for the rest of a request, as we wait for its half of the handshake.
    asking.limit = std::time::Duration::from_millis(200);
    let upstream = ask(&format!("https://{server}"), &asking).await;
    let why = upstream.tls.unwrap().get().unwrap_err().to_owned();
    assert!(why.starts_with("the TLS handshake: ") || why.starts_with("no answer"), "{why}");
}
