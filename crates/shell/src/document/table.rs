//! A document for the eye: a list of records in columns, one record as names and values, a list of texts as lines.

use super::Document;
use crate::data_text;

/// Between two columns.
const GAP: &str = "  ";

/// The lines of the table. Control characters are made visible: a table is for terminals.
pub(super) fn render(document: &Document) -> String {
    match document {
        Document::List(items) => rows(items),
        Document::Record(parts) => {
            let lines = parts
                .iter()
                .map(|(name, value)| vec![(*name).to_owned(), cell(value)]);
            aligned(&lines.collect::<Vec<_>>(), &[false, false])
        }
        scalar => format!("{}\n", cell(scalar)),
    }
}

fn rows(items: &[Document]) -> String {
    let Some(Document::Record(first)) = items.first() else {
        return items
            .iter()
            .map(|item| format!("{}\n", cell(item)))
            .collect();
    };
    let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
    let right: Vec<bool> = names
        .iter()
        .map(|name| is_of_numbers(items, name))
        .collect();
    let mut lines = vec![
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>(),
    ];
    for item in items {
        let Document::Record(parts) = item else {
            continue;
        };
        let value = |name: &&str| parts.iter().find(|(known, _)| known == name);
        let cells = names
            .iter()
            .map(|name| value(name).map_or_else(String::new, |(_, v)| cell(v)));
        lines.push(cells.collect());
    }
    aligned(&lines, &right)
}

/// Whether a column has numbers, and nothing else but gaps.
fn is_of_numbers(items: &[Document], name: &str) -> bool {
    let records = items.iter().filter_map(|item| match item {
        Document::Record(parts) => Some(parts),
        _ => None,
    });
    let values: Vec<_> = records
        .filter_map(|parts| parts.iter().find(|(known, _)| *known == name))
        .map(|(_, value)| value)
        .collect();
    let is_number = |value: &&Document| matches!(value, Document::Number(_));
    let is_gap = |value: &&Document| matches!(value, Document::Null);
    values.iter().any(is_number) && values.iter().all(|value| is_number(value) || is_gap(value))
}

fn cell(document: &Document) -> String {
    match document {
        Document::Null => "-".to_owned(),
        Document::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Document::Number(number) => number.to_string(),
        Document::Text(text) => data_text::visible(text),
        Document::List(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Document::Record(parts) => {
            let part = |(name, value): &(&str, Document)| format!("{name}={}", cell(value));
            parts.iter().map(part).collect::<Vec<_>>().join(" ")
        }
    }
}

fn aligned(lines: &[Vec<String>], right: &[bool]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..right.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).zip(right);
        let cells = cells.map(|((cell, width), right)| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
        text.push('\n');
    }
    text
}
