//! The demo's plan with its fixed ports replaced by free ones.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The addresses of the committed plan.
const FIXED: [&str; 4] =
    ["127.0.0.1:18080", "127.0.0.1:16432", "127.0.0.1:18081", "127.0.0.1:18082"];

/// The addresses of this demo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) http_gate: SocketAddr,
    pub(crate) postgres_gate: SocketAddr,
    pub(crate) v1: SocketAddr,
    pub(crate) v2: SocketAddr,
}

/// Writes the plan with these addresses and gives its path.
///
/// # Errors
/// If the plan cannot be read or lacks an address, or the copy cannot be written.
pub(crate) fn render(plan: &Path, to: &Path, addresses: &Addresses) -> Result<PathBuf, String> {
    let text = fs::read_to_string(plan).map_err(|e| format!("reading {}: {e}", plan.display()))?;
    let rendered = replaced(&text, addresses)
        .map_err(|missing| format!("{} does not name {missing}", plan.display()))?;
    let path = to.join("plan.yaml");
    fs::write(&path, rendered).map_err(|e| format!("writing {}: {e}", path.display()))?;
    Ok(path)
}

fn replaced(text: &str, addresses: &Addresses) -> Result<String, &'static str> {
    let new = [addresses.http_gate, addresses.postgres_gate, addresses.v1, addresses.v2];
    // In two passes, for a free port may be one of the fixed ones.
    let mut rendered = text.to_owned();
    for (n, fixed) in FIXED.iter().enumerate() {
        if !rendered.contains(fixed) {
            return Err(fixed);
        }
        rendered = rendered.replace(fixed, &format!("@address {n}@"));
    }
    for (n, address) in new.iter().enumerate() {
        rendered = rendered.replace(&format!("@address {n}@"), &address.to_string());
    }
    Ok(rendered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_plan_has_every_address_to_replace() {
        let text = include_str!("../../../demo/plan.yaml");
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        // The new addresses are the old ones in another order: the hardest case.
        let addresses =
            Addresses { http_gate: at(16432), postgres_gate: at(18080), v1: at(18082), v2: at(1) };
        let rendered = replaced(text, &addresses).unwrap();
        assert!(rendered.contains("listen: \"127.0.0.1:16432\"}"));
        assert!(rendered.contains("listen: \"127.0.0.1:18080\", auth"));
        assert!(rendered.contains("http://127.0.0.1:18082"));
        assert!(rendered.contains("http://127.0.0.1:1\""));
        assert!(!rendered.contains('@'));
    }

    #[test]
    fn a_plan_without_an_address_is_refused() {
        let at = SocketAddr::from(([127, 0, 0, 1], 1));
        let addresses = Addresses { http_gate: at, postgres_gate: at, v1: at, v2: at };
        assert_eq!(replaced("nothing", &addresses), Err(FIXED[0]));
    }

    #[test]
    fn the_committed_plan_is_sound() {
        let text = include_str!("../../../demo/plan.yaml");
        let plan = changeover_plan::parse("demo/plan.yaml", text).unwrap();
        assert_eq!(plan.phases.len(), 4);
    }
}
