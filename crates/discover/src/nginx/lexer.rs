//! nginx's syntax: words, quotes, `;`, blocks, comments; Lua blocks are skipped as nginx does.

/// Deepest nesting.
const DEPTH_MAX: usize = 32;

/// A directive, where it stands, and its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
    pub(super) file: String,
    pub(super) line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    End,
    Open,
    Close,
}

/// The directives of a text, and the first fault: those before it are still good.
pub(super) fn parse(text: &str, file: &str) -> (Vec<Directive>, Option<(usize, String)>) {
    let mut parser = Parser { lexer: Lexer { rest: text, line: 1 }, file, fault: None };
    let directives = parser.block(0);
    (directives, parser.fault)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    file: &'a str,
    fault: Option<(usize, String)>,
}

impl Parser<'_> {
    fn fail(&mut self, why: impl Into<String>) {
        if self.fault.is_none() {
            self.fault = Some((self.lexer.line, why.into()));
        }
    }

    /// Directives until the block's end; at depth 0, until the text's.
    fn block(&mut self, depth: usize) -> Vec<Directive> {
        let mut directives = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut line = 0;
        while self.fault.is_none() {
            let token = match self.lexer.next() {
                Ok(Some((token, at))) => {
                    if words.is_empty() {
                        line = at;
                    }
                    token
                }
                Ok(None) if depth > 0 => {
                    self.fail("a block without its `}`");
                    break;
                }
                Ok(None) if !words.is_empty() => {
                    self.fail(format!("no `;` after `{}`", words[0]));
                    break;
                }
                Ok(None) => break,
                Err(why) => {
                    self.fail(why);
                    break;
                }
            };
            match token {
                Token::Word(word) => words.push(word),
                Token::Close if depth == 0 => self.fail("a `}` too many"),
                Token::Close if !words.is_empty() => {
                    self.fail(format!("no `;` after `{}`", words[0]))
                }
                Token::Close => break,
                Token::End | Token::Open if words.is_empty() => {
                    self.fail("a directive without a name")
                }
                Token::End => directives.push(self.directive(&mut words, line, None)),
                Token::Open if words[0].ends_with("_by_lua_block") => {
                    if let Err(why) = self.lexer.skip_braces() {
                        self.fail(why);
                    }
                    words.clear();
                }
                Token::Open if depth >= DEPTH_MAX => {
                    self.fail(format!("more than {DEPTH_MAX} blocks inside each other"));
                }
                Token::Open => {
                    let mut opened = std::mem::take(&mut words);
                    let block = self.block(depth + 1);
                    directives.push(self.directive(&mut opened, line, Some(block)));
                }
            }
        }
        directives
    }

    fn directive(
        &self,
        words: &mut Vec<String>,
        line: usize,
        block: Option<Vec<Directive>>,
    ) -> Directive {
        let mut words = std::mem::take(words).into_iter();
        Directive {
            name: words.next().unwrap_or_default(),
            arguments: words.collect(),
            block,
            file: self.file.to_owned(),
            line,
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl Lexer<'_> {
    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn next(&mut self) -> Result<Option<(Token, usize)>, String> {
        loop {
            let at = self.line;
            let Some(c) = self.bump() else { return Ok(None) };
            match c {
                c if c.is_whitespace() || c == '\u{feff}' => {}
                '#' => while !matches!(self.bump(), None | Some('\n')) {},
                ';' => return Ok(Some((Token::End, at))),
                '{' => return Ok(Some((Token::Open, at))),
                '}' => return Ok(Some((Token::Close, at))),
                '"' | '\'' => return Ok(Some((Token::Word(self.quoted(c)?), at))),
                c => return Ok(Some((Token::Word(self.word(c)), at))),
            }
        }
    }

    /// Until the same quote; a backslash protects the quote and itself.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut word = String::new();
        loop {
            match self.bump() {
                None => return Err("a quote without its end".to_owned()),
                Some('\\') => match self.bump() {
                    Some(c) if c == quote || c == '\\' => word.push(c),
                    Some(c) => word.extend(['\\', c]),
                    None => return Err("a quote without its end".to_owned()),
                },
                Some(c) if c == quote => return Ok(word),
                Some(c) => word.push(c),
            }
        }
    }

    /// Until a space, `;` or `{`. `${name}` and what a backslash protects belong to the word; a
    /// `}` ends nothing inside a word, as in regular expressions such as `\d{2}`… which nginx
    /// itself wants quoted.
    fn word(&mut self, first: char) -> String {
        let mut word = String::new();
        let mut c = first;
        loop {
            word.push(c);
            if c == '\\'
                && let Some(next) = self.bump()
            {
                word.push(next);
            }
            if c == '$' && self.rest.starts_with('{') {
                while let Some(inner) = self.bump() {
                    word.push(inner);
                    if inner == '}' {
                        break;
                    }
                }
            }
            match self.rest.chars().next() {
                Some(next) if !(next.is_whitespace() || matches!(next, ';' | '{')) => {
                    c = next;
                    self.bump();
                }
                _ => return word,
            }
        }
    }

    /// Skips a block of another language up to its `}`.
    fn skip_braces(&mut self) -> Result<(), String> {
        let mut depth = 1;
        while depth > 0 {
            match self.bump() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(quote @ ('"' | '\'')) => {
                    self.quoted(quote)?;
                }
                Some('-') if self.rest.starts_with('-') => {
                    while !matches!(self.bump(), None | Some('\n')) {}
                }
                Some(_) => {}
                None => return Err("a block without its `}`".to_owned()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
