//! What a server's refusal is called in ZooKeeper's shell.

use rookeeper_proto::code::ErrorCode;

/// The line for a refusal that concerns `path`; an empty path belongs to a request without one.
#[must_use]
pub fn refusal(code: ErrorCode, path: &str) -> String {
    use ErrorCode as E;
    match code {
        E::NoNode => format!("Node does not exist: {path}"),
        E::NodeExists => format!("Node already exists: {path}"),
        E::NotEmpty => format!("Node not empty: {path}"),
        E::NoChildrenForEphemerals => format!("Ephemerals cannot have children: {path}"),
        E::BadVersion => format!("version No is not valid : {path}"),
        E::NoAuth => format!("Insufficient permission : {path}"),
        E::InvalidAcl => format!("Acl is not valid : {path}"),
        E::BadArguments => format!("Arguments are not valid : {path}"),
        E::NotReadOnly => format!("Not a read-only call: {path}"),
        E::QuotaExceeded => format!("Quota has exceeded : {path}"),
        E::ReconfigInProgress => "Another reconfiguration is in progress -- concurrent reconfigs \
                                  not supported (yet)"
            .to_owned(),
        E::NewConfigNoQuorum => "No quorum of new config is connected and up-to-date with the \
                                 leader of last commmitted config - try invoking reconfiguration \
                                 after new servers are connected and synced"
            .to_owned(),
        E::EphemeralOnLocalSession => format!(
            "Unable to create ephemeral node on a local session\n{}",
            general(name(code), path)
        ),
        _ => general(name(code), path),
    }
}

/// The text of errors that have none of their own; `name` as in [`name`] or [`CONNECTION_LOSS`].
#[must_use]
pub fn general(name: &str, path: &str) -> String {
    match path {
        "" => format!("KeeperErrorCode = {name}"),
        _ => format!("KeeperErrorCode = {name} for {path}"),
    }
}

/// The name of a lost or never opened connection.
pub const CONNECTION_LOSS: &str = "ConnectionLoss";
/// The name of an answer that did not come in time.
pub const OPERATION_TIMEOUT: &str = "OperationTimeout";

/// The name of a code, as ZooKeeper's client library has it.
#[must_use]
pub const fn name(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match code {
        E::Ok => "ok",
        E::SystemError => "SystemError",
        E::RuntimeInconsistency => "RuntimeInconsistency",
        E::MarshallingError => "MarshallingError",
        E::Unimplemented => "Unimplemented",
        E::BadArguments => "BadArguments",
        E::UnknownSession => "UnknownSession",
        E::NewConfigNoQuorum => "NewConfigNoQuorum",
        E::ReconfigInProgress => "ReconfigInProgress",
        E::NoNode => "NoNode",
        E::NoAuth => "NoAuth",
        E::BadVersion => "BadVersion",
        E::NoChildrenForEphemerals => "NoChildrenForEphemerals",
        E::NodeExists => "NodeExists",
        E::NotEmpty => "Directory not empty",
        E::SessionExpired => "Session expired",
        E::InvalidAcl => "InvalidACL",
        E::AuthFailed => "AuthFailed",
        E::SessionMoved => "Session moved",
        E::NotReadOnly => "Not a read-only call",
        E::EphemeralOnLocalSession => "Ephemeral node on local session",
        E::NoWatcher => "No such watcher",
        E::ReconfigDisabled => "Reconfig is disabled",
        E::SessionClosedRequireAuth => "Session closed because client failed to authenticate",
        E::QuotaExceeded => "Quota has exceeded",
        E::ThrottledOp => "Op throttled due to high load",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_as_in_zookeepers_shell() {
        let cases = [
            (ErrorCode::NoNode, "/a", "Node does not exist: /a"),
            (ErrorCode::BadVersion, "/a", "version No is not valid : /a"),
            (ErrorCode::NoAuth, "", "Insufficient permission : "),
            (
                ErrorCode::Unimplemented,
                "/ttl",
                "KeeperErrorCode = Unimplemented for /ttl",
            ),
            (
                ErrorCode::ReconfigDisabled,
                "",
                "KeeperErrorCode = Reconfig is disabled",
            ),
            (
                ErrorCode::NoWatcher,
                "/x",
                "KeeperErrorCode = No such watcher for /x",
            ),
        ];
        for (code, path, text) in cases {
            assert_eq!(refusal(code, path), text);
        }
    }
}
