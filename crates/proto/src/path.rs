//! The shape of a znode path.
//!
//! Only the full check lives here; which operation checks what, and when, is the business of `tree::prep` (client protocol
//! 4.1 and 4.2).

/// Why a text is not a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No text at all.
    #[error("the path is empty")]
    Empty,
    /// The first character is not a slash.
    #[error("the path does not start with /")]
    NotAbsolute,
    /// The last character is a slash.
    #[error("the path ends with /")]
    TrailingSlash,
    /// Two slashes in a row.
    #[error("the path has an empty component")]
    EmptyComponent,
    /// A component `.` or `..`.
    #[error("the path has a relative component")]
    RelativeComponent,
    /// A control character, a private one, or one that Java writes as a surrogate.
    #[error("the path holds the invalid character U+{0:04X}")]
    InvalidCharacter(u32),
}

/// The root of the tree.
pub const ROOT: &str = "/";

/// The full check of a path (client protocol 4.1).
pub fn validate(path: &str) -> Result<(), PathError> {
    if path == ROOT || is_plain(path.as_bytes()) {
        return Ok(());
    }
    let Some(inner) = path.strip_prefix('/') else {
        return Err(if path.is_empty() {
            PathError::Empty
        } else {
            PathError::NotAbsolute
        });
    };
    if inner.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    inner.split('/').try_for_each(validate_component)
}

/// True for nearly every valid path, in one pass: printable ASCII, and no slash that a slash, a dot or the end follows.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for byte in path {
        let allowed = match byte {
            b'/' | b'.' => before != b'/',
            0x20..0x7f => before != 0,
            _ => false,
        };
        if !allowed {
            return false;
        }
        before = *byte;
    }
    path.first() == Some(&b'/') && before != b'/'
}

fn validate_component(name: &str) -> Result<(), PathError> {
    match name {
        "" => return Err(PathError::EmptyComponent),
        "." | ".." => return Err(PathError::RelativeComponent),
        _ => {}
    }
    if name.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Ok(());
    }
    match name.chars().find(|c| is_invalid(*c)) {
        Some(c) => Err(PathError::InvalidCharacter(u32::from(c))),
        None => Ok(()),
    }
}

const fn is_invalid(c: char) -> bool {
    // U+D800..F8FF in UTF-16 units: surrogates (so everything above U+FFFF) and the private area.
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}' | '\u{1_0000}'..)
}

/// The parent of a path and the name below it, cut at the last slash; `None` when there is no slash.
///
/// The parent of `/x` is `/`. The root gives (`/`, empty name).
#[must_use]
pub fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    Some((if parent.is_empty() { ROOT } else { parent }, name))
}

/// True when `path` is `prefix` or lies below it.
#[must_use]
pub fn is_at_or_below(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix == ROOT,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Result<(), PathError>) {
        assert_eq!(validate(path), expected, "{path:?}");
    }

    #[test]
    fn paths_are_judged_as_java_judges_them() {
        for good in [
            "/",
            "/a",
            "/a/b",
            "/...",
            "/.b",
            "/a.",
            "/\u{a0}",
            "/\u{f900}",
            "/\u{ffef}",
        ] {
            check(good, Ok(()));
        }
        check("", Err(PathError::Empty));
        check("a", Err(PathError::NotAbsolute));
        check("/a/", Err(PathError::TrailingSlash));
        check("//", Err(PathError::TrailingSlash));
        check("/a//b", Err(PathError::EmptyComponent));
        check("/a/./b", Err(PathError::RelativeComponent));
        check("/..", Err(PathError::RelativeComponent));
        for bad in [
            '\0',
            '\u{1f}',
            '\u{7f}',
            '\u{9f}',
            '\u{e000}',
            '\u{f8ff}',
            '\u{fff0}',
            '\u{1F600}',
        ] {
            check(
                &format!("/a{bad}"),
                Err(PathError::InvalidCharacter(u32::from(bad))),
            );
        }
    }

    proptest! {
        #[test]
        fn the_quick_pass_accepts_nothing_that_the_full_check_refuses(path in "[/.a ~\\x1f\\x7fé]{0,8}") {
            let slow = path.strip_prefix('/').is_some_and(|inner| {
                !inner.is_empty() && inner.split('/').all(|name| validate_component(name).is_ok())
            });
            prop_assert!(!is_plain(path.as_bytes()) || slow, "{path:?}");
        }
    }

    #[test]
    fn split_gives_parent_and_name() {
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/"), Some(("/", "")));
        assert_eq!(split("/a/"), Some(("/a", "")));
        assert_eq!(split("a"), None);
    }

    #[test]
    fn a_prefix_ends_at_a_component() {
        assert!(
            is_at_or_below("/a/b", "/a") && is_at_or_below("/a", "/a") && is_at_or_below("/a", "/")
        );
        assert!(!is_at_or_below("/ab", "/a"));
    }
}
