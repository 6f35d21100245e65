//! The numbers of the protocol: operations, errors, create modes, event types, and the encodings of a node's owner.

use std::fmt;

use crate::ids::SessionId;

macro_rules! numbers {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum $name { $($(#[$doc])* $variant = $value,)* }

        impl $name {
            /// The variant of a number on the wire.
            #[must_use]
            pub const fn from_i32(value: i32) -> Option<Self> {
                match value { $($value => Some(Self::$variant),)* _ => None }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> i32 {
                self as i32
            }
        }
    };
}

numbers! {
    /// Operations: the type of a request, and of a transaction.
    OpCode {
        /// Server to client only.
        Notification = 0,
        /// Create a znode, answer its path.
        Create = 1,
        /// Delete a znode.
        Delete = 2,
        /// Stat of a znode, or an exists watch on none.
        Exists = 3,
        /// Data and stat.
        GetData = 4,
        /// Replace the data.
        SetData = 5,
        /// ACL and stat.
        GetAcl = 6,
        /// Replace the ACL.
        SetAcl = 7,
        /// Names of the children.
        GetChildren = 8,
        /// Wait until this server has what the leader has.
        Sync = 9,
        /// Keep the session.
        Ping = 11,
        /// Names of the children and stat.
        GetChildren2 = 12,
        /// Compare a version; only inside a multi.
        Check = 13,
        /// Several writes, all or nothing.
        Multi = 14,
        /// Create a znode, answer path and stat.
        Create2 = 15,
        /// Change the membership.
        Reconfig = 16,
        /// Is there such a watch?
        CheckWatches = 17,
        /// Remove watches.
        RemoveWatches = 18,
        /// Create a container.
        CreateContainer = 19,
        /// Remove an empty container or an expired TTL node; internal.
        DeleteContainer = 20,
        /// Create a TTL node.
        CreateTtl = 21,
        /// Several reads.
        MultiRead = 22,
        /// Add an identity to the connection.
        Auth = 100,
        /// Register watches again after a reconnect.
        SetWatches = 101,
        /// A SASL token.
        Sasl = 102,
        /// The ephemerals of this session.
        GetEphemerals = 103,
        /// Number of all descendants.
        GetAllChildrenNumber = 104,
        /// As setWatches, with persistent ones.
        SetWatches2 = 105,
        /// Add a persistent watch.
        AddWatch = 106,
        /// Identities of the connection.
        WhoAmI = 107,
        /// Internal.
        CreateSession = -10,
        /// End the session.
        CloseSession = -11,
        /// The type of an error transaction and of an error result inside a multi.
        Error = -1,
    }
}

numbers! {
    /// Errors that travel in a reply header (client protocol 2.6).
    ErrorCode {
        /// No error.
        Ok = 0,
        /// The server cannot do it now, for a reason of its own (a full disk).
        SystemError = -1,
        /// Multi: an operation after the failing one.
        RuntimeInconsistency = -2,
        /// The request cannot be decoded, or handling it met something impossible.
        MarshallingError = -5,
        /// Unknown operation, or one that is switched off.
        Unimplemented = -6,
        /// Invalid path, flag, TTL, or reconfiguration.
        BadArguments = -8,
        /// The session is not known.
        UnknownSession = -12,
        /// No synced quorum in the new configuration.
        NewConfigNoQuorum = -13,
        /// Another reconfiguration is under way.
        ReconfigInProgress = -14,
        /// No such znode.
        NoNode = -101,
        /// Not permitted.
        NoAuth = -102,
        /// The version differs.
        BadVersion = -103,
        /// Ephemerals have no children.
        NoChildrenForEphemerals = -108,
        /// The znode exists.
        NodeExists = -110,
        /// The znode has children.
        NotEmpty = -111,
        /// The session ended.
        SessionExpired = -112,
        /// The ACL is not valid.
        InvalidAcl = -114,
        /// The identity was refused.
        AuthFailed = -115,
        /// The session lives on another server now; never reaches a client.
        SessionMoved = -118,
        /// A write on a read-only server.
        NotReadOnly = -119,
        /// An ephemeral on a local session.
        EphemeralOnLocalSession = -120,
        /// No such watch.
        NoWatcher = -121,
        /// Dynamic reconfiguration is switched off.
        ReconfigDisabled = -123,
        /// The enforced authentication is missing.
        SessionClosedRequireAuth = -124,
        /// A hard quota would be exceeded.
        QuotaExceeded = -125,
        /// Dropped by the throttler, not executed.
        ThrottledOp = -127,
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({})", self.code())
    }
}

numbers! {
    /// What a watch event tells.
    EventType {
        /// The znode was created.
        NodeCreated = 1,
        /// The znode was deleted.
        NodeDeleted = 2,
        /// Its data changed.
        NodeDataChanged = 3,
        /// Its child list changed.
        NodeChildrenChanged = 4,
    }
}

numbers! {
    /// The mode of addWatch.
    AddWatchMode {
        /// Data and children of one znode, until removed.
        Persistent = 0,
        /// A znode and everything below it, until removed.
        PersistentRecursive = 1,
    }
}

numbers! {
    /// What checkWatches and removeWatches look for.
    WatcherType {
        /// Standard child watches.
        Children = 1,
        /// Standard data watches.
        Data = 2,
        /// Any watch.
        Any = 3,
        /// Persistent watches.
        Persistent = 4,
        /// Persistent recursive watches.
        PersistentRecursive = 5,
    }
}

numbers! {
    /// The flags of a create: an enumeration, not bits.
    CreateMode {
        /// Stays until deleted.
        Persistent = 0,
        /// Ends with its session.
        Ephemeral = 1,
        /// Persistent with a number behind its name.
        PersistentSequential = 2,
        /// Ephemeral with a number behind its name.
        EphemeralSequential = 3,
        /// Removed when its last child is gone.
        Container = 4,
        /// Removed when unchanged and childless for its TTL.
        PersistentWithTtl = 5,
        /// The same with a number behind its name.
        PersistentSequentialWithTtl = 6,
    }
}

impl CreateMode {
    /// True when the parent's counter is appended to the name.
    #[must_use]
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential
                | Self::EphemeralSequential
                | Self::PersistentSequentialWithTtl
        )
    }

    /// True when the znode ends with its session.
    #[must_use]
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// True when the mode needs a TTL.
    #[must_use]
    pub const fn is_ttl(self) -> bool {
        matches!(
            self,
            Self::PersistentWithTtl | Self::PersistentSequentialWithTtl
        )
    }
}

/// Longest TTL, ms: 40 bits, about 34.8 years.
pub const MAX_TTL_MS: i64 = 0xff_ffff_ffff;

/// Who keeps a znode alive, as encoded in the stored owner field (client protocol 2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody: persistent.
    None,
    /// A session: ephemeral.
    Session(SessionId),
    /// Its children: container.
    Container,
    /// Its last change: TTL in ms, 1 to [`MAX_TTL_MS`].
    Ttl(i64),
}

