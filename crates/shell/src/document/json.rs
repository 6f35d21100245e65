//! A document as JSON.

use super::Document;

/// Indented, two blanks a level.
pub(super) fn render(document: &Document) -> String {
    let mut text = String::new();
    write(document, 0, &mut text);
    text.push('\n');
    text
}

/// In one line.
pub(super) fn line(document: &Document) -> String {
    match document {
        Document::List(items) => {
            let items: Vec<_> = items.iter().map(line).collect();
            format!("[{}]", items.join(","))
        }
        Document::Record(parts) => {
            let part =
                |(name, value): &(&str, Document)| format!("{}:{}", quoted(name), line(value));
            let parts: Vec<_> = parts.iter().map(part).collect();
            format!("{{{}}}", parts.join(","))
        }
        scalar => self::scalar(scalar),
    }
}

/// A text in quotes, with everything escaped that JSON demands.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What is neither list nor record.
pub(super) fn scalar(document: &Document) -> String {
    match document {
        Document::Flag(flag) => flag.to_string(),
        Document::Number(number) => number.to_string(),
        Document::Text(text) => quoted(text),
        Document::Null | Document::List(_) | Document::Record(_) => "null".to_owned(),
    }
}

fn write(document: &Document, level: usize, text: &mut String) {
    let (open, close, parts): (_, _, Vec<_>) = match document {
        Document::List(items) if items.is_empty() => return text.push_str("[]"),
        Document::Record(parts) if parts.is_empty() => return text.push_str("{}"),
        Document::List(items) => ('[', ']', items.iter().map(|item| (None, item)).collect()),
        Document::Record(parts) => {
            let parts = parts.iter().map(|(name, value)| (Some(*name), value));
            ('{', '}', parts.collect())
        }
        scalar => return text.push_str(&self::scalar(scalar)),
    };
    text.push(open);
    for (at, (name, value)) in parts.into_iter().enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(level + 1));
        if let Some(name) = name {
            text.push_str(&quoted(name));
            text.push_str(": ");
        }
        write(value, level + 1, text);
    }
    text.push('\n');
    text.push_str(&"  ".repeat(level));
    text.push(close);
}
