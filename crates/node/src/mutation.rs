//! Deliberate mistakes, for the simulator to find. Without the feature `mutations`, which nothing but the simulator may switch on,
//! the switch is a constant and nothing of this is compiled in.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The window of committed transactions stays when the log is cut.
    WindowKeptAcrossTruncation,
    /// A learner answers its oldest request with whatever is committed next.
    AnyCommitAnswers,
    /// A client is served that has seen more than this server.
    ClientAheadAdmitted,
    /// Sessions live a quarter of their time.
    SessionsExpireEarly,
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
