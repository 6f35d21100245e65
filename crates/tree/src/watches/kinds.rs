//! Which watches one watcher has on one path, as bits.

use std::ops::BitOr;

use rookeeper_proto::code::WatcherType;

use super::{Table, WatchKind};

/// A set of [`WatchKind`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const NONE: Self = Self(0);
    pub(super) const DATA_STANDARD: Self = Self(1);
    pub(super) const CHILD_STANDARD: Self = Self(1 << 1);
    pub(super) const PERSISTENT: Self = Self(1 << 2);
    pub(super) const RECURSIVE: Self = Self(1 << 3);
    /// The single kinds, in the order of their bits.
    pub(super) const EACH: [Self; 4] = [
        Self::DATA_STANDARD,
        Self::CHILD_STANDARD,
        Self::PERSISTENT,
        Self::RECURSIVE,
    ];
    const ALL: Self = Self(0b1111);
    const DATA: Self = Self(0b1101);
    const CHILD: Self = Self(0b0110);

    /// The kinds that stand in `table`.
    pub(super) const fn of_table(table: Table) -> Self {
        match table {
            Table::Data => Self::DATA,
            Table::Child => Self::CHILD,
        }
    }

    /// The kind that a trigger of `table` uses up.
    pub(super) const fn standard(table: Table) -> Self {
        match table {
            Table::Data => Self::DATA_STANDARD,
            Table::Child => Self::CHILD_STANDARD,
        }
    }

    /// What checkWatches and removeWatches mean by a type (client protocol 5.6). A persistent watch stands in both tables.
    pub(super) const fn of_type(kind: WatcherType) -> Self {
        match kind {
            WatcherType::Children => Self::CHILD_STANDARD,
            WatcherType::Data => Self::DATA_STANDARD,
            WatcherType::Any => Self::ALL,
            WatcherType::Persistent => Self::PERSISTENT,
            WatcherType::PersistentRecursive => Self::RECURSIVE,
        }
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl From<WatchKind> for Kinds {
    fn from(kind: WatchKind) -> Self {
        match kind {
            WatchKind::DataStandard => Self::DATA_STANDARD,
            WatchKind::ChildStandard => Self::CHILD_STANDARD,
            WatchKind::Persistent => Self::PERSISTENT,
            WatchKind::Recursive => Self::RECURSIVE,
        }
    }
}
