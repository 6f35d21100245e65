//! Results as values, for those who want them as JSON, YAML or a table instead of the text of ZooKeeper's shell.

mod json;
mod table;
mod yaml;

/// A result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Nothing: null data, an absent limit.
    Null,
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// Several of a kind.
    List(Vec<Self>),
    /// Named parts, in the order in which they are shown.
    Record(Vec<(&'static str, Self)>),
}

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Columns, or names and values.
    Table,
}

impl Format {
    /// The names that may be given.
    pub const NAMES: &'static str = "json|yaml|table";

    /// The format of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "yaml" => Some(Self::Yaml),
            "table" => Some(Self::Table),
            _ => None,
        }
    }
}

impl Document {
    /// Named parts.
    #[must_use]
    pub fn record<const N: usize>(parts: [(&'static str, Self); N]) -> Self {
        Self::Record(parts.into())
    }

    /// A list of texts.
    #[must_use]
    pub fn texts(texts: impl IntoIterator<Item = String>) -> Self {
        Self::List(texts.into_iter().map(Self::Text).collect())
    }

    /// The text of this document, ending with a newline.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Json => json::render(self),
            Format::Yaml => yaml::render(self),
            Format::Table => table::render(self),
        }
    }

    /// The JSON of this document in one line, without a newline.
    #[must_use]
    pub fn json_line(&self) -> String {
        json::line(self)
    }
}

impl From<&str> for Document {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Document {
        Document::record([
            ("path", "/a".into()),
            ("data", Document::Null),
            (
                "children",
                Document::texts(["x".to_owned(), "yes".to_owned()]),
            ),
            (
                "stat",
                Document::record([
                    ("version", Document::Number(3)),
                    ("odd", "a: \"b\"\n".into()),
                ]),
            ),
            ("acl", Document::List(Vec::new())),
        ])
    }

    #[test]
    fn json_is_indented() {
        let expected = r#"{
  "path": "/a",
  "data": null,
  "children": [
    "x",
    "yes"
  ],
  "stat": {
    "version": 3,
    "odd": "a: \"b\"\n"
  },
  "acl": []
}
"#;
        assert_eq!(sample().render(Format::Json), expected);
        let parsed: serde_json::Value = serde_json::from_str(&sample().json_line()).unwrap();
        assert_eq!(parsed["stat"]["version"], 3);
    }

    #[test]
    fn yaml_quotes_every_text() {
        let expected = r#"path: "/a"
data: null
children:
  - "x"
  - "yes"
stat:
  version: 3
  odd: "a: \"b\"\n"
acl: []
"#;
        assert_eq!(sample().render(Format::Yaml), expected);
        let rows = Document::List(vec![
            Document::record([("a", Document::Number(1)), ("b", Document::Flag(true))]),
            Document::record([("a", Document::Number(2)), ("b", Document::Flag(false))]),
        ]);
        assert_eq!(
            rows.render(Format::Yaml),
            "- a: 1\n  b: true\n- a: 2\n  b: false\n"
        );
    }

    #[test]
    fn yaml_has_no_character_that_a_reader_refuses_or_takes_for_the_end_of_a_line() {
        let text: Document =
            "a\u{7f}\u{80}\u{85}\u{a0}\u{2028}\u{2029}\u{feff}\u{ffff}é😀\u{1b}".into();
        assert_eq!(
            text.render(Format::Yaml),
            "\"a\\x7f\\x80\\x85\u{a0}\\u2028\\u2029\\ufeff\\uffffé😀\\u001b\"\n"
        );
    }

    #[test]
    fn tables_have_columns_or_names_and_values() {
        let rows = Document::List(vec![
            Document::record([("path", "/a".into()), ("bytes", Document::Number(5))]),
            Document::record([
                ("path", "/long\u{1b}".into()),
                ("bytes", Document::Number(12345)),
            ]),
        ]);
        assert_eq!(
            rows.render(Format::Table),
            "path       bytes\n/a             5\n/long\\x1b  12345\n"
        );
        let record = Document::record([("path", "/a".into()), ("version", Document::Number(5))]);
        assert_eq!(record.render(Format::Table), "path     /a\nversion  5\n");
        let names = Document::texts(["b".to_owned(), "a".to_owned()]);
        assert_eq!(names.render(Format::Table), "b\na\n");
    }
}
