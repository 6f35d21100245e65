//! Quotas: limits and usage kept as text in znodes below `/zookeeper/quota` (client protocol 4.11).
//!
//! What lives here: the texts, and the set of paths that have a quota. Who updates usage and who judges a write are
//! [`crate::apply`] and [`crate::prep`].

use std::collections::BTreeSet;

use rookeeper_proto::path;

/// Where quotas live.
pub const QUOTA_ROOT: &str = "/zookeeper/quota";
/// Name of the znode with the limits.
pub const LIMITS: &str = "zookeeper_limits";
/// Name of the znode with the usage.
pub const STATS: &str = "zookeeper_stats";

/// The znode with the usage of `prefix`.
#[must_use]
pub fn stats_path(prefix: &str) -> String {
    format!("{QUOTA_ROOT}{prefix}/{STATS}")
}

/// The znode with the limits of `prefix`.
#[must_use]
pub fn limits_path(prefix: &str) -> String {
    format!("{QUOTA_ROOT}{prefix}/{LIMITS}")
}

/// The path whose quota the znode `path` describes, when its name is `name`. The root cannot have one.
#[must_use]
pub fn subject<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (parent, last) = path::split(path)?;
    let prefix = parent.strip_prefix(QUOTA_ROOT)?;
    (last == name && prefix.starts_with('/')).then_some(prefix)
}

/// How much of a subtree there is, or may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Znodes, the top one included.
    pub count: i64,
    /// Bytes of data.
    pub bytes: i64,
}

impl Usage {
    /// The text of the usage znode.
    #[must_use]
    pub fn text(self) -> String {
        format!("count={},bytes={}", self.count, self.bytes)
    }

    /// Reads such a text.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let limits = Limits::parse(text)?;
        Some(Self {
            count: limits.soft.count,
            bytes: limits.soft.bytes,
        })
    }

    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            count: self.count.wrapping_add(other.count),
            bytes: self.bytes.wrapping_add(other.bytes),
        }
    }
}

/// Soft and hard limits; -1 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Passing these is only logged.
    pub soft: Usage,
    /// Passing these is refused.
    pub hard: Usage,
}

const NONE: Usage = Usage {
    count: -1,
    bytes: -1,
};

impl Limits {
    /// Reads a limits text: pairs `key=number` parted by runs of commas and semicolons. An empty number is -1, what follows a
    /// second equals sign is ignored. `None` where a Java server would stop: a separator in front, a pair without a number.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let mut limits = Self {
            soft: NONE,
            hard: NONE,
        };
        let text = text.trim_end_matches(SEPARATORS);
        if text.starts_with(SEPARATORS) {
            return None;
        }
        for pair in text.split(SEPARATORS).filter(|pair| !pair.is_empty()) {
            let (key, rest) = pair.trim_end_matches('=').split_once('=')?;
            let number = rest.split('=').next().filter(|number| !number.is_empty());
            let value = number.map_or(Some(-1), |number| number.parse().ok())?;
            match key {
                "count" => limits.soft.count = value,
                "bytes" => limits.soft.bytes = value,
                "countHardLimit" => limits.hard.count = value,
                "byteHardLimit" => limits.hard.bytes = value,
                _ => {}
            }
        }
        Some(limits)
    }

    /// What going from `now` by `change` means. Where there is a hard limit, the soft one of the same kind does not count.
    #[must_use]
    pub const fn judge(&self, now: Usage, change: Usage) -> Verdict {
        const fn over(limit: i64, now: i64, change: i64) -> bool {
            limit > -1 && change != 0 && now.saturating_add(change) > limit
        }
        let Self { soft, hard } = *self;
        if over(hard.count, now.count, change.count) || over(hard.bytes, now.bytes, change.bytes) {
            Verdict::Forbidden
        } else if hard.count < 0 && over(soft.count, now.count, change.count)
            || hard.bytes < 0 && over(soft.bytes, now.bytes, change.bytes)
        {
            Verdict::Noted
        } else {
            Verdict::Fine
        }
    }
}

