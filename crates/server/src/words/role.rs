//! The part a server plays, as whoever drives it last said.
//!
//! Plain values. Invariant: a server that plays another part than [`Role::Looking`] serves clients; what is only on its way to
//! a part (a leader without its quorum, a learner that is not yet in step) is still looking.

use rookeeper_proto::ids::ServerId;

/// The part of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Alone.
    #[default]
    Standalone,
    /// Without a leader, or not in step with one: most words are not answered.
    Looking,
    /// Leads an ensemble.
    Leading(Leadership),
    /// Votes and follows.
    Following {
        /// Voters in the configuration.
        quorum_size: u64,
    },
    /// Follows without a vote.
    Observing {
        /// Voters in the configuration.
        quorum_size: u64,
        /// Whom it learns from.
        master: ServerId,
    },
    /// Cut off from its ensemble, serving read-only clients.
    ReadOnly,
}

/// What a leader knows of its learners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Voters in the configuration.
    pub quorum_size: u64,
    /// Learners that are connected.
    pub learners: u64,
    /// Voters in step, the leader not counted.
    pub synced_followers: u64,
    /// Observers in step.
    pub synced_observers: u64,
    /// Followers in step that lost their vote.
    pub synced_non_voting_followers: u64,
    /// `sync` requests that wait.
    pub pending_syncs: u64,
}

impl Role {
    /// Whether clients are served.
    pub const fn serves(self) -> bool {
        !matches!(self, Self::Looking)
    }

    /// The name in `srvr`, `stat` and `mntr`. Nobody is told the one of a server that looks for a leader.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Looking => "looking",
            Self::Leading(_) => "leader",
            Self::Following { .. } => "follower",
            Self::Observing { .. } => "observer",
            Self::ReadOnly => "read-only",
        }
    }

    /// Learns from a leader, so that it is the leader who watches over sessions.
    pub const fn is_learner(self) -> bool {
        matches!(self, Self::Following { .. } | Self::Observing { .. })
    }

    /// The line `peer_state` of `mntr`; a server on its own has none.
    pub(super) const fn peer_state(self) -> Option<&'static str> {
        match self {
            Self::Leading(_) => Some("leading - broadcast"),
            Self::Following { .. } => Some("following - broadcast"),
            Self::Observing { .. } => Some("observing - broadcast"),
            Self::Standalone | Self::Looking | Self::ReadOnly => None,
        }
    }

    /// Voters in the configuration; a server on its own has none.
    pub(super) const fn quorum_size(self) -> Option<u64> {
        match self {
            Self::Leading(Leadership { quorum_size, .. })
            | Self::Following { quorum_size }
            | Self::Observing { quorum_size, .. } => Some(quorum_size),
            Self::Standalone | Self::Looking | Self::ReadOnly => None,
        }
    }
}

/// A role and when it began. The driver publishes it when something in it has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoleReport {
    /// The part.
    pub role: Role,
    /// Since when it is played, ms on the clock that only goes forward.
    pub since_ms: i64,
}

impl RoleReport {
    /// What is published of a server, `in_ensemble` or not: a member plays no part before its driver has said so.
    pub fn of_server(published: Self, in_ensemble: bool) -> Self {
        let role = match published.role {
            Role::Standalone if in_ensemble => Role::Looking,
            role => role,
        };
        Self { role, ..published }
    }
}

#[cfg(test)]
mod tests {
    use super::{Role, RoleReport};

    #[test]
    fn a_member_that_says_nothing_looks() {
        let since_ms = 7;
        let of = |role, in_ensemble| {
            let found = RoleReport::of_server(RoleReport { role, since_ms }, in_ensemble);
            assert_eq!(found.since_ms, since_ms);
            found.role
        };
        let following = Role::Following { quorum_size: 3 };
        assert_eq!(of(Role::default(), true), Role::Looking);
        assert_eq!(of(Role::default(), false), Role::Standalone);
        assert_eq!(of(following, true), following);
        assert!(!Role::Looking.serves() && following.serves());
    }
}
