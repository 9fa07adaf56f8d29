//! JSON with lines. Strict, after RFC 8259; bounded in depth and number of values.

use super::{DEPTH_MAX, NODES_MAX, Node, Shape, Unreadable};

pub(super) fn read(text: &str) -> Result<Node, Unreadable> {
    let mut reader = Reader { rest: text.trim_start_matches('\u{feff}'), line: 1, nodes: 0 };
    let node = reader.value(0)?;
    reader.space();
    match reader.rest.chars().next() {
        None => Ok(node),
        Some(c) => Err(reader.error(format!("not JSON: {c:?} after the end"))),
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    nodes: usize,
}

impl Reader<'_> {
    fn error(&self, why: impl Into<String>) -> Unreadable {
        Unreadable::new(self.line, why)
    }

    fn space(&mut self) {
        let text = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let skipped = &self.rest[..self.rest.len() - text.len()];
        self.line += skipped.bytes().filter(|b| *b == b'\n').count();
        self.rest = text;
    }

    fn take(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Unreadable> {
        self.nodes += 1;
        if depth > DEPTH_MAX {
            return Err(self.error(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        if self.nodes > NODES_MAX {
            return Err(self.error(format!("more than {NODES_MAX} values")));
        }
        self.space();
        let line = self.line;
        let shape = match self.rest.bytes().next() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Shape::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Shape::Text(self.number()?),
            _ if self.take("true") => Shape::Text("true".to_owned()),
            _ if self.take("false") => Shape::Text("false".to_owned()),
            _ if self.take("null") => Shape::Null,
            None => return Err(self.error("not JSON: it ends too early")),
            Some(_) => return Err(self.error("not JSON: no value where one is expected")),
        };
        Ok(Node { line, shape })
    }

    fn map(&mut self, depth: usize) -> Result<Shape, Unreadable> {
        self.take("{");
        let mut entries = Vec::new();
        self.space();
        if self.take("}") {
            return Ok(Shape::Map(entries));
        }
        loop {
            self.space();
            if !self.rest.starts_with('"') {
                return Err(self.error("not JSON: no key where one is expected"));
            }
            let key = self.string()?;
            self.space();
            if !self.take(":") {
                return Err(self.error("not JSON: no `:` after a key"));
            }
            entries.push((key, self.value(depth + 1)?));
            self.space();
            if self.take("}") {
                return Ok(Shape::Map(entries));
            }
            if !self.take(",") {
                return Err(self.error("not JSON: neither `,` nor `}` after a value"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Shape, Unreadable> {
        self.take("[");
        let mut items = Vec::new();
        self.space();
        if self.take("]") {
            return Ok(Shape::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take("]") {
                return Ok(Shape::List(items));
            }
            if !self.take(",") {
                return Err(self.error("not JSON: neither `,` nor `]` after a value"));
            }
        }
    }

    fn number(&mut self) -> Result<String, Unreadable> {
        let fine = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let end = self.rest.find(|c| !fine(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        let digits = number.strip_prefix('-').unwrap_or(number);
        let padded =
            digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
        let ends = digits.ends_with(|c: char| c.is_ascii_digit())
            && digits.starts_with(|c: char| c.is_ascii_digit())
            && !digits.contains(".e")
            && !digits.contains(".E");
        if number.parse::<f64>().is_err() || padded || !ends {
            return Err(self.error("not JSON: a number that is none"));
        }
        self.rest = rest;
        Ok(number.to_owned())
    }

    fn string(&mut self) -> Result<String, Unreadable> {
        self.take("\"");
        let mut text = String::new();
        loop {
            let end = self.rest.find(['"', '\\']).unwrap_or(self.rest.len());
            let (plain, rest) = self.rest.split_at(end);
            if plain.bytes().any(|b| b < 0x20) {
                return Err(self.error("not JSON: a control character in a text"));
            }
            text.push_str(plain);
            self.rest = rest;
            if self.take("\"") {
                return Ok(text);
            }
            if !self.take("\\") {
                return Err(self.error("not JSON: a text without an end"));
            }
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, Unreadable> {
        const SHORT: [(&str, char); 8] = [
            ("\"", '"'),
            ("\\", '\\'),
            ("/", '/'),
            ("b", '\u{8}'),
            ("f", '\u{c}'),
            ("n", '\n'),
            ("r", '\r'),
            ("t", '\t'),
        ];
        for (word, meaning) in SHORT {
            if self.take(word) {
                return Ok(meaning);
            }
        }
        if !self.take("u") {
            return Err(self.error("not JSON: an unknown escape"));
        }
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff if self.take("\\u") => {
                let second = self.hex()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.error("not JSON: half a surrogate pair"));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.error("not JSON: half a surrogate pair"))
    }

    fn hex(&mut self) -> Result<u32, Unreadable> {
        let digits = self.rest.get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.error("not JSON: \\u without four digits"))?;
        self.rest = &self.rest[4..];
        Ok(code)
    }
}
