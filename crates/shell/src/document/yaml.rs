//! A document as YAML. Every text is in double quotes with JSON's escapes, which YAML understands, and some more: so no text is taken for something
//! else (`yes`, `1e3`, `~`).

use super::{Document, json};

/// Block style, two blanks a level.
pub(super) fn render(document: &Document) -> String {
    let mut text = String::new();
    match document {
        Document::List(_) | Document::Record(_) if !is_empty(document) => {
            block(document, 0, &mut text);
        }
        other => {
            text.push_str(&inline(other));
            text.push('\n');
        }
    }
    text
}

fn is_empty(document: &Document) -> bool {
    match document {
        Document::List(items) => items.is_empty(),
        Document::Record(parts) => parts.is_empty(),
        _ => true,
    }
}

fn inline(document: &Document) -> String {
    match document {
        Document::List(_) => "[]".to_owned(),
        Document::Record(_) => "{}".to_owned(),
        scalar => self::scalar(scalar),
    }
}

/// As in JSON, with escapes for what YAML refuses to read as it is, or takes for the end of a line.
fn scalar(document: &Document) -> String {
    let mut text = String::new();
    for c in json::scalar(document).chars() {
        match c {
            '\u{7f}'..='\u{9f}' => text.push_str(&format!("\\x{:02x}", u32::from(c))),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => text.push(c),
        }
    }
    text
}

/// The lines of a list or record; the first one begins where `text` ends.
fn block(document: &Document, level: usize, text: &mut String) {
    let indent = "  ".repeat(level);
    match document {
        Document::List(items) => {
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { &indent });
                text.push_str("- ");
                match is_empty(item) {
                    true => text.push_str(&format!("{}\n", inline(item))),
                    false => block(item, level + 1, text),
                }
            }
        }
        Document::Record(parts) => {
            for (at, (name, value)) in parts.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { &indent });
                text.push_str(name);
                match is_empty(value) {
                    true => text.push_str(&format!(": {}\n", inline(value))),
                    false => {
                        text.push_str(&format!(":\n{indent}  "));
                        block(value, level + 1, text);
                    }
                }
            }
        }
        scalar => text.push_str(&self::scalar(scalar)),
    }
}
