//! Fast leader election: servers exchange votes until a quorum has one opinion (quorum protocol 2.3, 2.4).
//!
//! What lives here: the rules for every notification in every state, rounds, and when a round is over. What does not: sockets and
//! their queues (one notification per peer, the newest wins, the last one again on a new connection), the clock, and what a
//! leader does once it is one.
//!
//! Invariants:
//! - A vote for oneself says what the caller has said that its disk holds, and nothing else.
//! - Within a round the own vote only gets better, so two servers cannot decide differently by the votes of the same servers.
//! - Only votes of voters for voters are counted.
//! - After a decision the same vote is told to everybody who asks, until the next round.
//!
//! # When a round is over
//!
//! A quorum for one vote is not the end: a better vote may be under way. The Java server waits until 200 ms pass without a
//! notification. Here the round ends at once when nothing better can come (quorum protocol 2.5): every voter other than this one
//! either has a connection and has voted for the same in this round, or is known to be gone, because its connection broke or was refused. A voter of which
//! nothing is known is waited for, as Java waits.
//!
//! This is safe. The pause protects nothing that counts: an election is a recommendation, and a leader that was recommended with a
//! history shorter than that of a quorum is refused in discovery, where each learner tells what it has and the leader must have at
//! least as much. A voter that was believed gone and comes back with more finds a leader that a quorum has chosen; whatever it has
//! more was never acknowledged by a quorum. What a Java peer sees is a FOLLOWING or LEADING notification up to 200 ms earlier than
//! from another Java server: it drops it while it waits itself, and then decides the same. A leader in Java opens its port after
//! its own pause: a learner that decided here at once must go on trying that much longer than Java's five tries, 100 ms apart.

pub mod effect;
pub mod round;

use std::collections::BTreeMap;

use bytes::Bytes;
use rookeeper_proto::ballot::{Layout, Notification, PeerState};
use rookeeper_proto::ids::ServerId;

use crate::membership::{Membership, Role};
use crate::verifier::Verifiers;
use crate::vote::{History, NOBODY, Vote};
use effect::{Decision, ElectionEffect};
use round::{Cast, Pace, Round};

/// Who takes part, and how.
#[derive(Debug, Clone)]
pub struct ElectionConfig {
    /// This server.
    pub me: ServerId,
    /// What it is configured for; the role in the configuration of the ensemble goes before it.
    pub role: Role,
    /// The committed configuration.
    pub membership: Membership,
    /// Whether configurations of others are taken over.
    pub reconfig_enabled: bool,
    /// How long to wait for what.
    pub pace: Pace,
}

/// What is known of the way to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Connected,
    Gone,
}

#[derive(Debug)]
enum State {
    Looking(Round),
    Settled(PeerState),
}

/// A server's part in elections.
#[derive(Debug)]
pub struct Election {
    config: ElectionConfig,
    /// The text of the committed configuration: every notification carries it.
    text: Bytes,
    verifiers: Verifiers,
    /// What is known; a peer that is missing here may be reachable or not.
    links: BTreeMap<ServerId, Link>,
    /// The last votes of voters that began a round before this server did: they are told once, so they are kept.
    early: BTreeMap<ServerId, Notification>,
    clock: i64,
    /// The vote agreed on in the last election, as it is told to those who ask.
    agreed: Cast,
    state: State,
}

impl Election {
    /// Begins the first round. `durable` is what the disk holds, synced: the whole log, and the epoch of its history. The election
    /// port is opened after this.
    #[must_use]
    pub fn start(
        config: ElectionConfig,
        durable: History,
        now: i64,
        effects: &mut Vec<ElectionEffect>,
    ) -> Self {
        let own = Vote {
            history: durable,
            leader: config.me,
        };
        let mut election = Self {
            text: config.membership.to_string().into(),
            verifiers: Verifiers::one(config.membership.verifier()),
            links: BTreeMap::new(),
            early: BTreeMap::new(),
            clock: 0,
            agreed: Cast::looking(own, 0),
            state: State::Looking(Round::new(durable, own, config.pace, now)),
            config,
        };
        if let Some(role) = election.role_by_config() {
            election.config.role = role;
        }
        election.start_round(durable, now, effects);
        election
    }

