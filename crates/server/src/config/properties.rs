//! The syntax of `zoo.cfg` and of membership files: Java properties.
//!
//! Here lives text to `key`, `value`, `line`; what a key means is decided elsewhere. Invariants: every pair
//! carries the number of the physical line on which it starts, and pairs keep the order of the file, repeated
//! keys included (who reads them lets the last one win).

use thiserror::Error;

/// One pair of a properties text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// Key with its escapes resolved.
    pub(super) key: String,
    /// Value with its escapes resolved and the blanks around it dropped.
    pub(super) value: String,
    /// Line of the file on which the pair starts, counted from 1.
    pub(super) line: usize,
}

/// A `\u` that is not followed by four hexadecimal digits; the only thing this syntax can refuse.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: malformed \\uXXXX escape, four hexadecimal digits must follow \\u")]
pub(super) struct MalformedEscape {
    /// Line of the file on which the pair starts, counted from 1.
    pub(super) line: usize,
}

/// Reads a whole text. Bytes are ISO-8859-1: each byte is the character of the same number.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Pair>, MalformedEscape> {
    let text: String = bytes.iter().copied().map(char::from).collect();
    logical_lines(&text)
        .into_iter()
        .map(|(line, text)| pair(line, &text))
        .collect()
}

/// Joins continued lines and drops blank lines and comments.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, physical) in physical_lines(text) {
        let body = physical.trim_start_matches(is_blank);
        if open.is_none() && (body.is_empty() || body.starts_with(['#', '!'])) {
            continue;
        }
        let (start, mut joined) = open.take().unwrap_or_else(|| (number, String::new()));
        if ends_in_continuation(body) {
            joined.push_str(body.strip_suffix('\\').unwrap_or(body));
            open = Some((start, joined));
        } else {
            joined.push_str(body);
            lines.push((start, joined));
        }
    }
    lines.extend(open);
    lines
}

/// Numbers the lines from 1; LF, CR LF and a lone CR all end one.
fn physical_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some(text);
    let mut number = 0;
    std::iter::from_fn(move || {
        let current = rest?;
        number += 1;
        match current.split_once(['\n', '\r']) {
            None => rest = None,
            Some((line, after)) => {
                let carriage_return = current.as_bytes().get(line.len()) == Some(&b'\r');
                let after = if carriage_return {
                    after.strip_prefix('\n').unwrap_or(after)
                } else {
                    after
                };
                rest = Some(after);
                return Some((number, line));
            }
        }
        Some((number, current))
    })
}

/// An odd number of backslashes at the end: the last one is not itself escaped.
fn ends_in_continuation(line: &str) -> bool {
    line.chars().rev().take_while(|&c| c == '\\').count() % 2 == 1
}

fn pair(line: usize, text: &str) -> Result<Pair, MalformedEscape> {
    let end = key_end(text);
    let (key, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    let value = unescape(rest.trim_start_matches(is_blank), line)?;
    Ok(Pair {
        key: unescape(key, line)?,
        value: value.trim().to_owned(),
        line,
    })
}

/// Offset of the first unescaped `=`, `:` or blank.
fn key_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && (c == '=' || c == ':' || is_blank(c)) {
            return at;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

fn unescape(text: &str, line: usize) -> Result<String, MalformedEscape> {
    // Java strings are UTF-16, so an astral character is written as two escapes: collect units, then decode.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut buffer = [0; 2];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next() {
                None => break,
                Some('u') => {
                    units.push(unicode_unit(&mut chars).ok_or(MalformedEscape { line })?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut buffer));
    }
    Ok(String::from_utf16_lossy(&units))
}

fn unicode_unit(chars: &mut std::str::Chars<'_>) -> Option<u16> {
    (0..4).try_fold(0u16, |unit, _| {
        let digit = chars.next()?.to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: &[(&str, &str, usize)]) {
        let pairs = parse(text).expect("well-formed text");
        let found: Vec<_> = pairs
            .iter()
            .map(|p| (p.key.as_str(), p.value.as_str(), p.line))
            .collect();
        assert_eq!(found, expected, "text {:?}", String::from_utf8_lossy(text));
    }

    #[test]
    fn separators_and_blanks() {
        check(
            b"a=1\nb = 2 \nc:3\nd 4\n  e\t=\t5\t\nf\n",
            &[
                ("a", "1", 1),
                ("b", "2", 2),
                ("c", "3", 3),
                ("d", "4", 4),
                ("e", "5", 5),
                ("f", "", 6),
            ],
        );
        check(b"a==x", &[("a", "=x", 1)]);
        check(
            b"server.1=h:2888:3888;2181",
            &[("server.1", "h:2888:3888;2181", 1)],
        );
    }

    #[test]
    fn comments_and_line_ends() {
        check(
            b"#a=1\r\n  ! b=2\r\n\r\nc=3\r\nd=4",
            &[("c", "3", 4), ("d", "4", 5)],
        );
        check(
            b"a=1\rb=2\n\rc=3",
            &[("a", "1", 1), ("b", "2", 2), ("c", "3", 4)],
        );
    }

    #[test]
    fn there_are_no_trailing_comments() {
        check(
            b"tickTime=2000 # two seconds",
            &[("tickTime", "2000 # two seconds", 1)],
        );
    }

    #[test]
    fn a_backslash_continues_a_line_and_the_first_line_counts() {
        check(
            b"a=1,\\\n   2,\\\r\n\t3\nb=4",
            &[("a", "1,2,3", 1), ("b", "4", 4)],
        );
        check(b"a=C:\\\\x\\\\\nb=4", &[("a", "C:\\x\\", 1), ("b", "4", 2)]);
        check(b"#comment\\\na=1", &[("a", "1", 2)]);
        check(b"a=1\\", &[("a", "1", 1)]);
        check(b"a=1\\\n#2", &[("a", "1#2", 1)]);
    }

    #[test]
    fn escapes() {
        check(
            b"a\\ b\\=c\\:=\\t|\\n|\\#\\!\\q",
            &[("a b=c:", "|\n|#!q", 1)],
        );
        check(
            b"a=\\u0041\\u00e9\\uD83D\\uDE00",
            &[("a", "A\u{e9}\u{1f600}", 1)],
        );
        check(b"a=\xe9", &[("a", "\u{e9}", 1)]);
    }

    #[test]
    fn a_short_unicode_escape_is_refused_with_its_line() {
        assert_eq!(parse(b"a=1\nb=\\u12"), Err(MalformedEscape { line: 2 }));
        assert_eq!(parse(b"b=\\u12xz"), Err(MalformedEscape { line: 1 }));
    }

    #[test]
    fn a_repeated_key_keeps_both_places() {
        check(b"a=1\na=2", &[("a", "1", 1), ("a", "2", 2)]);
    }

    #[test]
    fn nothing_in_nothing_out() {
        check(b"", &[]);
        check(b"\n\n  \n", &[]);
    }
}
