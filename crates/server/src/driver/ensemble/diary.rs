//! What an operator is told of a member on its way from one role to the next, and how long that took.
//!
//! What lives here: since when it looks for a leader, who has answered meanwhile, and whose configuration is another one. What does
//! not: what any of it means for the election.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use bytes::Bytes;
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_proto::ballot::Layout;
use rookeeper_proto::ids::ServerId;
use rookeeper_quorum::membership::{Endpoint, Member, Membership};
use tracing::warn;

/// How long an election takes at most where a quorum is there, ms; beyond it, it is told who is missing.
const FIRST_WORD: i64 = 10_000;
/// The longest pause until that is told again, ms; pauses double up to it.
const LONGEST_SILENCE: i64 = 600_000;
/// An election that goes on is heard of this often, ms: each member repeats its vote once a minute.
const HEARD_LATELY: i64 = 130_000;
/// Configurations of one peer that are remembered as told.
const MAX_TOLD: usize = 16;

/// A search for a leader.
#[derive(Debug)]
struct Search {
    since: i64,
    /// When who is missing is told next, and the pause before that.
    next_word: i64,
    pause: i64,
}

/// One member's diary. All times are monotonic ms.
#[derive(Debug)]
pub struct Diary {
    me: ServerId,
    ours: Membership,
    search: Option<Search>,
    /// When the leader was reached that it follows and does not serve with yet.
    reached: Option<i64>,
    /// When each server was heard last, in elections.
    heard: BTreeMap<ServerId, i64>,
    /// The configurations of others that were told.
    told: BTreeMap<ServerId, BTreeSet<Bytes>>,
}

