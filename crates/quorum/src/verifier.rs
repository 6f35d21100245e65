//! What a quorum is (quorum protocol 2.6).
//!
//! What lives here: majorities, weights and groups, and both configurations at once while one replaces the other. What does not:
//! where votes and acknowledgements come from.
//!
//! Invariants:
//! - Only voters are asked for, so nobody else can be counted (ZOOKEEPER-2959).
//! - Any two quorums of one verifier share a voter, unless all weights are zero, and then there is no quorum.

use std::collections::BTreeMap;

use rookeeper_proto::ids::ServerId;

use crate::mutation::{Mutation, mutated};

/// What a voter counts when nothing is said about it.
pub const DEFAULT_WEIGHT: i64 = 1;

/// A voter in a hierarchical configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its group.
    pub group: i64,
    /// What it counts there.
    pub weight: i64,
}

/// The quorums of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verifier {
    /// More than half of the voters.
    Majority(Vec<ServerId>),
    /// More than half of the weight in more than half of the groups that have weight.
    Groups(BTreeMap<ServerId, Place>),
}

impl Verifier {
    /// Those who vote, in ascending order of their ids for a configuration that was read.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> {
        let (listed, placed) = match self {
            Self::Majority(voters) => (Some(voters.iter()), None),
            Self::Groups(places) => (None, Some(places.keys())),
        };
        listed
            .into_iter()
            .flatten()
            .chain(placed.into_iter().flatten())
            .copied()
    }

    /// True for those who vote.
    #[must_use]
    pub fn is_voter(&self, server: ServerId) -> bool {
        match self {
            Self::Majority(voters) => voters.contains(&server),
            Self::Groups(places) => places.contains_key(&server),
        }
    }

    /// What a server counts: nobody is elected who counts nothing.
    #[must_use]
    pub fn weight(&self, server: ServerId) -> i64 {
        match self {
            Self::Majority(_) => DEFAULT_WEIGHT,
            Self::Groups(places) => places.get(&server).map_or(0, |place| place.weight),
        }
    }

    /// True when the voters for which `supports` holds are a quorum.
    pub fn is_quorum(&self, supports: impl Fn(ServerId) -> bool) -> bool {
        match self {
            Self::Majority(voters) => {
                let count = voters.iter().filter(|voter| supports(**voter)).count();
                let half = mutated(Mutation::HalfIsAQuorum) && count >= voters.len() / 2;
                half || count > voters.len() / 2
            }
            Self::Groups(places) => groups_agree(places, supports),
        }
    }
}

fn groups_agree(places: &BTreeMap<ServerId, Place>, supports: impl Fn(ServerId) -> bool) -> bool {
    let mut groups: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for (server, place) in places {
        let (all, with) = groups.entry(place.group).or_default();
        *all = all.saturating_add(place.weight);
        if supports(*server) {
            *with = with.saturating_add(place.weight);
        }
    }
    let counted = || groups.values().filter(|(all, _)| *all != 0);
    let won = counted().filter(|(all, with)| *with > all / 2).count();
    won > counted().count() / 2
}

/// The quorums in force: those of the committed configuration, and of the next one while it is being agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifiers {
    /// Of the committed configuration.
    pub committed: Verifier,
    /// Of a proposed one that is newer.
    pub next: Option<Verifier>,
}

impl Verifiers {
    /// One configuration alone.
    #[must_use]
    pub const fn one(committed: Verifier) -> Self {
        Self {
            committed,
            next: None,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Verifier> {
        std::iter::once(&self.committed).chain(&self.next)
    }

    /// True for a voter of either.
    #[must_use]
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.all().any(|verifier| verifier.is_voter(server))
    }

    /// The voters of both, each once.
    #[must_use]
    pub fn voters(&self) -> Vec<ServerId> {
        let mut voters: Vec<_> = self.all().flat_map(Verifier::voters).collect();
        voters.sort_unstable();
        voters.dedup();
        voters
    }

    /// True when `supports` holds for a quorum of each, counted with its own voters.
    pub fn is_quorum(&self, supports: impl Fn(ServerId) -> bool) -> bool {
        self.all().all(|verifier| verifier.is_quorum(&supports))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn majority(ids: &[i64]) -> Verifier {
        Verifier::Majority(ids.iter().copied().map(ServerId).collect())
    }

    fn quorum(verifier: &Verifiers, ids: &[i64]) -> bool {
        verifier.is_quorum(|server| ids.contains(&server.0))
    }

    /// ZOOKEEPER-2959: three acknowledgements, two of them from servers that do not vote, are one.
    #[test]
    fn zookeeper_2959_only_voters_count() {
        let of_five = Verifiers::one(majority(&[1, 2, 3, 4, 5]));
        assert!(!quorum(&of_five, &[1, 7, 8, 9]));
        assert!(!quorum(&of_five, &[1, 2]));
        assert!(quorum(&of_five, &[1, 2, 3]));
        assert!(!quorum(&Verifiers::one(majority(&[1, 2])), &[1]));
    }

    #[test]
    fn two_configurations_need_a_quorum_of_each() {
        let both = Verifiers {
            committed: majority(&[1, 2, 3]),
            next: Some(majority(&[3, 4, 5])),
        };
        assert!(!quorum(&both, &[1, 2, 3]));
        assert!(!quorum(&both, &[3, 4, 5]));
        assert!(quorum(&both, &[1, 3, 4]));
        assert_eq!(both.voters().len(), 5);
    }

    #[test]
    fn groups_need_half_of_the_weight_in_half_of_the_groups() {
        let place = |group, weight| Place { group, weight };
        let places = [
            (1, place(1, 1)),
            (2, place(1, 1)),
            (3, place(1, 1)),
            (4, place(2, 1)),
            (5, place(2, 1)),
            (6, place(3, 0)),
        ];
        let groups = Verifier::Groups(
            places
                .into_iter()
                .map(|(id, at)| (ServerId(id), at))
                .collect(),
        );
        let verifier = Verifiers::one(groups);
        // Group 3 has no weight: two groups count, and both are needed.
        assert!(quorum(&verifier, &[1, 2, 4, 5]));
        assert!(!quorum(&verifier, &[1, 2, 3, 4, 6]));
        assert!(!quorum(&verifier, &[1, 4, 5]));
        assert_eq!(verifier.committed.weight(ServerId(6)), 0);
        assert_eq!(verifier.committed.weight(ServerId(9)), 0);
        assert_eq!(majority(&[1]).weight(ServerId(9)), 1);
    }

    #[test]
    fn nobody_is_no_quorum() {
        assert!(!majority(&[]).is_quorum(|_| true));
        assert!(!Verifier::Groups(BTreeMap::new()).is_quorum(|_| true));
    }

    proptest! {
        #[test]
        fn two_quorums_share_a_voter(
            places in prop::collection::btree_map(0..9i64, (0..3i64, 0..3i64), 1..9),
            in_groups in any::<bool>(),
            one in prop::collection::btree_set(0..9i64, 0..9),
            other in prop::collection::btree_set(0..9i64, 0..9),
        ) {
            let verifier = if in_groups {
                let place = |(id, (group, weight))| (ServerId(id), Place { group, weight });
                Verifier::Groups(places.into_iter().map(place).collect())
            } else {
                Verifier::Majority(places.into_keys().map(ServerId).collect())
            };
            let holds = |set: &BTreeSet<i64>| verifier.is_quorum(|server| set.contains(&server.0));
            if holds(&one) && holds(&other) {
                let shared = one.intersection(&other).any(|id| verifier.is_voter(ServerId(*id)));
                prop_assert!(shared);
            }
        }
    }
}
