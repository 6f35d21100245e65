//! Deliberate mistakes, for the simulator to find. Without the feature `mutations`, which nothing but the simulator may switch on,
//! the switch is a constant and nothing of this is compiled in.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The worse vote wins.
    VoteOrderReversed,
    /// A leader commits what its own disk has.
    CommitWithoutQuorum,
    /// Half of the voters are a quorum.
    HalfIsAQuorum,
    /// A new epoch is one that was promised already.
    EpochNotRaised,
    /// A leader does not wait until a quorum has its history.
    EstablishedWithoutQuorum,
    /// A learner keeps to itself what is on its disk.
    LearnerDoesNotAcknowledge,
    /// A leader goes on when nobody is there.
    LeadsWithoutQuorum,
    /// A leader takes learners that have more than itself.
    AheadLearnersIgnored,
}

#[cfg(feature = "mutations")]
mod switch {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Makes one mistake in this thread, or none.
    pub fn set(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }

    pub(crate) fn mutated(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation)
    }
}

#[cfg(feature = "mutations")]
pub(crate) use switch::mutated;
#[cfg(feature = "mutations")]
pub use switch::set;

/// True when this mistake is to be made.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn mutated(_: Mutation) -> bool {
    false
}
