//! Events as the shell prints them: four lines, of which the last one says what happened.

use rookeeper_proto::code::{EventType, WatcherType};
use rookeeper_proto::ids::Zxid;

/// The zxid of events that no transaction caused.
pub const NO_ZXID: Zxid = Zxid(-1);

/// The lines for an event: `state` and `kind` by their names in ZooKeeper's client library; no path is written as `null`.
#[must_use]
pub fn event(state: &str, kind: &str, path: Option<&str>, zxid: Zxid) -> String {
    let path = path.unwrap_or("null");
    let Zxid(number) = zxid;
    format!("\nWATCHER::\n\nWatchedEvent state:{state} type:{kind} path:{path} zxid: {number}\n")
}

/// The name of a kind of event.
#[must_use]
pub const fn kind_name(kind: EventType) -> &'static str {
    match kind {
        EventType::NodeCreated => "NodeCreated",
        EventType::NodeDeleted => "NodeDeleted",
        EventType::NodeDataChanged => "NodeDataChanged",
        EventType::NodeChildrenChanged => "NodeChildrenChanged",
    }
}

/// What the removal of a watch is called.
#[must_use]
pub const fn removal_name(kind: WatcherType) -> &'static str {
    match kind {
        WatcherType::Children => "ChildWatchRemoved",
        WatcherType::Data => "DataWatchRemoved",
        WatcherType::Any | WatcherType::Persistent | WatcherType::PersistentRecursive => {
            "PersistentWatchRemoved"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_four_lines() {
        assert_eq!(
            event("SyncConnected", "None", None, NO_ZXID),
            "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null zxid: -1\n"
        );
        let kind = kind_name(EventType::NodeDataChanged);
        assert!(
            event("SyncConnected", kind, Some("/w"), Zxid(3)).ends_with(
                "WatchedEvent state:SyncConnected type:NodeDataChanged path:/w zxid: 3\n"
            )
        );
    }
}
