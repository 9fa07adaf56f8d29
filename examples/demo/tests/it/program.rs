//! The demo's program with the shop beside it.

use std::path::PathBuf;
use std::process::Command;

/// `changeover-demo --direct`, writing to `out`.
pub(crate) fn demo(out: &tempfile::TempDir, arguments: &[&str]) -> Command {
    build_the_shop();
    let mut command = Command::new(env!("CARGO_BIN_EXE_changeover-demo"));
    command.arg("--direct").arg("--out").arg(out.path()).args(arguments);
    command.env_remove("RATE").env_remove("ROLLBACK").env_remove("GREEN");
    command
}

/// The shop is another package's program, so cargo does not build it for this test.
fn build_the_shop() {
    let folder = PathBuf::from(env!("CARGO_BIN_EXE_changeover-demo"));
    let target = folder.parent().and_then(|p| p.parent()).unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "changeover-shop"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success(), "building changeover-shop");
}
