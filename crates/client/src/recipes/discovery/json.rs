//! As much of JSON as instances of services need: reading any, and quoting texts as Jackson does.
//!
//! Written by hand: a value keeps the text that it was read from, which no serializer gives back unchanged.
//!
//! Invariant: whatever comes in, reading ends without a panic, in bounded depth, with memory in proportion to the text.

use std::fmt::Write as _;

/// Values within values at most.
const MAX_DEPTH: usize = 64;

/// A value, and the text that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Element<'a> {
    pub(super) raw: &'a str,
    pub(super) value: Value<'a>,
}

/// What a value is. Numbers keep their text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(String),
    List(Vec<Element<'a>>),
    Object(Vec<(String, Element<'a>)>),
}

impl<'a> Element<'a> {
    /// A field of an object, `None` if it is not there or null. Of several with the same key, the last one counts.
    pub(super) fn field(&self, key: &str) -> Option<&Self> {
        let Value::Object(fields) = &self.value else {
            return None;
        };
        let field = fields.iter().rfind(|(name, _)| name == key);
        let element = field.map(|(_, element)| element);
        element.filter(|element| element.value != Value::Null)
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number.
    pub(super) fn whole(&self) -> Option<i64> {
        match self.value {
            Value::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// True or false.
    pub(super) const fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The elements of a list.
    pub(super) fn list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(elements) => Some(elements),
            _ => None,
        }
    }
}

/// Reads a text that is one value. The error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Element<'_>, String> {
    let mut reader = Reader { text, at: 0 };
    let element = reader.element(0)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(element),
        Some(_) => Err(reader.wanted("the end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn element(&mut self, depth: usize) -> Result<Element<'a>, String> {
        self.skip_space();
        let begin = self.at;
        let value = match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => return Err(self.wanted("less depth")),
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.list(depth + 1)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        let raw = self.text.get(begin..self.at).unwrap_or_default();
        Ok(Element { raw, value })
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, String> {
        let mut fields = Vec::new();
        self.at += 1;
        if self.takes(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            self.takes(b':')
                .then_some(())
                .ok_or_else(|| self.wanted("a colon"))?;
            fields.push((key, self.element(depth)?));
            if self.takes(b'}') {
                return Ok(Value::Object(fields));
            }
            self.takes(b',')
                .then_some(())
                .ok_or_else(|| self.wanted("a comma"))?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, String> {
        let mut elements = Vec::new();
        self.at += 1;
        if self.takes(b']') {
            return Ok(Value::List(elements));
        }
        loop {
            elements.push(self.element(depth)?);
            if self.takes(b']') {
                return Ok(Value::List(elements));
            }
            self.takes(b',')
                .then_some(())
                .ok_or_else(|| self.wanted("a comma"))?;
        }
    }

    fn number(&mut self) -> Result<Value<'a>, String> {
        let is_part = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
        let rest = self.rest();
        let (text, _) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        if text.parse::<f64>().is_err() {
            return Err(self.wanted("a number"));
        }
        self.at += text.len();
        Ok(Value::Number(text))
    }

    fn word(&mut self) -> Result<Value<'a>, String> {
        let words = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
        ];
        for (word, value) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wanted("a value"))
    }

    fn string(&mut self) -> Result<String, String> {
        let mut text = String::new();
        if self.next() != Some('"') {
            return Err(self.wanted("a text"));
        }
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(character) => text.push(character),
                None => return Err(self.wanted("the end of a text")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        Ok(match self.next() {
            Some('b') => '\u{8}',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('f') => '\u{c}',
            Some('r') => '\r',
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('u') => self.unicode()?,
            _ => return Err(self.wanted("an escape")),
        })
    }

    /// One character of one or two UTF-16 units. Half of a character is none.
    fn unicode(&mut self) -> Result<char, String> {
        let first = self.unit()?;
        let mut units = vec![first];
        let behind = self.at;
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
            self.at += 2;
            units.push(self.unit()?);
        }
        match char::decode_utf16(units.iter().copied()).next() {
            Some(Ok(character)) => Ok(character),
            _ => {
                self.at = behind;
                Ok(char::REPLACEMENT_CHARACTER)
            }
        }
    }

    fn unit(&mut self) -> Result<u16, String> {
        let digits = self.rest().get(..4).unwrap_or_default();
        let is_hex = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unit = u16::from_str_radix(digits, 16).ok().filter(|_| is_hex);
        let unit = unit.ok_or_else(|| self.wanted("four hexadecimal digits"))?;
        self.at += digits.len();
        Ok(unit)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.rest().chars().next()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// True if this comes next, behind space; then it is taken.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let comes = self.peek() == Some(byte);
        self.at += usize::from(comes);
        comes
    }

    fn wanted(&self, what: &str) -> String {
        format!("byte {}: {what} was expected", self.at)
    }
}

/// As Jackson quotes a text: no slash is escaped, hexadecimal digits are upper case, and what needs two UTF-16 units is escaped as two.
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..' ' | '\u{10000}'.. => escape(out, character),
            _ => out.push(character),
        }
    }
    out.push('"');
}

