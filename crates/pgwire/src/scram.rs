//! SCRAM-SHA-256 (RFC 5802, 7677) without channel binding: the client's and the server's part.
//!
//! Nonces and salts are arguments, for this crate draws no random numbers. A server that knows
//! a role's [`Verifier`] learns the role's [`Keys`] from a good proof, and these open every
//! other server that holds the *identical* verifier (same salt and iterations): that is how a
//! gate logs in behind a client whose password it never sees.

mod client;
mod keys;
mod server;

pub use client::{ClientFinal, ClientFirst, Secret};
pub use keys::{Keys, Verifier};
pub use server::{ServerFinal, ServerFirst};

/// The mechanism's name in `AuthenticationSASL`.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// What PostgreSQL uses by default.
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// More iterations than any sane server asks for: a hostile one must not keep us busy for ever.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Why the exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// A message that is not what the exchange asks for.
    #[error("the SCRAM message `{message}` holds a bad {field}")]
    Malformed {
        /// Which message.
        message: &'static str,
        /// Which part.
        field: &'static str,
    },
    /// The other side answered with another nonce.
    #[error("the SCRAM nonce is not a continuation of ours")]
    Nonce,
    /// An iteration count that is zero or absurd.
    #[error("the server asks for {0} SCRAM iterations; 1 to {MAX_ITERATIONS} are accepted")]
    Iterations(u64),
    /// The client requires channel binding or an extension we do not speak.
    #[error("the client asks for SCRAM {0}, which is not spoken here")]
    Unsupported(&'static str),
    /// The proof is wrong.
    #[error("the password is wrong")]
    WrongProof,
    /// The server's own signature is wrong: it does not know the password.
    #[error("the server could not prove that it knows the password")]
    WrongServer,
    /// The server refused in its last message.
    #[error("the server refused the SCRAM proof: {0}")]
    Refused(String),
    /// A stored secret that is not a verifier.
    #[error("the stored secret is not of the form SCRAM-SHA-256$iterations:salt$stored:server")]
    BadVerifier,
}

/// Splits `text` into its comma-separated attributes and takes the value of the next one, which
/// must be called `name`.
fn attribute<'a>(
    parts: &mut std::str::Split<'a, char>,
    name: char,
    message: &'static str,
    field: &'static str,
) -> Result<&'a str, ScramError> {
    parts
        .next()
        .and_then(|part| part.strip_prefix(name))
        .and_then(|part| part.strip_prefix('='))
        .ok_or(ScramError::Malformed { message, field })
}

/// Whether `text` may be (part of) a nonce: printable ASCII but the comma.
fn is_nonce(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 1024
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

#[cfg(test)]
mod tests;
