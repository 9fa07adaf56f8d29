//! The client's part of the exchange.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Keys, MAX_ITERATIONS, ScramError, attribute, is_nonce};

/// What the client proves itself with.
#[derive(Clone)]
pub enum Secret {
    /// The password.
    Password(String),
    /// Keys learnt from an earlier exchange with the same verifier.
    Keys(Keys),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// The client before the server's first message.
#[derive(Debug)]
pub struct ClientFirst {
    pub(super) secret: Secret,
    pub(super) nonce: String,
    pub(super) bare: String,
}

/// The client before the server's last message.
#[derive(Debug)]
pub struct ClientFinal {
    keys: Keys,
    auth_message: String,
}

impl ClientFirst {
    /// Starts an exchange and gives its first message. `nonce` must be drawn anew each time: at
    /// least 18 random bytes as printable text without commas.
    ///
    /// # Errors
    /// If the nonce has other characters.
    pub fn new(secret: Secret, nonce: &str) -> Result<(Self, Vec<u8>), ScramError> {
        if !is_nonce(nonce) {
            return Err(ScramError::Nonce);
        }
        // PostgreSQL takes the user from the startup packet and ignores the one here.
        let bare = format!("n=,r={nonce}");
        let message = format!("n,,{bare}").into_bytes();
        Ok((ClientFirst { secret, nonce: nonce.to_owned(), bare }, message))
    }

    /// Takes the server's first message and gives the client's last.
    ///
    /// # Errors
    /// If the message is broken, its nonce not ours, or its iterations absurd.
    pub fn handle(self, server_first: &[u8]) -> Result<(ClientFinal, Vec<u8>), ScramError> {
        let message = "server-first";
        let bad = |field| ScramError::Malformed { message, field };
        let text = std::str::from_utf8(server_first).map_err(|_| bad("encoding"))?;
        let mut parts = text.split(',');
        let nonce = attribute(&mut parts, 'r', message, "nonce")?;
        let salt = attribute(&mut parts, 's', message, "salt")?;
        let iterations = attribute(&mut parts, 'i', message, "iteration count")?;
        let fresh = nonce.strip_prefix(self.nonce.as_str()).ok_or(ScramError::Nonce)?;
        if !is_nonce(fresh) {
            return Err(ScramError::Nonce);
        }
        let salt = STANDARD.decode(salt).map_err(|_| bad("salt"))?;
        let iterations: u64 = iterations.parse().map_err(|_| bad("iteration count"))?;
        let iterations = u32::try_from(iterations)
            .ok()
            .filter(|count| (1..=MAX_ITERATIONS).contains(count))
            .ok_or(ScramError::Iterations(iterations))?;
        let keys = match self.secret {
            Secret::Password(password) => Keys::derive(&password, &salt, iterations),
            Secret::Keys(keys) => keys,
        };
        let without_proof = format!("c=biws,r={nonce}");
        let auth_message = format!("{},{text},{without_proof}", self.bare);
        let proof = STANDARD.encode(keys.proof(&auth_message));
        let reply = format!("{without_proof},p={proof}").into_bytes();
        Ok((ClientFinal { keys, auth_message }, reply))
    }
}

impl ClientFinal {
    /// Takes the server's last message: its own proof.
    ///
    /// # Errors
    /// If the proof is wrong: then this is not the server that knows the password.
    pub fn handle(self, server_final: &[u8]) -> Result<(), ScramError> {
        let message = "server-final";
        let bad = |field| ScramError::Malformed { message, field };
        let text = std::str::from_utf8(server_final).map_err(|_| bad("encoding"))?;
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default();
        if let Some(refusal) = first.strip_prefix("e=") {
            return Err(ScramError::Refused(refusal.chars().take(100).collect()));
        }
        let signature = first.strip_prefix("v=").ok_or_else(|| bad("signature"))?;
        let signature = STANDARD.decode(signature).map_err(|_| bad("signature"))?;
        if self.keys.is_server_signature(&self.auth_message, &signature) {
            Ok(())
        } else {
            Err(ScramError::WrongServer)
        }
    }
}
