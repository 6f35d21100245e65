//! What the names of items mean: who comes first, and who has to wait.
//!
//! What lives here: names to an order and back, for all kinds of queues. What does not: taking anything.

use std::collections::VecDeque;

/// What every item's name begins with.
pub(crate) const WORD: &str = "queue-";
/// The same for [`SimpleQueue`](super::super::simple_queue::SimpleQueue).
pub(crate) const SIMPLE_WORD: &str = "qn-";
/// What stands around the time in the name of an item that has to wait, or around an id.
const BAR: char = '|';
/// Digits that the server adds to a name.
const SEQUENCE_DIGITS: usize = 10;

/// Who comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The lowest name.
    Name,
    /// The lowest number of the server, whatever stands before it.
    Number,
    /// The item that is due first, if it is due.
    Due,
}

/// Items in the order in which they should be taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) names: VecDeque<String>,
    /// When the first of the others is due, in milliseconds since 1970.
    pub(crate) next_due: Option<u64>,
}

impl Order {
    /// What there is to take at the time `now`, in milliseconds since 1970.
    pub(crate) fn plan(self, mut names: Vec<String>, now: u64) -> Plan {
        if self != Self::Due {
            match self {
                Self::Number => names.sort_unstable_by(|a, b| number(a).cmp(number(b))),
                _ => names.sort_unstable(),
            }
            return Plan {
                names: names.into(),
                next_due: None,
            };
        }
        let mut timed: Vec<(u64, String)> = names
            .into_iter()
            .map(|name| (due(&name).unwrap_or(0), name))
            .collect();
        timed.sort_unstable();
        let later = timed.partition_point(|(due, _)| *due <= now);
        let next_due = timed.get(later).map(|(due, _)| *due);
        timed.truncate(later);
        Plan {
            names: timed.into_iter().map(|(_, name)| name).collect(),
            next_due,
        }
    }
}

/// When an item is due, in milliseconds since 1970. `None` if its name does not tell; Curator takes such an item at once.
fn due(name: &str) -> Option<u64> {
    u64::from_str_radix(id_of(name)?, 16).ok()
}

/// The name of an item that is due at this time, without its number.
pub(crate) fn due_name(due: u64) -> String {
    format!("{WORD}{BAR}{due:08X}{BAR}")
}

/// The name of an item with this priority, without its number: negative ones sort before the others.
pub(crate) fn priority_name(priority: i32) -> String {
    let sign = u8::from(priority >= 0);
    format!("{WORD}{sign}{priority:08X}")
}

/// The name of an item with this id, without its number.
pub(crate) fn id_name(id: &str) -> String {
    format!("{WORD}{BAR}{}{BAR}", id.replace(['/', BAR], "_"))
}

/// What stands between the bars of a name.
pub(crate) fn id_of(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once(BAR)?;
    rest.split_once(BAR).map(|(id, _)| id)
}

/// A name without the number that the server has added.
pub(super) fn without_number(name: &str) -> &str {
    let end = name.len().saturating_sub(SEQUENCE_DIGITS);
    name.get(..end).unwrap_or(name)
}

/// The number that the server has added to a name.
fn number(name: &str) -> &str {
    let begin = name.len().saturating_sub(SEQUENCE_DIGITS);
    name.get(begin..).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn priorities_are_the_names_that_curator_writes() {
        let golden = [
            (5, "queue-100000005"),
            (0, "queue-100000000"),
            (-3, "queue-0FFFFFFFD"),
            (i32::MAX, "queue-17FFFFFFF"),
            (i32::MIN, "queue-080000000"),
            (10, "queue-10000000A"),
            (1, "queue-100000001"),
            (-1, "queue-0FFFFFFFF"),
        ];
        for (priority, name) in golden {
            assert_eq!(priority_name(priority), name);
        }
        let mut sorted = golden.to_vec();
        sorted.sort_by_key(|(_, name)| *name);
        assert!(sorted.is_sorted_by_key(|(priority, _)| *priority));
    }

    #[test]
    fn times_are_the_names_that_curator_writes() {
        let golden = [
            (1, "queue-|00000001|"),
            (1_000_000_000_000, "queue-|E8D4A51000|"),
            (0x1F_F973_CAFA_8000, "queue-|1FF973CAFA8000|"),
        ];
        for (time, name) in golden {
            assert_eq!(due_name(time), name);
            assert_eq!(due(&format!("{name}0000000007")), Some(time));
        }
    }

    #[test]
    fn what_is_due_comes_in_the_order_of_times_and_not_of_names() {
        let late = "queue-|1FF973CAFA8000|0000000001";
        let in_2001 = "queue-|E8D4A51000|0000000000";
        let first = "queue-|00000001|0000000002";
        let timeless = "queue-0000000003";
        let plan = Order::Due.plan(names(&[late, in_2001, first, timeless]), 1_000_000_000_000);
        assert_eq!(plan.names, [timeless, first, in_2001]);
        assert_eq!(plan.next_due, Some(0x1F_F973_CAFA_8000));
        let plan = Order::Due.plan(names(&[late, in_2001]), 999_999_999_999);
        assert_eq!(
            (plan.names.len(), plan.next_due),
            (0, Some(1_000_000_000_000))
        );
    }

    #[test]
    fn ids_are_the_names_that_curator_writes() {
        let golden = [
            ("my id", "queue-|my id|"),
            ("x", "queue-|x|"),
            ("a/b|c", "queue-|a_b_c|"),
        ];
        for (id, name) in golden {
            assert_eq!(id_name(id), name);
        }
        assert_eq!(id_of("queue-|my id|0000000003"), Some("my id"));
        assert_eq!(id_of("queue-0000000003"), None);
        let put = names(&["queue-|x|0000000001", "queue-|a|0000000002"]);
        assert_eq!(Order::Number.plan(put.clone(), 0).names, put);
        assert_ne!(Order::Name.plan(put.clone(), 0).names, put);
    }

    #[test]
    fn the_number_of_the_server_can_be_taken_off() {
        assert_eq!(without_number("queue-0000000012"), "queue-");
        assert_eq!(without_number("queue-|E8|0000000012"), "queue-|E8|");
        assert_eq!(without_number("q"), "");
    }
}
