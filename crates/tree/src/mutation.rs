//! Deliberate mistakes, for the simulator to find. Without the feature `mutations`, which nothing but the simulator may switch on,
//! the switch is a constant and nothing of this is compiled in.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The beginning of a session is not noted.
    SessionTableNotReplicated,
    /// The end of a session leaves its ephemerals.
    EphemeralsOutliveSessions,
    /// A watch stays when it has fired.
    WatchFiresTwice,
}

rookeeper_proto::mutation_switch!(Mutation);
