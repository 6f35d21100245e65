//! `setquota`, `listquota`, `delquota`: limits for subtrees. Quotas are nodes below `/zookeeper/quota`, which clients write and servers
//! read; what a limit means is the server's business.

use rookeeper_client::Client;

use crate::failure::{At, Failure};
use crate::options::Flag;

pub(super) mod delete;
pub(super) mod list;
pub(super) mod set;

/// Where quotas are.
const ROOT: &str = "/zookeeper/quota";
/// The node with the limits of a path.
const LIMITS: &str = "zookeeper_limits";
/// The node with what is used.
const STATS: &str = "zookeeper_stats";

const COUNT: Flag = Flag::valued("n", "num", "soft limit of the number of nodes");
const BYTES: Flag = Flag::valued("b", "bytes", "soft limit of the bytes of data");
const COUNT_HARD: Flag = Flag::valued("N", "num", "hard limit of the number of nodes");
const BYTES_HARD: Flag = Flag::valued("B", "bytes", "hard limit of the bytes of data");

/// Limits of a subtree, or what it uses; -1 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    count: i64,
    bytes: i64,
    count_hard: i64,
    bytes_hard: i64,
}

impl Limits {
    const NONE: Self = Self {
        count: -1,
        bytes: -1,
        count_hard: -1,
        bytes_hard: -1,
    };

    /// Reads `count=2,bytes=-1=;byteHardLimit=-1;countHardLimit=-1`, or the first two parts alone, which is what 3.4 wrote.
    fn parse(text: &str) -> Self {
        let mut limits = Self::NONE;
        for part in text.split([',', ';']) {
            let mut words = part.split('=');
            let (Some(name), Some(Ok(number))) = (words.next(), words.next().map(str::parse))
            else {
                continue;
            };
            match name.trim() {
                "count" => limits.count = number,
                "bytes" => limits.bytes = number,
                "countHardLimit" => limits.count_hard = number,
                "byteHardLimit" => limits.bytes_hard = number,
                _ => {}
            }
        }
        limits
    }

    /// The text that servers read.
    fn text(self) -> String {
        format!(
            "count={},bytes={}=;byteHardLimit={};countHardLimit={}",
            self.count, self.bytes, self.bytes_hard, self.count_hard
        )
    }

    /// Replaces the limit of an option.
    fn with(mut self, option: &str, value: i64) -> Self {
        let limit = match option {
            "n" => &mut self.count,
            "b" => &mut self.bytes,
            "N" => &mut self.count_hard,
            _ => &mut self.bytes_hard,
        };
        *limit = value;
        self
    }
}

/// The folder of the quota of a path.
fn folder(path: &str) -> String {
    match path {
        "/" => ROOT.to_owned(),
        _ => format!("{ROOT}{path}"),
    }
}

/// A node in the folder of the quota of a path.
fn node(path: &str, name: &str) -> String {
    format!("{}/{name}", folder(path))
}

/// The text of a node, if it is there.
async fn text(client: &Client, path: &str) -> Result<Option<String>, Failure> {
    match client.data(path).await {
        Ok(data) => Ok(Some(String::from_utf8_lossy(&data.bytes).into_owned())),
        Err(error) if error.is_no_node() => Ok(None),
        Err(error) => Err(error).at(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_servers_read_them() {
        let text = "count=2,bytes=-1=;byteHardLimit=7;countHardLimit=-1";
        let limits = Limits::parse(text);
        assert_eq!((limits.count, limits.bytes_hard), (2, 7));
        assert_eq!(limits.text(), text);
        assert_eq!(limits.with("N", 5).count_hard, 5);
        assert_eq!(Limits::parse("count=4,bytes=8").bytes, 8);
        assert_eq!(Limits::parse("junk"), Limits::NONE);
    }
}
