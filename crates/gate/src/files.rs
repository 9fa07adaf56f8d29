//! Files of the gate that must survive it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces a file, readable by its owner alone: written to a neighbour (`.new`), flushed, renamed,
/// and the folder flushed. After a crash the old or the new content is there, whole.
///
/// # Errors
/// If any step fails; the old content is then still there.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut new = OsString::from(path);
    new.push(".new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
