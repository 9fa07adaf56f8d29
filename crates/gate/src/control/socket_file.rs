//! The file of a socket that a process of ours listens on.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A socket's file. The folder may be removed and made again under a process that is about to
/// leave: what lies at the path then is another's, and stays.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device_and_inode: Option<(u64, u64)>,
}

impl SocketFile {
    /// The file at `path`, which was bound a moment ago.
    #[must_use]
    pub fn bound(path: PathBuf) -> SocketFile {
        let device_and_inode = device_and_inode(&path).ok();
        SocketFile { path, device_and_inode }
    }

    /// Removes it if it is still the one that was bound.
    ///
    /// # Errors
    /// If it is, and the system does not let it go.
    pub fn remove(&self) -> io::Result<()> {
        match (device_and_inode(&self.path), self.device_and_inode) {
            (Ok(there), Some(ours)) if there == ours => fs::remove_file(&self.path),
            _ => Ok(()),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn device_and_inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_the_own_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let first = UnixListener::bind(&path).unwrap();
        let old = SocketFile::bound(path.clone());
        fs::rename(&path, folder.path().join("moved")).unwrap();
        let _second = UnixListener::bind(&path).unwrap();
        old.remove().unwrap();
        assert!(path.exists(), "another's socket was removed");
        SocketFile::bound(path.clone()).remove().unwrap();
        assert!(!path.exists());
        old.remove().unwrap();
        drop(first);
    }
}
