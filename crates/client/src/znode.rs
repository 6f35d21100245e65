//! What is given to a server and what comes back: data, children, the kinds of znodes, expected versions.

use std::time::Duration;

use bytes::Bytes;
use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::CreateMode;
use rookeeper_proto::stat::Stat;

/// The content of a znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Empty for null data.
    pub bytes: Bytes,
    /// Null and empty data differ.
    pub is_null: bool,
    /// Everything else about the znode.
    pub stat: Stat,
}

/// The children of a znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Children {
    /// Their names, in no order that means anything.
    pub names: Vec<String>,
    /// The stat of their parent.
    pub stat: Stat,
}

/// A znode that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its path, with the number of a sequential one.
    pub path: String,
    /// Its stat. The zxid of its creation is a fencing token: it is larger than that of any earlier one.
    pub stat: Stat,
}

/// Which version a write expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expected {
    /// Any.
    #[default]
    Any,
    /// Exactly this one.
    Version(i32),
}

impl Expected {
    /// The number on the wire.
    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Any => -1,
            Self::Version(version) => version,
        }
    }
}

impl From<i32> for Expected {
    /// -1 means any, as everywhere in ZooKeeper.
    fn from(version: i32) -> Self {
        if version == -1 {
            Self::Any
        } else {
            Self::Version(version)
        }
    }
}

/// What kind of znode is created, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    pub(crate) mode: CreateMode,
    pub(crate) ttl: Duration,
    pub(crate) acl: Vec<Acl>,
    pub(crate) is_null: bool,
}

impl CreateOptions {
    /// Of any mode. Modes with a TTL want [`CreateOptions::ttl`].
    #[must_use]
    pub fn of(mode: CreateMode) -> Self {
        Self {
            mode,
            ttl: Duration::ZERO,
            acl: Acl::open(),
            is_null: false,
        }
    }

    /// Stays until it is deleted.
    #[must_use]
    pub fn persistent() -> Self {
        Self::of(CreateMode::Persistent)
    }

    /// The same, with a number behind its name that only grows.
    #[must_use]
    pub fn persistent_sequential() -> Self {
        Self::of(CreateMode::PersistentSequential)
    }

    /// Ends with the session.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self::of(CreateMode::Ephemeral)
    }

    /// The same, with a number behind its name that only grows.
    #[must_use]
    pub fn ephemeral_sequential() -> Self {
        Self::of(CreateMode::EphemeralSequential)
    }

    /// Removed by the server some time after its last child is gone.
    #[must_use]
    pub fn container() -> Self {
        Self::of(CreateMode::Container)
    }

    /// Removed when it has no children and was not changed for so long; 1 ms to about 34 years. Servers offer it only with
    /// `extendedTypesEnabled`.
    #[must_use]
    pub fn ttl(ttl: Duration) -> Self {
        Self {
            ttl,
            ..Self::of(CreateMode::PersistentWithTtl)
        }
    }

    /// The same, with a number behind its name that only grows.
    #[must_use]
    pub fn ttl_sequential(ttl: Duration) -> Self {
        Self {
            ttl,
            ..Self::of(CreateMode::PersistentSequentialWithTtl)
        }
    }

    /// Who may do what; everybody everything unless this is called.
    #[must_use]
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = acl;
        self
    }

    /// Null data, which differs from empty data; what is given as data is not sent.
    #[must_use]
    pub const fn null_data(mut self) -> Self {
        self.is_null = true;
        self
    }

    /// The kind.
    #[must_use]
    pub const fn mode(&self) -> CreateMode {
        self.mode
    }
}
