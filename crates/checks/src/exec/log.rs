//! A command's output, bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncReadExt};

/// More output than this is read and thrown away.
const BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) struct Log {
    file: File,
    room: usize,
}

impl Log {
    /// Begins it anew, readable by its owner alone.
    pub(super) fn create(path: &Path) -> io::Result<Log> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Log { file, room: BYTES_MAX })
    }

    /// When it was begun, by the clock that dates files.
    pub(super) fn begun(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    /// Takes both streams to their end.
    pub(super) async fn take(
        &mut self,
        mut out: Option<impl AsyncRead + Unpin>,
        mut err: Option<impl AsyncRead + Unpin>,
    ) -> io::Result<()> {
        let (mut first, mut second) = (vec![0; 8192], vec![0; 8192]);
        while out.is_some() || err.is_some() {
            tokio::select! {
                read = next(&mut out, &mut first) => match read? {
                    0 => out = None,
                    n => self.write(&first[..n])?,
                },
                read = next(&mut err, &mut second) => match read? {
                    0 => err = None,
                    n => self.write(&second[..n])?,
                },
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let kept = bytes.len().min(self.room);
        self.file.write_all(&bytes[..kept])?;
        self.room -= kept;
        if kept < bytes.len() && kept > 0 {
            self.file.write_all(b"\n[changeover: more output was not kept]\n")?;
        }
        Ok(())
    }
}

async fn next(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> io::Result<usize> {
    match stream {
        Some(stream) => stream.read(buffer).await,
        None => std::future::pending().await,
    }
}
