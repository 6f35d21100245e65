//! Paths as they are typed: what is wrong with one, in the words of ZooKeeper's shell, and how paths are put together.

use thiserror::Error;

/// What a path may not be. Positions count UTF-16 units from 0, as ZooKeeper's shell does.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathFault {
    /// No text at all.
    #[error("Path length must be > 0")]
    Empty,
    /// Not absolute.
    #[error("Path must start with / character")]
    NotAbsolute,
    /// A slash at the end.
    #[error("Path must not end with / character")]
    TrailingSlash,
    /// Something inside.
    #[error("Invalid path string \"{path}\" caused by {fault} @{at}")]
    Inside {
        /// The whole path.
        path: String,
        /// What.
        fault: InnerFault,
        /// Where.
        at: usize,
    },
}

/// What may be wrong inside a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InnerFault {
    /// U+0000.
    #[error("null character not allowed")]
    Null,
    /// Two slashes.
    #[error("empty node name specified")]
    EmptyName,
    /// `.` or `..`.
    #[error("relative paths not allowed")]
    Relative,
    /// A character that no path may have.
    #[error("invalid character")]
    Character,
}

/// Judges a path before it is sent.
pub fn check(path: &str) -> Result<(), PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if !path.starts_with('/') {
        return Err(PathFault::NotAbsolute);
    }
    if path == "/" {
        return Ok(());
    }
    if path.ends_with('/') {
        return Err(PathFault::TrailingSlash);
    }
    let units: Vec<u16> = path.encode_utf16().collect();
    let found = (1..units.len()).find_map(|at| Some((at, fault_at(&units, at)?)));
    match found {
        None => Ok(()),
        Some((at, fault)) => Err(PathFault::Inside {
            path: path.to_owned(),
            fault,
            at,
        }),
    }
}

/// The path of a child.
#[must_use]
pub fn child(parent: &str, name: &str) -> String {
    match parent {
        "/" => format!("/{name}"),
        _ => format!("{parent}/{name}"),
    }
}

/// The name of a node within its parent; the root has none.
#[must_use]
pub fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The path of `path` when `from` is called `to`; `None` when it is not at or below `from`.
#[must_use]
pub fn moved(path: &str, from: &str, to: &str) -> Option<String> {
    let below = match from {
        "/" => path,
        _ => path.strip_prefix(from)?,
    };
    match below.trim_start_matches('/') {
        "" => Some(to.to_owned()),
        rest if from == "/" || below.starts_with('/') => Some(child(to, rest)),
        _ => None,
    }
}

const SLASH: u16 = b'/' as u16;
const DOT: u16 = b'.' as u16;

fn fault_at(units: &[u16], at: usize) -> Option<InnerFault> {
    let unit = |at: usize| units.get(at).copied();
    let ends_name = unit(at + 1).is_none_or(|next| next == SLASH);
    let (before, this) = (unit(at - 1)?, unit(at)?);
    match this {
        0 => Some(InnerFault::Null),
        SLASH if before == SLASH => Some(InnerFault::EmptyName),
        DOT if ends_name && before == SLASH => Some(InnerFault::Relative),
        DOT if ends_name && before == DOT && at >= 2 && unit(at - 2) == Some(SLASH) => {
            Some(InnerFault::Relative)
        }
        0x01..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0xffff => {
            Some(InnerFault::Character)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_text(path: &str, expected: &str) {
        assert_eq!(check(path).unwrap_err().to_string(), expected);
    }

    #[test]
    fn faults_are_told_as_java_tells_them() {
        check_text("", "Path length must be > 0");
        check_text("a", "Path must start with / character");
        check_text("/a/", "Path must not end with / character");
        let inside = |path: &str, what: &str| {
            check_text(
                path,
                &format!("Invalid path string \"{path}\" caused by {what}"),
            );
        };
        inside("/a//b", "empty node name specified @3");
        inside("/a/./b", "relative paths not allowed @3");
        inside("/..", "relative paths not allowed @2");
        inside("/a\u{1}", "invalid character @2");
        inside("/a\0", "null character not allowed @2");
    }

    #[test]
    fn paths_move_with_their_subtree() {
        assert_eq!(moved("/a/b", "/a", "/x/y"), Some("/x/y/b".to_owned()));
        assert_eq!(moved("/a", "/a", "/x"), Some("/x".to_owned()));
        assert_eq!(moved("/a/b", "/", "/x"), Some("/x/a/b".to_owned()));
        assert_eq!(moved("/a/b", "/a", "/"), Some("/b".to_owned()));
        assert_eq!(moved("/ab", "/a", "/x"), None);
        assert_eq!(
            (child("/", "a"), child("/a", "b")),
            ("/a".to_owned(), "/a/b".to_owned())
        );
        assert_eq!((name("/a/b"), name("/")), ("b", ""));
    }

    proptest! {
        #[test]
        fn what_is_accepted_here_is_what_the_protocol_accepts(path in "[/.a\\x00\\x1f\\x7fé\u{e000}\u{fff0}]{0,8}") {
            prop_assert_eq!(check(&path).is_ok(), rookeeper_proto::path::validate(&path).is_ok(), "{:?}", path);
        }
    }
}
