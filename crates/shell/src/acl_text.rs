//! Access control lists as people write and read them.

use rookeeper_proto::acl::{Acl, perms};
use thiserror::Error;

/// Letters of permissions, in the order in which they are shown.
const LETTERS: [(char, i32); 5] = [
    ('c', perms::CREATE),
    ('d', perms::DELETE),
    ('r', perms::READ),
    ('w', perms::WRITE),
    ('a', perms::ADMIN),
];

/// What is wrong with a part of a written list. The rest of the list counts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AclFault {
    /// Not two colons: the entry is dropped.
    #[error("{0} does not have the form scheme:id:perm")]
    Form(String),
    /// Not one of `cdrwa`: the letter is passed over.
    #[error("Unknown perm type: {0}")]
    Letter(char),
}

/// Reads `scheme:id:perms,...`. The id may hold colons: the first and the last one count.
#[must_use]
pub fn parse(text: &str) -> (Vec<Acl>, Vec<AclFault>) {
    let mut faults = Vec::new();
    // Java drops empty parts behind the last comma, and an empty text is one empty part.
    let parts = match text.trim_end_matches(',') {
        "" if !text.is_empty() => "",
        parts => parts,
    };
    let parts = parts
        .split(',')
        .filter(|_| text.is_empty() || !parts.is_empty());
    let acl = parts.filter_map(|part| entry(part, &mut faults)).collect();
    (acl, faults)
}

/// Reads one entry, which may hold commas; `None` if anything is wrong with it.
#[must_use]
pub fn parse_entry(text: &str) -> Option<Acl> {
    let mut faults = Vec::new();
    let entry = entry(text, &mut faults);
    entry.filter(|_| faults.is_empty())
}

/// An entry as it is written.
#[must_use]
pub fn entry_text(entry: &Acl) -> String {
    format!(
        "{}:{}:{}",
        entry.who.scheme,
        entry.who.id,
        letters(entry.perms)
    )
}

/// A list as the shell shows it: two lines for each entry.
#[must_use]
pub fn block(acl: &[Acl]) -> String {
    let lines = |entry: &Acl| {
        format!(
            "'{},'{}\n: {}\n",
            entry.who.scheme,
            entry.who.id,
            letters(entry.perms)
        )
    };
    acl.iter().map(lines).collect()
}

/// Permissions as letters, in the order `cdrwa`.
#[must_use]
pub fn letters(bits: i32) -> String {
    let given = LETTERS.iter().filter(|(_, bit)| bits & bit != 0);
    given.map(|(letter, _)| *letter).collect()
}

fn entry(part: &str, faults: &mut Vec<AclFault>) -> Option<Acl> {
    let cut = part
        .split_once(':')
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once(':')?)));
    let Some((scheme, (id, letters))) = cut else {
        faults.push(AclFault::Form(part.to_owned()));
        return None;
    };
    let mut bits = 0;
    for letter in letters.chars() {
        match LETTERS.iter().find(|(known, _)| *known == letter) {
            Some((_, bit)) => bits |= bit,
            None => faults.push(AclFault::Letter(letter)),
        }
    }
    Some(Acl::new(bits, scheme, id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, entries: &[&str], faults: &[&str]) {
        let (acl, found) = parse(text);
        let acl: Vec<_> = acl.iter().map(entry_text).collect();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!((acl, found), (own(entries), own(faults)), "{text}");
    }

    fn own(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn lists_are_read() {
        check("world:anyone:r", &["world:anyone:r"], &[]);
        check(
            "world:anyone:rwca,ip:10.0.0.0/8:r",
            &["world:anyone:crwa", "ip:10.0.0.0/8:r"],
            &[],
        );
        check("auth::cdrwa", &["auth::cdrwa"], &[]);
        check("digest:u:HASH=:rw", &["digest:u:HASH=:rw"], &[]);
        check("ip:2001:db8::1:r", &["ip:2001:db8::1:r"], &[]);
    }

    #[test]
    fn what_is_wrong_is_dropped_and_named() {
        check(
            "bogus",
            &[],
            &["bogus does not have the form scheme:id:perm"],
        );
        check(
            "world:anyone:r,foo",
            &["world:anyone:r"],
            &["foo does not have the form scheme:id:perm"],
        );
        check(
            "world:anyone:q",
            &["world:anyone:"],
            &["Unknown perm type: q"],
        );
        check(
            "world:anyone:zr",
            &["world:anyone:r"],
            &["Unknown perm type: z"],
        );
        check("", &[], &[" does not have the form scheme:id:perm"]);
        check(",", &[], &[]);
    }

    #[test]
    fn a_list_is_shown_in_two_lines_an_entry() {
        let (acl, _) = parse("world:anyone:r,ip:127.0.0.1:arwdc");
        assert_eq!(
            block(&acl),
            "'world,'anyone\n: r\n'ip,'127.0.0.1\n: cdrwa\n"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bits in 0..32i32, id in "[a-z:/.=]{0,8}") {
            let entry = Acl::new(bits, "digest", id);
            prop_assert_eq!(parse(&entry_text(&entry)), (vec![entry], vec![]));
        }
    }
}
