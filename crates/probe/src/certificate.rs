//! What a TLS handshake shows of a certificate. It is looked at, not relied on: no secret is ever
//! sent over a connection of this crate, so one with a certificate that nobody should trust is
//! opened all the same and judged.

use std::sync::{Arc, Mutex, PoisonError};

use changeover_assess::certificate::read;
use changeover_assess::inventory::Certificate;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Accepts every certificate and remembers what is wrong with it.
#[derive(Debug)]
pub(crate) struct Witness {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<Certificate>>,
}

impl Witness {
    /// With the authorities that this machine trusts.
    pub(crate) fn new() -> Result<Witness, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("this machine has no certificate authorities (ca-certificates)".to_owned());
        }
        let algorithms = crypto::ring::default_provider().signature_verification_algorithms;
        Ok(Witness { roots, algorithms, seen: Mutex::new(None) })
    }

    /// The certificate of the last handshake, if it can be read.
    pub(crate) fn seen(&self) -> Option<Certificate> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn untrusted(
        &self,
        end: &ParsedCertificate<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<String> {
        let all = self.algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(end, &self.roots, chain, now, all) {
            Ok(()) => None,
            // Its end is a fact of its own.
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => None,
            Err(error) => Some(error.to_string()),
        }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end)?;
        let seen = read(end).map(|(not_after, names)| Certificate {
            not_after,
            names,
            names_host: verify_server_name(&parsed, name).is_ok(),
            untrusted: self.untrusted(&parsed, chain, now),
        });
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A client that is shown everything and stopped by nothing.
pub(crate) fn config(witness: Arc<Witness>) -> Result<ClientConfig, String> {
    let provider: CryptoProvider = crypto::ring::default_provider();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(witness).with_no_client_auth())
}
