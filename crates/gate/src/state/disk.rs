//! `route.json`: the route and the highest order obeyed, as they must survive the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use changeover_routing::Saved;
use serde::{Deserialize, Serialize};

use crate::files::replace;

const VERSION: u32 = 1;

/// The file and its folder.
#[derive(Clone, Debug)]
pub struct RouteFile {
    folder: PathBuf,
    path: PathBuf,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Reading or writing failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It is not what we write.
    #[error("{} is not a route file: {fault}; move it away and start again to ask afresh", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u32,
    #[serde(flatten)]
    saved: Saved,
}

impl RouteFile {
    /// `route.json` in `folder`, which must exist before the first write.
    #[must_use]
    pub fn new(folder: &Path) -> RouteFile {
        RouteFile { folder: folder.to_owned(), path: folder.join("route.json") }
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was saved; `None` if nothing ever was.
    ///
    /// # Errors
    /// If the file is there and cannot be read or understood.
    pub fn read(&self) -> Result<Option<Saved>, DiskError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.io("read", source)),
        };
        let document: Document = serde_json::from_slice(&text).map_err(|e| self.fault(&e))?;
        if document.v != VERSION {
            let fault = format!("version {} where {VERSION} was expected", document.v);
            return Err(self.fault(&fault));
        }
        Ok(Some(document.saved))
    }

    /// Replaces the file durably.
    ///
    /// # Errors
    /// If any step fails; the old content is then still there.
    pub fn write(&self, saved: &Saved) -> Result<(), DiskError> {
        let document = Document { v: VERSION, saved: saved.clone() };
        let mut text = serde_json::to_vec(&document).map_err(|e| self.fault(&e))?;
        text.push(b'\n');
        replace(&self.path, &text).map_err(|source| self.io("write", source))
    }

    fn io(&self, doing: &'static str, source: io::Error) -> DiskError {
        DiskError::Io { doing, path: self.path.clone(), source }
    }

    fn fault(&self, fault: &dyn std::fmt::Display) -> DiskError {
        DiskError::Content { path: self.path.clone(), fault: fault.to_string() }
    }
}
