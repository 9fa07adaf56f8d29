//! A second reader of the request stream, which catches what hyper reads one way and another
//! server may read the other way.
//!
//! hyper accepts a request with both Content-Length and Transfer-Encoding and drops the former
//! before a service sees it. Whoever stands in front of us may have gone by it: that is request
//! smuggling, so such a request must be answered with 400. [`Framing`] follows the raw bytes:
//! heads line by line, bodies by their length. It never changes them; it only says which request
//! of the connection was ambiguous. Everything else that is malformed hyper refuses by itself.

/// Enough of a header line to know its name and, of a Content-Length, its value.
const KEPT_OF_LINE: usize = 96;

/// Follows one connection's incoming bytes.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// The beginning of a line of which the end has not come yet.
    line: Vec<u8>,
    /// The last byte of that beginning, however long it is.
    last: Option<u8>,
    /// Requests whose head is complete.
    heads: u64,
    ambiguous: Option<u64>,
    lost_in_body: bool,
    seen: Seen,
}

/// What a client is to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A request, of which nothing is there yet.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a body, or of what has no agreed meaning.
    Body,
    /// Nothing that could be a body's rest: what was sent of it is malformed.
    Nothing,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    any_line: bool,
    length: Option<u64>,
    encoding: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Sized(u64),
    ChunkSize,
    /// A chunk's data and the line end after it.
    Chunk(u64),
    Trailers,
    /// Nothing more will be read on this connection.
    Lost,
}

impl Framing {
    /// The number, from 0, of the request of this connection that could be read two ways.
    pub(super) fn ambiguous(&self) -> Option<u64> {
        self.ambiguous
    }

    /// What the next bytes will be.
    pub(super) fn next(&self) -> Next {
        match self.state {
            State::Head if self.seen.any_line || !self.line.is_empty() => Next::Head,
            State::Head => Next::Request,
            State::Lost if self.lost_in_body => Next::Nothing,
            _ => Next::Body,
        }
    }

    /// Takes the next bytes of the connection.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Lost => return,
                State::Sized(left) => {
                    let (left, rest) = skip(left, bytes);
                    self.state = if left == 0 { State::Head } else { State::Sized(left) };
                    rest
                }
                State::Chunk(left) => {
                    let (left, rest) = skip(left, bytes);
                    self.state = if left == 0 { State::ChunkSize } else { State::Chunk(left) };
                    rest
                }
                State::Head | State::ChunkSize | State::Trailers => self.read_line(bytes),
            };
        }
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
            self.keep(bytes);
            return &[];
        };
        let (part, rest) = (&bytes[..end], &bytes[end + 1..]);
        let before = if end == 0 { self.last } else { part.last().copied() };
        // A head's line may end so; in a body, where hyper would wait for more, it is a fault.
        if before != Some(b'\r') && !matches!(self.state, State::Head) {
            self.lose();
            return rest;
        }
        if self.line.is_empty() {
            self.take_line(part.strip_suffix(b"\r").unwrap_or(part));
        } else {
            self.keep(part);
            let line = std::mem::take(&mut self.line);
            self.take_line(line.strip_suffix(b"\r").unwrap_or(&line));
            self.line = line;
            self.line.clear();
        }
        // Of the line that has ended, not of the next one.
        self.last = None;
        rest
    }

    fn keep(&mut self, part: &[u8]) {
        self.last = part.last().copied().or(self.last);
        let room = KEPT_OF_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn take_line(&mut self, line: &[u8]) {
        // Judged the same whether or not it came in one piece.
        let line = &line[..line.len().min(KEPT_OF_LINE)];
        match self.state {
            State::Head if line.is_empty() => self.end_head(),
            State::Head => self.take_header(line),
            State::ChunkSize => match chunk_size(line) {
                Some(0) => self.state = State::Trailers,
                // The data is followed by CR LF.
                Some(size) => self.state = State::Chunk(size.saturating_add(2)),
                None => self.lose(),
            },
            State::Trailers if line.is_empty() => self.state = State::Head,
            State::Trailers | State::Sized(_) | State::Chunk(_) | State::Lost => {}
        }
    }

    fn take_header(&mut self, line: &[u8]) {
        // hyper allows empty lines before a request line; so do we, by `any_line`.
        self.seen.any_line = true;
        let Some(colon) = line.iter().position(|b| *b == b':') else { return };
        let (name, value) = (line[..colon].trim_ascii(), &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.seen.encoding = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|v| v.trim().parse().ok());
            let differs = self.seen.length.is_some() && self.seen.length != length;
            if length.is_none() || differs || line.len() >= KEPT_OF_LINE {
                self.lose();
            }
            self.seen.length = length;
        }
    }

    fn end_head(&mut self) {
        if !self.seen.any_line {
            return;
        }
        let seen = std::mem::take(&mut self.seen);
        self.state = match (seen.length, seen.encoding) {
            (Some(_), true) => return self.lose(),
            (None, true) => State::ChunkSize,
            (Some(length), false) if length > 0 => State::Sized(length),
            (_, false) => State::Head,
        };
        self.heads += 1;
    }

    /// From here on the bytes have no agreed meaning.
    fn lose(&mut self) {
        let in_body = matches!(self.state, State::ChunkSize | State::Trailers);
        self.lost_in_body = in_body;
        self.ambiguous.get_or_insert(if in_body { self.heads - 1 } else { self.heads });
        self.state = State::Lost;
    }
}

