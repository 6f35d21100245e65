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
    /// What is committed is applied after the next input was judged.
    JudgedBeforeApplied,
}

rookeeper_proto::mutation_switch!(Mutation);
