//! Custom settings (`app.tenant`) in the text of statements. Pure.
//!
//! The server lists them nowhere, so a session that sets one would lose it silently at a move. Only
//! names matter: whether a session has one set, and what it holds, the server is asked. So what is
//! found in a comment, in a text or in the body of a DO does no harm, and nothing is parsed.

/// The names that a text sets, by `SET [SESSION | LOCAL] a.b`, with or without quotes, or by
/// `set_config('a.b', …)`.
pub(super) fn named(text: &[u8]) -> Vec<String> {
    sets(text).filter_map(|rest| set_config(rest).map_or_else(|| set(rest), literal)).collect()
}

/// Whether a text sets one whose name it does not say: `set_config($1, …)`, or a name that it puts
/// together.
pub(super) fn is_asked_by_value(text: &[u8]) -> bool {
    sets(text).filter_map(set_config).any(|argument| literal(argument).is_none())
}

/// A bound value as a name.
pub(super) fn name(value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok().filter(|value| value.len() <= NAME_MAX)?;
    is_custom(value).then(|| value.to_ascii_lowercase())
}

/// Longer ones no server takes.
const NAME_MAX: usize = 127;

/// What follows each word `set`, and the rest of a word that begins so.
fn sets(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = text.windows(3).enumerate().filter(|(_, word)| word.eq_ignore_ascii_case(b"set"));
    let whole = move |at: &usize| *at == 0 || !is_word(text[at - 1]);
    starts.map(|(at, _)| at).filter(whole).map(|at| &text[at + 3..])
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The first argument of `set_config(`.
fn set_config(rest: &[u8]) -> Option<&[u8]> {
    let (word, rest) = rest.split_at_checked(7)?;
    let rest = word.eq_ignore_ascii_case(b"_config").then(|| blank(rest))?;
    rest.strip_prefix(b"(").map(blank)
}

/// A name in quotes, which may be doubled where it stands in a text.
fn literal(argument: &[u8]) -> Option<String> {
    let argument = argument.strip_prefix(b"E").unwrap_or(argument);
    let quoted = argument.strip_prefix(b"'")?.trim_start_with(b'\'');
    let end = quoted.iter().position(|byte| *byte == b'\'')?;
    name(&quoted[..end])
}

/// What `SET` names.
fn set(rest: &[u8]) -> Option<String> {
    let mut rest = Some(blank(rest)).filter(|after| after.len() < rest.len())?;
    for word in [b"session".as_slice(), b"local"] {
        let (found, after) = rest.split_at_checked(word.len()).unwrap_or((b"", rest));
        if found.eq_ignore_ascii_case(word) && blank(after).len() < after.len() {
            rest = blank(after);
        }
    }
    let mut whole = String::new();
    loop {
        let part;
        if let Some(quoted) = rest.strip_prefix(b"\"") {
            let end = quoted.iter().position(|byte| *byte == b'"')?;
            (part, rest) = (&quoted[..end], &quoted[end + 1..]);
        } else {
            let end = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
            (part, rest) = rest.split_at(end);
        }
        whole.push_str(std::str::from_utf8(part).ok()?);
        match rest.strip_prefix(b".") {
            Some(after) => (whole, rest) = (whole + ".", after),
            None => return name(whole.as_bytes()),
        }
    }
}

/// Identifiers with dots between them.
fn is_custom(name: &str) -> bool {
    let identifier = |part: &str| {
        part.starts_with(|c: char| c == '_' || c.is_alphabetic())
            && part.chars().all(|c| matches!(c, '_' | '$') || c.is_alphanumeric())
    };
    name.contains('.') && name.split('.').all(identifier)
}

/// Without the white space and comments that it begins with.
fn blank(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        let end = if text.starts_with(b"--") {
            text.iter().position(|byte| *byte == b'\n')
        } else if text.starts_with(b"/*") {
            text.windows(2).position(|pair| pair == b"*/").map(|at| at + 1)
        } else {
            return text;
        };
        text = end.map_or(&[], |end| &text[end + 1..]);
    }
}

trait TrimStart {
    fn trim_start_with(&self, byte: u8) -> &Self;
}

impl TrimStart for [u8] {
    fn trim_start_with(&self, byte: u8) -> &[u8] {
        let end = self.iter().position(|b| *b != byte).unwrap_or(self.len());
        &self[end..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        for (text, names) in [
            ("set app.tenant = 1; SET SESSION a.b to x;select 1", vec!["app.tenant", "a.b"]),
            ("begin; set local app.x to default; commit", vec!["app.x"]),
            ("/* c */ set app.commented='C'", vec!["app.commented"]),
            ("set /* c */ -- d\n app.x = 1", vec!["app.x"]),
            (r#"set "app"."quoted"='Q'"#, vec!["app.quoted"]),
            (r#"SET "app".plain = 'Q'"#, vec!["app.plain"]),
            ("select 1, set_config('app.second','S',false)", vec!["app.second"]),
            (" SELECT  set_config('App.Tenant', $1, false)", vec!["app.tenant"]),
            ("select pg_catalog.set_config( 'a.b',", vec!["a.b"]),
            ("do $$ begin perform set_config('app.indo', 'x', false); end $$", vec!["app.indo"]),
            ("execute 'select set_config(''app.deep'', ''x'', true)'", vec!["app.deep"]),
            ("select set_config(E'a.b.c', 'x', false)", vec!["a.b.c"]),
            ("set work_mem = 1; select set_config('work_mem', '1', true); update a.b", vec![]),
            ("offset 3; reset app.x; set", vec![]),
            ("set .; set a.", vec![]),
            ("select set_config", vec![]),
        ] {
            assert_eq!(named(text.as_bytes()), names, "{text}");
        }
    }

    #[test]
    fn a_name_that_comes_as_a_value_is_seen() {
        assert!(is_asked_by_value(b"select set_config($1, $2, false)"));
        assert!(is_asked_by_value(b"select set_config('app.' || x, 'y', false)"));
        assert!(!is_asked_by_value(b"select set_config('app.x', $1, false)"));
        assert_eq!(name(b"App.Tenant"), Some("app.tenant".to_owned()));
        for other in [b"T-7".as_slice(), b"app.", b"1.5", b"a..b", b"www.example.com/", &[0xff]] {
            assert_eq!(name(other), None, "{other:?}");
        }
    }
}