fn skip(left: u64, bytes: &[u8]) -> (u64, &[u8]) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (left - taken as u64, &bytes[taken..])
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let text = std::str::from_utf8(&line[..digits]).ok()?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8], step: usize) -> Framing {
        let mut framing = Framing::default();
        for part in bytes.chunks(step.max(1)) {
            framing.read(part);
        }
        framing
    }

    const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const SIZED: &str = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\r\n\r\n";
    const CHUNKED: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
        4;x=y\r\n\r\n\r\n\r\n0\r\nX: y\r\n\r\n";
    const BOTH: &str =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-length : 3\r\n\r\n";

    #[test]
    fn the_ambiguous_request_is_named() {
        for (stream, expected) in [
            (vec![PLAIN, SIZED, CHUNKED, PLAIN], None),
            (vec![BOTH], Some(0)),
            (vec![PLAIN, CHUNKED, SIZED, BOTH, PLAIN], Some(3)),
            (vec![PLAIN, "GET / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 2\r\n"], Some(1)),
        ] {
            let bytes = stream.concat();
            for step in 1..bytes.len() {
                let framing = read_all(bytes.as_bytes(), step);
                assert_eq!(framing.ambiguous(), expected, "{bytes:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn a_head_is_open_until_its_empty_line() {
        let mut framing = read_all(PLAIN.as_bytes(), 7);
        assert_eq!(framing.next(), Next::Request);
        framing.read(b"GET / HT");
        assert_eq!(framing.next(), Next::Head);
        framing.read(b"TP/1.1\r\n\r\n");
        assert_eq!(framing.next(), Next::Request);
    }

    #[test]
    fn a_body_is_open_until_its_end_and_broken_by_a_bare_line_feed() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (body, next) in [
            ("", Next::Body),
            ("3\r\nab", Next::Body),
            ("3\r\nabc\r\n0\r\n", Next::Body),
            ("3\r\nabc\r\n0\r\n\r\n", Next::Request),
            ("0\r\n\n", Next::Nothing),
            ("0\n\r\n", Next::Nothing),
            ("x\r\n", Next::Nothing),
            ("0\r\nX: y\n\r\n", Next::Nothing),
        ] {
            let bytes = format!("{head}{body}");
            for step in 1..bytes.len() {
                let framing = read_all(bytes.as_bytes(), step);
                assert_eq!(framing.next(), next, "{body:?} in steps of {step}");
                let ambiguous = (next == Next::Nothing).then_some(0);
                assert_eq!(framing.ambiguous(), ambiguous, "{body:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_the_cut_does_not_matter(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), step in 1_usize..50,
        ) {
            let whole = read_all(&bytes, usize::MAX);
            prop_assert_eq!(read_all(&bytes, step).ambiguous(), whole.ambiguous());
        }
    }
}