/// What a quota says of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within all limits.
    Fine,
    /// Beyond a soft limit: allowed, and told to the operator.
    Noted,
    /// Beyond a hard limit.
    Forbidden,
}

/// What parts the pairs of a text.
const SEPARATORS: [char; 2] = [',', ';'];

/// The paths that have a quota.
#[derive(Debug, Default)]
pub(crate) struct QuotaPaths(BTreeSet<String>);

impl QuotaPaths {
    pub(crate) fn insert(&mut self, prefix: &str) {
        self.0.insert(prefix.to_owned());
    }

    pub(crate) fn remove(&mut self, prefix: &str) {
        self.0.remove(prefix);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// The deepest path with a quota at or above `path`: the only one whose usage follows a change.
    pub(crate) fn deepest<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let mut prefix = path;
        while prefix.len() > 1 {
            if self.0.contains(prefix) {
                return Some(prefix);
            }
            prefix = path::split(prefix)?.0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_odd_equals_sign_of_the_written_form_is_understood() {
        let limits = Limits::parse(b"count=-1,bytes=-1=;byteHardLimit=8;countHardLimit=2").unwrap();
        assert_eq!(
            limits,
            Limits {
                soft: NONE,
                hard: Usage { count: 2, bytes: 8 }
            }
        );
        assert_eq!(Limits::parse(b"count=x"), None);
        assert_eq!(
            Limits::parse(b""),
            Some(Limits {
                soft: NONE,
                hard: NONE
            })
        );
    }

    /// What Debian's Java server did with each text in a usage znode: it went on, or it stopped at the next create below.
    #[test]
    fn a_text_is_read_exactly_when_a_java_server_survives_it() {
        let read: [(&[u8], i64); 12] = [
            (b"count=1,bytes=1", 1),
            (b"", -1),
            (b"=5", -1),
            (b"count==5", -1),
            (b"count=+5", 5),
            (b"count=5=7", 5),
            (b",", -1),
            (b"count=2,", 2),
            (b"count=5;;bytes=6", 5),
            (b"count=-7", -7),
            (b"\xff=1", -1),
            (b"bytes=1,count=2,count=3", 3),
        ];
        for (text, count) in read {
            assert_eq!(Usage::parse(text).map(|u| u.count), Some(count), "{text:?}");
        }
        let fatal: [&[u8]; 10] = [
            b"abc",
            b"count",
            b"count=",
            b"count= 5",
            b",,count=2",
            b"count=5x",
            b"count=99999999999999999999",
            b"count=\xff",
            b"=",
            b"count=1,bytes",
        ];
        for text in fatal {
            assert_eq!(Usage::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_hard_limits_forbid() {
        let limits = Limits::parse(b"count=1,bytes=1,countHardLimit=2").unwrap();
        let now = Usage { count: 2, bytes: 9 };
        assert_eq!(
            limits.judge(now, Usage { count: 1, bytes: 0 }),
            Verdict::Forbidden
        );
        assert_eq!(
            limits.judge(
                now,
                Usage {
                    count: 0,
                    bytes: 100
                }
            ),
            Verdict::Noted
        );
    }

    #[test]
    fn the_deepest_prefix_counts() {
        let mut paths = QuotaPaths::default();
        paths.insert("/a");
        paths.insert("/a/b");
        assert_eq!(paths.deepest("/a/b/c"), Some("/a/b"));
        assert_eq!(paths.deepest("/a/bc"), Some("/a"));
        assert_eq!(paths.deepest("/ab"), None);
    }

    #[test]
    fn a_quota_znode_names_its_subject() {
        assert_eq!(
            subject("/zookeeper/quota/a/b/zookeeper_limits", LIMITS),
            Some("/a/b")
        );
        assert_eq!(subject("/zookeeper/quota/zookeeper_limits", LIMITS), None);
        assert_eq!(subject("/zookeeper/quotaX/zookeeper_limits", LIMITS), None);
        assert_eq!(subject("/zookeeper/foo/zookeeper_limits", LIMITS), None);
    }
}