const CONTAINER_OWNER: i64 = i64::MIN;
const TTL_TOP_BYTE: u64 = 0xff << 56;

impl Owner {
    /// The stored number.
    #[must_use]
    pub const fn encode(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Session(id) => id.0,
            Self::Container => CONTAINER_OWNER,
            Self::Ttl(ms) => (TTL_TOP_BYTE | ms as u64) as i64,
        }
    }

    /// The meaning of a stored number. Without `extended_types` a TTL owner looks like a session, as in Java.
    #[must_use]
    pub const fn decode(raw: i64, extended_types: bool) -> Self {
        let bits = raw as u64;
        match raw {
            0 => Self::None,
            CONTAINER_OWNER => Self::Container,
            _ if extended_types
                && bits >= TTL_TOP_BYTE
                && bits & !TTL_TOP_BYTE <= MAX_TTL_MS as u64 =>
            {
                Self::Ttl((bits & !TTL_TOP_BYTE) as i64)
            }
            _ => Self::Session(SessionId(raw)),
        }
    }

    /// What a client sees: the session of an ephemeral, else 0.
    #[must_use]
    pub const fn visible(self) -> i64 {
        match self {
            Self::Session(id) => id.0,
            Self::None | Self::Container | Self::Ttl(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_encoded_as_documented() {
        assert_eq!(Owner::Ttl(1000).encode() as u64, 0xff00_0000_0000_03e8);
        assert_eq!(Owner::Container.encode() as u64, 0x8000_0000_0000_0000);
        for owner in [
            Owner::None,
            Owner::Container,
            Owner::Ttl(MAX_TTL_MS),
            Owner::Session(SessionId(0x100_0000)),
        ] {
            assert_eq!(Owner::decode(owner.encode(), true), owner);
        }
        assert_eq!(
            Owner::decode(Owner::Ttl(5).encode(), false).visible(),
            Owner::Ttl(5).encode()
        );
    }

    #[test]
    fn create_modes_are_an_enumeration() {
        assert_eq!(CreateMode::from_i32(7), None);
        assert!(CreateMode::from_i32(3).is_some_and(|m| m.is_ephemeral() && m.is_sequential()));
    }
}
