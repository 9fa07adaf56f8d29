//! Changing what is forwarded: a message gets another body, one of ours passes, one does not pass.

use changeover_pgwire::frame::Header;

use super::super::admit::fatal;
use super::End;
use super::forward::{Lane, MAX_TRANSLATED};

fn too_long() -> End {
    End::Tell(fatal(
        "54000",
        format!(
            "a message of more than {MAX_TRANSLATED} bytes cannot be forwarded where the servers' \
             type numbers differ and it may hold some; reconnect"
        ),
    ))
}

impl Lane {
    /// Whether the whole next message is there; asks for the rest if not.
    pub(super) fn collect(&mut self, header: Header) -> Result<bool, End> {
        if header.body_len > MAX_TRANSLATED {
            return Err(too_long());
        }
        Ok(self.has_whole(header))
    }

    /// The next message gets another body.
    pub(super) fn replace(&mut self, header: Header, body: &[u8]) -> Header {
        let new = Header { body_len: body.len(), ..header };
        if new == header {
            self.body(header).copy_from_slice(body);
            return header;
        }
        let rest = self.rx.split_off(self.released + header.frame_len());
        self.rx.truncate(self.released);
        self.put(new, body);
        self.rx.unsplit(rest);
        new
    }

    /// A message of ours passes before the next one.
    pub(super) fn insert(&mut self, tag: u8, body: &[u8]) {
        let rest = self.rx.split_off(self.released);
        let header = Header { tag, body_len: body.len() };
        self.put(header, body);
        self.rx.unsplit(rest);
        self.released += header.frame_len();
        self.need = 0;
    }

    /// The next message, which is all there, does not pass.
    pub(super) fn drop_next(&mut self, header: Header) {
        let rest = self.rx.split_off(self.released + header.frame_len());
        self.rx.truncate(self.released);
        self.rx.unsplit(rest);
        self.need = 0;
    }

    fn put(&mut self, header: Header, body: &[u8]) {
        self.rx.extend_from_slice(&[header.tag]);
        // No message is longer than 1 GiB.
        let length = u32::try_from(header.body_len + 4).unwrap_or(u32::MAX);
        self.rx.extend_from_slice(&length.to_be_bytes());
        self.rx.extend_from_slice(body);
    }
}
