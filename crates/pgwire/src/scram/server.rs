//! The server's part of the exchange.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Keys, ScramError, Verifier, attribute, is_nonce};

/// The server before the client's first message.
#[derive(Debug)]
pub struct ServerFirst {
    verifier: Verifier,
    nonce: String,
}

/// The server before the client's last message.
#[derive(Debug)]
pub struct ServerFinal {
    verifier: Verifier,
    nonce: String,
    gs2_header: String,
    /// `client-first-bare,server-first`
    so_far: String,
}

impl ServerFirst {
    /// A server that knows the role's verifier. `nonce` must be drawn anew for each exchange.
    ///
    /// # Errors
    /// If the nonce is not printable text without commas.
    pub fn new(verifier: Verifier, nonce: &str) -> Result<Self, ScramError> {
        if !is_nonce(nonce) {
            return Err(ScramError::Nonce);
        }
        Ok(ServerFirst { verifier, nonce: nonce.to_owned() })
    }

    /// Takes the client's first message and gives the server's.
    ///
    /// A client that could bind to a TLS channel but was not offered it (`y`) is accepted: our
    /// offer never includes it.
    ///
    /// # Errors
    /// If the message is broken or asks for channel binding.
    pub fn handle(self, client_first: &[u8]) -> Result<(ServerFinal, Vec<u8>), ScramError> {
        let message = "client-first";
        let bad = |field| ScramError::Malformed { message, field };
        let text = std::str::from_utf8(client_first).map_err(|_| bad("encoding"))?;
        let binding_end = text.find(',').ok_or_else(|| bad("header"))?;
        let (binding, rest) = text.split_at(binding_end);
        match binding {
            "n" | "y" => {}
            _ if binding.starts_with("p=") => {
                return Err(ScramError::Unsupported("channel binding"));
            }
            _ => return Err(bad("header")),
        }
        let bare = rest.strip_prefix(",,").ok_or(ScramError::Unsupported("authorization id"))?;
        if bare.starts_with("m=") {
            return Err(ScramError::Unsupported("extension"));
        }
        let mut parts = bare.split(',');
        // The user was given in the startup packet; this one is ignored, as PostgreSQL does.
        attribute(&mut parts, 'n', message, "user")?;
        let client_nonce = attribute(&mut parts, 'r', message, "nonce")?;
        if !is_nonce(client_nonce) {
            return Err(bad("nonce"));
        }
        let nonce = format!("{client_nonce}{}", self.nonce);
        let reply = format!(
            "r={nonce},s={},i={}",
            STANDARD.encode(&self.verifier.salt),
            self.verifier.iterations
        );
        let so_far = format!("{bare},{reply}");
        let gs2_header = format!("{binding},,");
        let next = ServerFinal { verifier: self.verifier, nonce, gs2_header, so_far };
        Ok((next, reply.into_bytes()))
    }
}

impl ServerFinal {
    /// Takes the client's last message. If its proof is right, gives the keys that open every
    /// server with the identical verifier, and the server's last message.
    ///
    /// # Errors
    /// If the proof is wrong or the message broken.
    pub fn handle(self, client_final: &[u8]) -> Result<(Keys, Vec<u8>), ScramError> {
        let message = "client-final";
        let bad = |field| ScramError::Malformed { message, field };
        let text = std::str::from_utf8(client_final).map_err(|_| bad("encoding"))?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(|| bad("proof"))?;
        let mut parts = without_proof.split(',');
        let binding = attribute(&mut parts, 'c', message, "channel binding")?;
        if STANDARD.decode(binding).ok().as_deref() != Some(self.gs2_header.as_bytes()) {
            return Err(bad("channel binding"));
        }
        if attribute(&mut parts, 'r', message, "nonce")? != self.nonce {
            return Err(ScramError::Nonce);
        }
        let proof = STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok());
        let proof = proof.ok_or_else(|| bad("proof"))?;
        let auth_message = format!("{},{without_proof}", self.so_far);
        let keys = self.verifier.check(&auth_message, &proof).ok_or(ScramError::WrongProof)?;
        let signature = STANDARD.encode(self.verifier.signature(&auth_message));
        Ok((keys, format!("v={signature}").into_bytes()))
    }
}