fn escape(out: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a text does not fail.
        let _ = write!(out, "\\u{unit:04X}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let text = r#" { "n" : null, "b":true ,"i":-12,"f":1.5e3,"l":[ 1 , [] ,{}], "t":"a\/\u00e4", "b":false } "#;
        let all = parse(text).unwrap();
        assert_eq!(all.raw, text.trim());
        assert!(all.field("n").is_none() && all.field("none").is_none());
        assert_eq!(all.field("b").and_then(Element::bool), Some(false));
        assert_eq!(all.field("i").and_then(Element::whole), Some(-12));
        assert_eq!(
            all.field("f").map(|f| (f.raw, f.whole())),
            Some(("1.5e3", None))
        );
        let list = all.field("l").unwrap();
        assert_eq!(list.raw, "[ 1 , [] ,{}]");
        let raw: Vec<&str> = list.list().unwrap().iter().map(|e| e.raw).collect();
        assert_eq!(raw, ["1", "[]", "{}"]);
        assert_eq!(all.field("t").and_then(Element::text), Some("a/ä"));
    }

    #[test]
    fn what_is_no_value_is_told() {
        for (text, why) in [
            ("", "byte 0: a value was expected"),
            ("nul", "byte 0: a value was expected"),
            ("{} x", "byte 3: the end was expected"),
            ("{1:2}", "byte 2: a text was expected"),
            ("{\"a\" 2}", "byte 5: a colon was expected"),
            ("[1 2]", "byte 3: a comma was expected"),
            ("[1,]", "byte 3: a value was expected"),
            ("-", "byte 0: a number was expected"),
            ("\"a", "byte 2: the end of a text was expected"),
            ("\"\\x\"", "byte 3: an escape was expected"),
            (
                "\"\\u+123\"",
                "byte 3: four hexadecimal digits was expected",
            ),
        ] {
            assert_eq!(parse(text), Err(why.to_owned()), "{text}");
        }
        let deep = "[".repeat(100_000);
        let why = format!("byte {MAX_DEPTH}: less depth was expected");
        assert_eq!(parse(&deep), Err(why));
    }

    #[test]
    fn texts_are_quoted_as_jackson_does_it() {
        let odd = "\"\\/\u{8}\t\n\u{c}\r\0\u{1f}\u{7f}ä€\u{ffff}😀";
        let mut out = String::new();
        quote(&mut out, odd);
        let wanted = "\"\\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001F\u{7f}ä€\u{ffff}\\uD83D\\uDE00\"";
        assert_eq!(out, wanted);
    }

    #[test]
    fn half_a_character_is_replaced() {
        for (text, wanted) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ud83dx""#, "\u{fffd}x"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\ude00""#, "\u{fffd}"),
        ] {
            assert_eq!(parse(text).unwrap().text(), Some(wanted));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_text_comes_back_as_it_was(text in any::<String>()) {
            let mut quoted = String::new();
            quote(&mut quoted, &text);
            let element = parse(&quoted).unwrap();
            prop_assert_eq!(element.text(), Some(text.as_str()));
        }

        #[test]
        fn garbage_is_refused_or_read_to_its_end(text in "[\\[\\]{}\",:\\\\ue0-9a-f \u{e4}😀-]{0,40}") {
            if let Ok(element) = parse(&text) {
                prop_assert_eq!(parse(element.raw), Ok(element.clone()));
            }
        }
    }
}