impl Diary {
    /// Of a member of this configuration.
    #[must_use]
    pub const fn of(me: ServerId, ours: Membership) -> Self {
        Self {
            me,
            ours,
            search: None,
            reached: None,
            heard: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Who this is.
    #[must_use]
    pub const fn me(&self) -> ServerId {
        self.me
    }

    /// It looks for a leader; true when it did not before.
    pub fn look(&mut self, now: i64) -> bool {
        if self.search.is_some() {
            return false;
        }
        self.reached = None;
        self.search = Some(Search {
            since: now,
            next_word: now + FIRST_WORD,
            pause: FIRST_WORD,
        });
        true
    }

    /// It has found one, and may be it. How long that took, ms.
    pub fn find(&mut self, now: i64) -> i64 {
        self.search.take().map_or(0, |search| now - search.since)
    }

    /// It is connected to the leader that it follows.
    pub const fn reach(&mut self, now: i64) {
        self.reached = Some(now);
    }

    /// It serves. How long it took from reaching the leader, ms, if it follows one.
    pub fn serve(&mut self, now: i64) -> Option<i64> {
        self.reached.take().map(|reached| now - reached)
    }

    /// Notes what is said between servers about elections.
    pub fn note(&mut self, input: &MemberInput, now: i64) {
        match input {
            MemberInput::Ballot { from, notification } => {
                self.hear(*from, now);
                if let Layout::V2 { config } = &notification.layout
                    && let Some(difference) = self.differs(*from, config)
                {
                    warn!(
                        "the configuration of server {from} is not the one of this server: {difference}"
                    );
                }
            }
            MemberInput::PeerGone(peer) => self.lose(*peer),
            _ => {}
        }
    }

    /// A server has said something about elections. Those that are in no configuration are too many to be known.
    fn hear(&mut self, from: ServerId, now: i64) {
        if self.ours.member(from).is_some() {
            self.heard.insert(from, now);
        }
    }

    /// A server cannot be reached.
    fn lose(&mut self, from: ServerId) {
        self.heard.remove(&from);
    }

    /// What to tell of a search that takes too long, at growing intervals.
    pub fn overdue(&mut self, now: i64) -> Option<String> {
        let search = self.search.as_mut().filter(|it| it.next_word <= now)?;
        search.pause = search.pause.saturating_mul(2).min(LONGEST_SILENCE);
        search.next_word = now + search.pause;
        let seconds = (now - search.since) / 1000;
        let voters = self.ours.voters().count();
        let is_silent = |id: &ServerId| {
            let heard = self.heard.get(id);
            *id != self.me && heard.is_none_or(|at| now - at > HEARD_LATELY)
        };
        let silent: Vec<_> = self.ours.voters().filter(is_silent).collect();
        let mut text = format!("no leader for {seconds} s, and nobody is served");
        // A text has room for whatever is written to it.
        let _ = match silent.is_empty() {
            true => write!(text, ": all {voters} voters answer and do not agree yet"),
            false => write!(text, ": {} of {voters} voters do not answer:", silent.len()),
        };
        for id in silent {
            let _ = write!(text, " server {id}");
            if let Some(member) = self.ours.member(id) {
                let places = member.endpoints.iter().map(|it| it.election().to_string());
                let _ = write!(text, " ({})", places.collect::<Vec<_>>().join("|"));
            }
        }
        Some(text)
    }

    /// In what the configuration of a server differs from this one's, told once for each of its texts. A newer version is no
    /// difference: whoever has it was told of it.
    fn differs(&mut self, from: ServerId, config: &Bytes) -> Option<String> {
        self.ours.member(from)?;
        let told = self.told.entry(from).or_default();
        if told.len() >= MAX_TOLD || told.contains(config) {
            return None;
        }
        told.insert(config.clone());
        let theirs = std::str::from_utf8(config).ok()?;
        let theirs = Membership::parse(theirs).ok()?;
        if theirs.version() > self.ours.version() {
            return None;
        }
        let difference = difference(&self.ours, &theirs);
        (!difference.is_empty()).then_some(difference)
    }
}

/// The lines of the one and of the other that differ.
fn difference(ours: &Membership, theirs: &Membership) -> String {
    let ids = |of: &Membership| of.members().map(|(id, _)| id).collect::<BTreeSet<_>>();
    let mut text = String::new();
    for id in ids(ours).union(&ids(theirs)) {
        let both = (ours.member(*id), theirs.member(*id));
        if let (Some(one), Some(other)) = both
            && is_same(one, other)
        {
            continue;
        }
        let line = |member: Option<&Member>| {
            member.map_or_else(
                || "nothing".to_owned(),
                |member| format!("server.{id}={member}"),
            )
        };
        let (one, other) = (line(both.0), line(both.1));
        let gap = if text.is_empty() { "" } else { "; " };
        // A text has room for whatever is written to it.
        let _ = write!(text, "{gap}{one} here, {other} there");
    }
    text
}

/// True when two lines mean the same member. Servers may say of themselves that they are everywhere, and where clients connect is
/// often said by the server alone.
fn is_same(one: &Member, other: &Member) -> bool {
    let same = |(one, other): (&_, &_)| is_same_endpoint(one, other);
    one.role == other.role
        && one.endpoints.len() == other.endpoints.len()
        && one.endpoints.iter().zip(&other.endpoints).all(same)
}

fn is_same_endpoint(one: &Endpoint, other: &Endpoint) -> bool {
    let anywhere = one.election().is_wildcard() || other.election().is_wildcard();
    (one.quorum_port, one.election_port) == (other.quorum_port, other.election_port)
        && (anywhere || one.host == other.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nversion=0";

    fn diary() -> Diary {
        Diary::of(ServerId(1), Membership::parse(THREE).unwrap())
    }

    #[test]
    fn a_search_is_told_of_ever_more_rarely_and_names_who_is_silent() {
        let mut diary = diary();
        assert!(diary.look(0));
        assert!(!diary.look(5));
        diary.hear(ServerId(2), 100);
        assert_eq!(diary.overdue(FIRST_WORD - 1), None);
        let text = diary.overdue(FIRST_WORD).unwrap();
        assert!(
            text.ends_with("1 of 3 voters do not answer: server 3 (c:2)"),
            "{text}"
        );
        assert_eq!(diary.overdue(FIRST_WORD * 3 - 1), None);
        diary.lose(ServerId(2));
        let text = diary.overdue(FIRST_WORD * 3).unwrap();
        assert!(
            text.contains("2 of 3 voters do not answer: server 2 (b:2) server 3"),
            "{text}"
        );
        assert_eq!(diary.overdue(FIRST_WORD * 7 - 1), None);
        diary.hear(ServerId(2), 70_000);
        diary.hear(ServerId(3), 70_000);
        let text = diary.overdue(FIRST_WORD * 7).unwrap();
        assert!(text.contains("all 3 voters answer"), "{text}");
        assert_eq!(diary.find(71_000), 71_000);
        assert_eq!(diary.overdue(1_000_000), None);
    }

    #[test]
    fn times_are_from_role_to_role() {
        let mut diary = diary();
        assert!(diary.look(10));
        assert_eq!(diary.find(25), 15);
        assert_eq!(diary.serve(30), None, "it leads");
        assert!(diary.look(40));
        diary.find(41);
        diary.reach(50);
        assert_eq!(diary.serve(57), Some(7));
        assert_eq!(diary.serve(58), None);
    }

    #[test]
    fn another_configuration_is_told_once_for_each_text_with_the_lines_that_differ() {
        let mut diary = diary();
        let mut told =
            |text: &'static str| diary.differs(ServerId(2), &Bytes::from_static(text.as_bytes()));
        assert_eq!(told(THREE), None);
        let other_order = "server.3=c:1:2:participant;0.0.0.0:2181\nserver.2=0.0.0.0:1:2\nserver.1=a:1:2\nversion=0";
        assert_eq!(told(other_order), None, "it means the same");
        let other = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:3\nserver.4=d:1:2\nversion=0";
        let difference = "server.3=c:1:2:participant here, server.3=c:1:3:participant there; \
                          nothing here, server.4=d:1:2:participant there";
        assert_eq!(told(other).as_deref(), Some(difference));
        assert_eq!(told(other), None);
        assert_eq!(
            told("server.1=a:1:2\nversion=100000000"),
            None,
            "it is newer"
        );
    }
}