    /// What this server is doing.
    #[must_use]
    pub const fn state(&self) -> PeerState {
        match &self.state {
            State::Looking(_) => PeerState::Looking,
            State::Settled(state) => *state,
        }
    }

    /// The configuration the election goes by.
    #[must_use]
    pub const fn membership(&self) -> &Membership {
        &self.config.membership
    }

    /// The number of the current or last round.
    #[must_use]
    pub const fn election_epoch(&self) -> i64 {
        self.clock
    }

    /// When [`Self::tick`] has something to do, ms.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        match &self.state {
            State::Looking(round) => Some(round.deadline()),
            State::Settled(_) => None,
        }
    }

    /// Looks for a leader again. `durable` is what the disk holds, synced: the whole log, and the epoch of its history.
    pub fn start_round(&mut self, durable: History, now: i64, effects: &mut Vec<ElectionEffect>) {
        self.clock = self.clock.wrapping_add(1);
        let initial = self.initial_vote(durable);
        self.state = State::Looking(Round::new(durable, initial, self.config.pace, now));
        self.announce(now, effects);
        for (from, notification) in std::mem::take(&mut self.early) {
            if let State::Looking(_) = self.state {
                self.consider(from, &notification, now, effects);
            }
        }
    }

    /// The configuration changed by agreement; `next` is one that is proposed and not committed yet.
    pub fn reconfigure(&mut self, committed: Membership, next: Option<&Membership>) {
        let newer = next.filter(|next| next.version() > committed.version());
        self.verifiers = Verifiers {
            committed: committed.verifier(),
            next: newer.map(Membership::verifier),
        };
        self.text = committed.to_string().into();
        self.config.membership = committed;
        self.config.role = self.role_by_config().unwrap_or(Role::Participant);
    }

    /// The epoch of the elected leader is established: the vote that is told to others says it (ZOOKEEPER-1732).
    pub const fn established(&mut self, epoch: i64) {
        self.agreed.vote.history.epoch = epoch;
    }

    /// A connection to a peer is up.
    pub fn peer_connected(&mut self, peer: ServerId) {
        self.links.insert(peer, Link::Connected);
    }

    /// A connection to a peer broke, or was refused. One that nobody answers says nothing, and neither does one that this server
    /// closed itself because the peer's id is higher.
    pub fn peer_gone(&mut self, peer: ServerId, now: i64, effects: &mut Vec<ElectionEffect>) {
        self.links.insert(peer, Link::Gone);
        self.early.remove(&peer);
        self.check(false, now, effects);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: i64, effects: &mut Vec<ElectionEffect>) {
        let State::Looking(round) = &mut self.state else {
            return;
        };
        if round.is_quiet(now) {
            self.decide_by_round(effects);
        } else if round.wants_to_resend(now) {
            self.send_proposal(effects);
        }
    }

    /// A notification came.
    pub fn ballot(
        &mut self,
        from: ServerId,
        notification: &Notification,
        now: i64,
        effects: &mut Vec<ElectionEffect>,
    ) {
        if from == self.config.me || self.learn_config(notification, now, effects) {
            return;
        }
        let asks = notification.state == PeerState::Looking;
        if !self.verifiers.is_voter(from) {
            // An answer is not answered: else two who tell each other what they have would never end.
            if asks {
                effects.push(self.send(from, self.agreed.vote, self.clock));
            }
            return;
        }
        match &self.state {
            State::Looking(round) => {
                // Of use to who counts the vote: nobody counts one of a server that does not vote.
                if asks && notification.election_epoch < self.clock && self.is_voter() {
                    effects.push(self.send(from, round.proposal, self.clock));
                }
                self.consider(from, notification, now, effects);
            }
            State::Settled(state) if asks => {
                if *state == PeerState::Leading {
                    effects.push(ElectionEffect::StillLooking(from));
                }
                effects.push(self.send(from, self.agreed.vote, self.agreed.election_epoch));
                self.early.insert(from, notification.clone());
            }
            State::Settled(_) => {
                self.early.remove(&from);
            }
        }
    }

    /// Takes over a newer configuration; true when the members are others, and the election has begun anew.
    fn learn_config(
        &mut self,
        notification: &Notification,
        now: i64,
        effects: &mut Vec<ElectionEffect>,
    ) -> bool {
        let (State::Looking(round), Layout::V2 { config }) = (&self.state, &notification.layout)
        else {
            return false;
        };
        let durable = round.durable;
        // Nearly all notifications carry the configuration that is known.
        if !self.config.reconfig_enabled || config.is_empty() || *config == self.text {
            return false;
        }
        let text = std::str::from_utf8(config).ok();
        let Some(newer) = text.and_then(|text| Membership::parse(text).ok()) else {
            return false;
        };
        if newer.version() <= self.config.membership.version() {
            return false;
        }
        let changed = !newer.is_equivalent(&self.config.membership);
        self.reconfigure(newer.clone(), None);
        effects.push(ElectionEffect::Adopt(newer));
        if changed {
            self.links.clear();
            self.early.clear();
            effects.push(ElectionEffect::Restart);
            self.start_round(durable, now, effects);
        }
        changed
    }

    fn role_by_config(&self) -> Option<Role> {
        let member = self.config.membership.member(self.config.me)?;
        Some(member.role)
    }

    /// What this server votes for before it has heard of others.
    fn initial_vote(&self, durable: History) -> Vote {
        let (history, leader) = match self.config.role {
            Role::Observer => (History::NONE, NOBODY),
            Role::Participant if self.is_voter() => (durable, self.config.me),
            Role::Participant => (durable, NOBODY),
        };
        Vote { history, leader }
    }

    /// True when this server's own vote counts.
    fn is_voter(&self) -> bool {
        self.config.membership.is_voter(self.config.me)
    }

    /// Tells the proposal to everybody who votes, oneself included.
    fn announce(&mut self, now: i64, effects: &mut Vec<ElectionEffect>) {
        let (me, clock, votes) = (self.config.me, self.clock, self.is_voter());
        self.send_proposal(effects);
        if let State::Looking(round) = &mut self.state
            && votes
            && !round.initial.history.is_missing()
        {
            let own = Cast::looking(round.proposal, clock);
            round.received.insert(me, own);
        }
        self.check(true, now, effects);
    }

    fn send_proposal(&self, effects: &mut Vec<ElectionEffect>) {
        let State::Looking(round) = &self.state else {
            return;
        };
        let others = self.verifiers.voters().into_iter();
        let others = others.filter(|voter| *voter != self.config.me);
        effects.extend(others.map(|to| self.send(to, round.proposal, self.clock)));
    }

    fn send(&self, to: ServerId, vote: Vote, election_epoch: i64) -> ElectionEffect {
        let notification = Notification {
            state: self.state(),
            leader: vote.leader,
            zxid: vote.history.last,
            election_epoch,
            peer_epoch: vote.history.epoch,
            layout: Layout::V2 {
                config: self.text.clone(),
            },
        };
        ElectionEffect::Send { to, notification }
    }

    /// Counts the notification of a voter.
    fn consider(
        &mut self,
        from: ServerId,
        notification: &Notification,
        now: i64,
        effects: &mut Vec<ElectionEffect>,
    ) {
        if !self.verifiers.is_voter(notification.leader) {
            return;
        }
        let cast = Cast::of(notification);
        match notification.state {
            PeerState::Looking => self.consider_looking(from, cast, now, effects),
            PeerState::Following | PeerState::Leading => {
                self.consider_settled(from, cast, effects);
                // It may have taken a vote away from the proposal.
                self.check(false, now, effects);
            }
            PeerState::Observing => {}
        }
    }

    fn consider_looking(
        &mut self,
        from: ServerId,
        cast: Cast,
        now: i64,
        effects: &mut Vec<ElectionEffect>,
    ) {
        let State::Looking(round) = &mut self.state else {
            return;
        };
        if round.initial.history.is_missing() || cast.vote.history.is_missing() {
            return;
        }
        let weight = self.verifiers.committed.weight(cast.vote.leader);
        if cast.election_epoch < self.clock {
            return;
        }
        let ahead = cast.election_epoch > self.clock;
        // Whoever elects this server for a history that it has not (any more) elects nobody: the vote is of an earlier life (a wiped
        // disk, or the first zxid of an epoch that was led and has no transaction). It would keep it as the better one for the rest
        // of the round, so this round is over.
        let denied = round.is_beyond(&cast.vote, self.config.me);
        if ahead || denied {
            self.clock = cast.election_epoch.wrapping_add(denied.into());
            round.begin_again();
        }
        if denied {
            return self.announce(now, effects);
        }
        let better = cast.vote.beats(&round.proposal, weight);
        if better {
            round.proposal = cast.vote;
        }
        let news = round.received.insert(from, cast) != Some(cast);
        if ahead || better {
            self.announce(now, effects);
        } else {
            self.check(news, now, effects);
        }
    }

    /// Ends the round when it is certain, or begins to wait for quiet. `news`: something changed, so the wait begins again.
    fn check(&mut self, news: bool, now: i64, effects: &mut Vec<ElectionEffect>) {
        let State::Looking(round) = &mut self.state else {
            return;
        };
        let supports = |voter| round.supports_proposal(voter, self.clock);
        if !self.verifiers.is_quorum(supports) {
            round.stop_waiting();
            return;
        }
        let me = self.config.me;
        let settled = |voter: &ServerId| match self.links.get(voter) {
            Some(Link::Gone) => true,
            Some(Link::Connected) => supports(*voter),
            None => false,
        };
        let mut others = self.verifiers.voters().into_iter().filter(|v| *v != me);
        if others.all(|voter| settled(&voter)) {
            self.decide_by_round(effects);
        } else {
            round.wait_for_quiet(news, now);
        }
    }

    fn decide_by_round(&mut self, effects: &mut Vec<ElectionEffect>) {
        let State::Looking(round) = &self.state else {
            return;
        };
        let vote = round.proposal;
        let supporters = round
            .received
            .iter()
            .filter(|(_, cast)| cast.is(&vote, self.clock));
        let supporters = supporters.map(|(voter, _)| *voter).collect();
        self.decide(vote, self.clock, supporters, effects);
    }

    /// A voter that has a leader, or is one: a quorum of such voters ends the round, whatever was proposed in it.
    fn consider_settled(&mut self, from: ServerId, cast: Cast, effects: &mut Vec<ElectionEffect>) {
        let State::Looking(round) = &mut self.state else {
            return;
        };
        let (me, leader) = (self.config.me, cast.vote.leader);
        if round.is_beyond(&cast.vote, me) {
            return;
        }
        if cast.election_epoch == self.clock {
            round.received.insert(from, cast);
            let supporters =
                round::supporters(&round.received, |other| cast.agrees_in_round(other));
            let leads = leader == me || round::leads(&round.received, leader);
            if leads
                && self
                    .verifiers
                    .is_quorum(|voter| supporters.contains(&voter))
            {
                return self.decide(cast.vote, cast.election_epoch, supporters, effects);
            }
        }
        let State::Looking(round) = &mut self.state else {
            return;
        };
        round.outside.insert(from, cast);
        let supporters = round::supporters(&round.outside, |other| cast.agrees_outside(other));
        let leads = match leader == me {
            true => cast.election_epoch == self.clock,
            false => round::leads(&round.outside, leader),
        };
        if leads
            && self
                .verifiers
                .is_quorum(|voter| supporters.contains(&voter))
        {
            self.clock = cast.election_epoch;
            self.decide(cast.vote, cast.election_epoch, supporters, effects);
        }
    }

    fn decide(
        &mut self,
        vote: Vote,
        election_epoch: i64,
        supporters: Vec<ServerId>,
        effects: &mut Vec<ElectionEffect>,
    ) {
        let state = match self.config.role {
            _ if vote.leader == self.config.me => PeerState::Leading,
            Role::Participant => PeerState::Following,
            Role::Observer => PeerState::Observing,
        };
        self.agreed = Cast::looking(vote, election_epoch);
        self.state = State::Settled(state);
        effects.push(ElectionEffect::Decided(Decision {
            vote,
            election_epoch,
            state,
            supporters,
        }));
    }
}
