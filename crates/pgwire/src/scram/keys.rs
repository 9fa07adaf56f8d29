//! Keys derived from a password, and the verifier a server stores.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{MAX_ITERATIONS, ScramError};

/// 32 bytes of key, hash or signature.
pub(super) type Block = [u8; 32];

/// What opens a server that holds the matching verifier: as good as the password there.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Proves the client to the server.
    pub client_key: [u8; 32],
    /// Proves the server to the client.
    pub server_key: [u8; 32],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

impl Keys {
    /// Derives the keys. This is the slow part: `iterations` rounds of HMAC.
    #[must_use]
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        let salted: Block = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(
            prepared(password).as_bytes(),
            salt,
            iterations,
        );
        Keys { client_key: hmac(&salted, b"Client Key"), server_key: hmac(&salted, b"Server Key") }
    }

    /// The client's proof over the exchange.
    pub(super) fn proof(&self, auth_message: &str) -> Block {
        let signature = hmac(&sha256(&self.client_key), auth_message.as_bytes());
        xor(&self.client_key, &signature)
    }

    /// Whether `signature` is what a server that holds the verifier answers.
    pub(super) fn is_server_signature(&self, auth_message: &str, signature: &[u8]) -> bool {
        hmac(&self.server_key, auth_message.as_bytes()).ct_eq(signature).into()
    }
}

/// What a server stores instead of the password: `pg_authid.rolpassword`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Block,
    pub(super) server_key: Block,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier {{ iterations: {}, .. }}", self.iterations)
    }
}

impl Verifier {
    /// Computes the verifier of a password. `iterations` is kept within 1 and
    /// [`MAX_ITERATIONS`].
    #[must_use]
    pub fn from_password(password: &str, salt: &[u8], iterations: u32) -> Self {
        let iterations = iterations.clamp(1, MAX_ITERATIONS);
        let keys = Keys::derive(password, salt, iterations);
        Verifier {
            iterations,
            salt: salt.to_vec(),
            stored_key: sha256(&keys.client_key),
            server_key: keys.server_key,
        }
    }

    /// A verifier no proof can match, for a role that does not exist: the exchange then looks
    /// the same from outside. `key` is a secret of the process, so that a name always gets the
    /// same salt.
    #[must_use]
    pub fn decoy(key: &[u8; 32], user: &str, iterations: u32) -> Self {
        let salt = hmac(key, user.as_bytes());
        Verifier {
            iterations,
            salt: salt.get(..16).unwrap_or(&salt).to_vec(),
            stored_key: [0; 32],
            server_key: hmac(key, &salt),
        }
    }

    /// Reads `SCRAM-SHA-256$iterations:salt$stored:server`.
    ///
    /// # Errors
    /// If the text is anything else (an MD5 hash, for one).
    pub fn parse(text: &str) -> Result<Self, ScramError> {
        let read = || {
            let rest = text.strip_prefix("SCRAM-SHA-256$")?;
            let (parameters, keys) = rest.split_once('$')?;
            let (iterations, salt) = parameters.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            Some(Verifier {
                iterations: iterations.parse().ok().filter(|count| *count > 0)?,
                salt: STANDARD.decode(salt).ok()?,
                stored_key: STANDARD.decode(stored).ok()?.try_into().ok()?,
                server_key: STANDARD.decode(server).ok()?.try_into().ok()?,
            })
        };
        read().ok_or(ScramError::BadVerifier)
    }

    /// The text that [`Verifier::parse`] reads and PostgreSQL stores. A secret.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }

    /// The client's key, if `proof` is right.
    pub(super) fn check(&self, auth_message: &str, proof: &Block) -> Option<Keys> {
        let signature = hmac(&self.stored_key, auth_message.as_bytes());
        let client_key = xor(proof, &signature);
        let right: bool = sha256(&client_key).ct_eq(&self.stored_key).into();
        right.then_some(Keys { client_key, server_key: self.server_key })
    }

    pub(super) fn signature(&self, auth_message: &str) -> Block {
        hmac(&self.server_key, auth_message.as_bytes())
    }
}

/// SASLprep, or the password as it is where SASLprep forbids it: what PostgreSQL does on both
/// sides.
fn prepared(password: &str) -> Cow<'_, str> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared,
        Ok(_) | Err(_) => Cow::Borrowed(password),
    }
}

fn hmac(key: &[u8], data: &[u8]) -> Block {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn sha256(data: &[u8]) -> Block {
    Sha256::digest(data).into()
}

fn xor(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|i| a[i] ^ b[i])
}
