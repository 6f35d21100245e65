//! Data of znodes as text: for terminals, for programs, and back from what was typed.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::document::Document;

/// A text in which nothing can speak to the terminal: control characters but newline and tab are written as `\xNN` or `\u{NNNN}`.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            _ if !is_spoken(c) => shown.push(c),
            _ if u32::from(c) < 0x100 => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            _ => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    shown
}

/// Bytes for a terminal: text as it is, everything else as `\xNN`.
#[must_use]
pub fn visible_bytes(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&visible(chunk.valid()));
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Data for programs: the text if the bytes are one, else base64 under a name that says so.
#[must_use]
pub fn document(bytes: Option<&[u8]>) -> (&'static str, Document) {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => ("data", Document::Null),
        Some((Ok(text), _)) => ("data", text.into()),
        Some((Err(_), bytes)) => ("dataBase64", Document::Text(to_base64(bytes))),
    }
}

/// Base64 with padding.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes of base64 with padding; `None` for anything else.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Bytes cut to `most` characters of one line, for lists.
#[must_use]
pub fn in_one_line(bytes: &[u8], most: usize) -> String {
    let text = visible_bytes(bytes)
        .replace('\n', "\\n")
        .replace('\t', "\\t");
    let cut: Cow<'_, str> = match text.char_indices().nth(most) {
        Some((at, _)) => Cow::Owned(format!("{}...", text.split_at(at).0)),
        None => Cow::Borrowed(&text),
    };
    cut.into_owned()
}

/// True for characters that a terminal obeys instead of showing, or that turn the order of what is shown.
const fn is_spoken(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_speaks_to_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\tc\nd"), "a\\x1b[2Jb\tc\nd");
        assert_eq!(visible("中文\u{202e}x\u{9b}"), "中文\\u{202e}x\\x9b");
        assert_eq!(visible_bytes(b"a\xffb\x00"), "a\\xffb\\x00");
    }

    #[test]
    fn programs_get_text_or_base64() {
        assert_eq!(document(None), ("data", Document::Null));
        assert_eq!(document(Some(b"a\nb")), ("data", "a\nb".into()));
        assert_eq!(document(Some(b"\xff")), ("dataBase64", "/w==".into()));
        assert_eq!(from_base64("b25l"), Some(b"one".to_vec()));
        assert_eq!(from_base64("%%%"), None);
    }

    #[test]
    fn long_data_are_cut() {
        assert_eq!(in_one_line(b"abc\ndef", 5), "abc\\n...");
        assert_eq!(in_one_line(b"abc", 5), "abc");
    }
}
