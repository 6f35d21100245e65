//! The syntax of Java's properties, in which a configuration is written: keys and values, no meaning.
//!
//! What lives here: comments, separators, escapes, continued lines. What does not: which keys there are.
//!
//! Invariant: any text gives pairs; there is no text that is wrong.

/// The keys and values of a text, in its order.
#[must_use]
pub fn parse(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = text.split(['\n', '\r']);
    while let Some(line) = lines.next() {
        let line = line.trim_start_matches(is_blank);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        while is_continued(&whole) {
            whole.pop();
            let Some(more) = lines.next() else { break };
            whole.push_str(more.trim_start_matches(is_blank));
        }
        found.push(pair(&whole));
    }
    found
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// True when the line ends with an odd number of backslashes.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn pair(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (is_blank(c) || c == '=' || c == ':');
        escaped = !escaped && c == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    let value = rest.trim_start_matches(is_blank);
    (unescaped(key), unescaped(value))
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => out.extend(code_point(&mut chars)),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// The character of four hexadecimal digits; what is no character is left out.
fn code_point(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let digits: String = chars.by_ref().take(4).collect();
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text)
    }

    #[test]
    fn separators_comments_escapes_and_continued_lines() {
        let text = "# c\n! c\n  a=1\nb : 2\nc 3\nd\\:e=\\u0041\\\\\nf=x\\\n   y\n\nlast";
        let expected = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d:e", "A\\"),
            ("f", "xy"),
            ("last", ""),
        ];
        let expected: Vec<_> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn an_even_number_of_backslashes_ends_a_line() {
        assert_eq!(pairs("a=b\\\\\nc=d").len(), 2);
        assert_eq!(pairs("a=b\\"), [("a".to_owned(), "b".to_owned())]);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
