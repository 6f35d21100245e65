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
    /// A leader goes on behind the last zxid of its epoch.
    CounterRunsOver,
}

rookeeper_proto::mutation_switch!(Mutation);
