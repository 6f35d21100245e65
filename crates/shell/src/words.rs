//! A line becomes words, as ZooKeeper's shell cuts it.
//!
//! A word ends at a blank. A word that begins with a quote runs to the next quote of the same kind and loses both; there are no
//! escapes. A quote inside a word is a character like any other. An opening quote without a partner is dropped.

/// The words of a line, in order.
#[must_use]
pub fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start_matches(is_blank);
    while let Some(first) = rest.chars().next() {
        let (word, behind) = match first {
            '"' | '\'' => quoted(rest, first),
            _ => plain(rest),
        };
        words.extend(word.map(str::to_owned));
        rest = behind.trim_start_matches(is_blank);
    }
    words
}

/// A line up to the cursor: what is before its last word, the quote that the word began with and that is open yet, and the word.
#[must_use]
pub fn last(line: &str) -> (&str, Option<char>, &str) {
    let mut at = 0;
    loop {
        let rest = line.get(at..).unwrap_or_default();
        let word = rest.trim_start_matches(is_blank);
        let begin = at + rest.len() - word.len();
        let (before, _) = line.split_at_checked(begin).unwrap_or((line, ""));
        let behind = match word.chars().next() {
            None => return (line, None, ""),
            Some(quote @ ('"' | '\'')) => match quoted(word, quote) {
                (None, inner) => return (before, Some(quote), inner),
                (Some(_), behind) => behind,
            },
            Some(_) => match plain(word) {
                (_, "") => return (before, None, word),
                (_, behind) => behind,
            },
        };
        at = line.len() - behind.len();
    }
}

/// True for what parts words.
#[must_use]
pub const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

fn plain(text: &str) -> (Option<&str>, &str) {
    let end = text.find(is_blank).unwrap_or(text.len());
    let (word, behind) = text.split_at(end);
    (Some(word), behind)
}

/// The word in quotes at the beginning of `text`, or no word and what is behind a quote without partner.
fn quoted(text: &str, quote: char) -> (Option<&str>, &str) {
    let inner = text.strip_prefix(quote).unwrap_or(text);
    match inner.split_once(quote) {
        Some((word, behind)) => (Some(word), behind),
        None => (None, inner),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(line: &str, words: &[&str]) {
        assert_eq!(split(line), words, "{line:?}");
    }

    #[test]
    fn a_line_is_cut_at_blanks() {
        check("  ls   /m1  ", &["ls", "/m1"]);
        check("get\t/a", &["get", "/a"]);
        check("", &[]);
        check("   ", &[]);
    }

    #[test]
    fn quotes_hold_a_word_together_and_go() {
        check(r#"create /m1/s "x y  z""#, &["create", "/m1/s", "x y  z"]);
        check(
            "create /m2 'single quoted'",
            &["create", "/m2", "single quoted"],
        );
        check(r#"create /m3 "it's""#, &["create", "/m3", "it's"]);
        check(
            r#"create "/m 7" "space path""#,
            &["create", "/m 7", "space path"],
        );
        check(r#"create /x """#, &["create", "/x", ""]);
    }

    #[test]
    fn a_quote_inside_a_word_is_a_character() {
        check(r#"create /m4 a"b"#, &["create", "/m4", "a\"b"]);
        check(r#"x a"b c"d"#, &["x", "a\"b", "c\"d"]);
    }

    #[test]
    fn an_opening_quote_without_partner_is_dropped() {
        check(
            r#"create /m5 "unterminated"#,
            &["create", "/m5", "unterminated"],
        );
        check("x 'a b", &["x", "a", "b"]);
        check("\"", &[]);
    }

    #[test]
    fn the_last_word_is_the_one_that_is_being_typed() {
        for (line, parts) in [
            ("", ("", None, "")),
            ("ls ", ("ls ", None, "")),
            ("ls /a", ("ls ", None, "/a")),
            ("ls \"/a b", ("ls ", Some('"'), "/a b")),
            ("ls \"/a b\" '", ("ls \"/a b\" ", Some('\''), "")),
            ("ls \"/a b\"", ("ls \"/a b\"", None, "")),
        ] {
            assert_eq!(last(line), parts, "{line:?}");
        }
    }

    #[test]
    fn words_may_touch_a_closing_quote() {
        check(r#""ab"cd"#, &["ab", "cd"]);
        check(r#""a""b""#, &["a", "b"]);
    }

    proptest! {
        #[test]
        fn words_without_blanks_and_quotes_survive(words in prop::collection::vec("[a-z/=:,é-]{1,6}", 0..6)) {
            prop_assert_eq!(split(&words.join("  ")), words);
        }

        #[test]
        fn any_line_gives_words(line in "[ \"'a\\t]{0,12}") {
            for word in split(&line) {
                prop_assert!(line.contains(&word));
            }
        }
    }
}
