//! Secrets, read from where a plan says they are.

use std::fs;
use std::path::Path;

use changeover_plan::SecretRef;

use crate::Report;

/// Reads a secret from where the plan says it is.
pub(crate) fn secret(from: &SecretRef, plan_path: &Path, what: &str) -> Result<String, Report> {
    let fault = |cause: String| {
        Report::new("CO0105", format!("{what} cannot be had from {from}")).cause(cause)
    };
    match from {
        SecretRef::Inline(text) => Ok(text.clone()),
        SecretRef::Env(name) => std::env::var(name).map_err(|e| fault(e.to_string())),
        SecretRef::File(path) => {
            let path = plan_path.parent().unwrap_or(Path::new(".")).join(path);
            let text =
                fs::read_to_string(&path).map_err(|e| fault(format!("{}: {e}", path.display())))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}
