//! The words of a statement.

/// A word or sign outside of texts and comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name or keyword, in small letters unless it was quoted.
    Word(String),
    /// `$1`.
    Parameter(u16),
    /// A number or a text.
    Value,
    /// `::`.
    Cast,
    /// Any other sign.
    Sign(u8),
}

/// Reads them all.
pub(crate) fn words(sql: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some((&first, after)) = rest.split_first() {
        let part =
            |test: fn(u8) -> bool| after.iter().position(|b| !test(*b)).unwrap_or(after.len());
        match first {
            b'-' if after.starts_with(b"-") => rest = past(after, b"\n"),
            b'/' if after.starts_with(b"*") => rest = comment(&after[1..]),
            b'\'' => {
                tokens.push(Token::Value);
                rest = quoted(after, b'\'', false).1;
            }
            b'"' => {
                let (name, behind) = quoted(after, b'"', false);
                tokens.push(Token::Word(String::from_utf8_lossy(name).into_owned()));
                rest = behind;
            }
            b'$' => {
                let digits = part(|b| b.is_ascii_digit());
                let tag = part(in_word);
                if digits > 0 {
                    let number = std::str::from_utf8(&after[..digits]).ok();
                    let number = number.and_then(|number| number.parse().ok());
                    tokens.push(number.map_or(Token::Value, Token::Parameter));
                    rest = &after[digits..];
                } else if after.get(tag) == Some(&b'$') {
                    tokens.push(Token::Value);
                    rest = past(&after[tag + 1..], &rest[..tag + 2]);
                } else {
                    rest = after;
                }
            }
            b'e' | b'E' if after.starts_with(b"'") => {
                tokens.push(Token::Value);
                rest = quoted(&after[1..], b'\'', true).1;
            }
            b'0'..=b'9' => {
                tokens.push(Token::Value);
                rest = &after[part(|b| in_word(b) || b == b'.')..];
            }
            _ if in_word(first) => {
                let length = 1 + part(|b| in_word(b) || b == b'$');
                let word = String::from_utf8_lossy(&rest[..length]).to_ascii_lowercase();
                tokens.push(Token::Word(word));
                rest = &rest[length..];
            }
            b':' if after.starts_with(b":") => {
                tokens.push(Token::Cast);
                rest = &after[1..];
            }
            _ => {
                if !first.is_ascii_whitespace() {
                    tokens.push(Token::Sign(first));
                }
                rest = after;
            }
        }
    }
    tokens
}

fn in_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

/// What follows the next `end`.
fn past<'a>(text: &'a [u8], end: &[u8]) -> &'a [u8] {
    let at = text.windows(end.len()).position(|part| part == end);
    at.map_or(&[], |at| &text[at + end.len()..])
}

/// What is quoted, as it stands there, and what follows.
fn quoted(text: &[u8], quote: u8, escapes: bool) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(b) = text.get(at) {
        if escapes && *b == b'\\' {
            at += 1;
        } else if *b == quote {
            if text.get(at + 1) != Some(&quote) {
                return (&text[..at], &text[at + 1..]);
            }
            at += 1;
        }
        at += 1;
    }
    (text, &[])
}

/// What follows a comment, which may have others inside.
fn comment(text: &[u8]) -> &[u8] {
    let mut depth = 1;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else {
            at += 1;
        }
    }
    text.get(at..).unwrap_or_default()
}
