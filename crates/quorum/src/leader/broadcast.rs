//! Proposals, acknowledgements, commits (quorum protocol 3.11).
//!
//! What lives here: what a leader does with transactions once its epoch is established. What does not: their meaning.
//!
//! Invariants:
//! - Zxids are given without a gap, and the last one of an epoch is never given (ZOOKEEPER-1277).
//! - A transaction is committed when a quorum has it on its disks, after all before it. The own disk is one of them, and not a
//!   necessary one: who stops leading makes its log durable before it votes.

use rookeeper_proto::ids::Zxid;
use rookeeper_proto::packet::from_leader::FromLeader;

use super::effect::{LeaderEffect, StepDown};
use super::{Leader, Phase};
use crate::committed::Entry;
use crate::epoch;
use crate::mutation::{Mutation, mutated};
use crate::progress::{LearnerId, LearnerKind, Progress, Stage};

impl Leader {
    /// The zxid of the next transaction; `None` before the epoch is established, and when the epoch is exhausted: then the
    /// leader steps down.
    pub fn next_zxid(&mut self, effects: &mut Vec<LeaderEffect>) -> Option<Zxid> {
        self.established()?;
        let over = self.last_proposed.counter() >= self.config.last_counter;
        if over && !mutated(Mutation::CounterRunsOver) {
            self.step_down(StepDown::CounterExhausted, effects);
            return None;
        }
        Some(self.last_proposed.next())
    }

    /// Proposes a transaction under the zxid that [`Self::next_zxid`] gives. False when it is not that one, and nothing is proposed:
    /// of several in a row the last ones may find the epoch exhausted.
    pub fn propose(&mut self, entry: Entry, now: i64, effects: &mut Vec<LeaderEffect>) -> bool {
        if self.next_zxid(effects) != Some(entry.zxid) {
            return false;
        }
        self.last_proposed = entry.zxid;
        for (to, progress) in &mut self.learners {
            if progress.is_registered() && progress.kind == LearnerKind::Follower {
                progress.proposed(entry.zxid, now);
                let Entry { zxid, txn } = entry.clone();
                let said = FromLeader::Proposal { zxid, txn };
                effects.push(LeaderEffect::Send { to: *to, said });
            }
        }
        self.outstanding.push_back(entry.clone());
        effects.push(LeaderEffect::Append(entry));
        true
    }

    /// A learner's client wants to know when everything that anybody has committed before now has reached that learner. Who leads no
    /// longer does not know that, so this waits for the commits of what is under way, and until a quorum is known to follow.
    pub fn sync(&mut self, from: LearnerId, now: i64, effects: &mut Vec<LeaderEffect>) {
        self.syncs.push_back((self.last_proposed, from));
        self.answer_syncs(now, effects);
    }

    /// Answers syncs for which everything before them is committed, if this is the leader for certain.
    pub(super) fn answer_syncs(&mut self, now: i64, effects: &mut Vec<LeaderEffect>) {
        if !self.syncs.is_empty() && now <= self.fresh_until(now) {
            self.answer_syncs_before(self.window.last().next(), effects);
        }
    }

    /// Answers those that came before `zxid` was proposed.
    fn answer_syncs_before(&mut self, zxid: Zxid, effects: &mut Vec<LeaderEffect>) {
        while let Some((_, to)) = self.syncs.pop_front_if(|(after, _)| *after < zxid) {
            let said = FromLeader::Sync;
            effects.push(LeaderEffect::Send { to, said });
        }
    }

    /// Transactions proposed and not committed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Where the commits are; the beginning of the epoch counts as one.
    #[must_use]
    pub const fn last_committed(&self) -> Zxid {
        self.window.last()
    }

    pub(super) fn synced(&mut self, zxid: Zxid, effects: &mut Vec<LeaderEffect>) {
        self.own_durable = self.own_durable.max(zxid);
        self.advance(effects);
    }

    /// The acknowledgement of NEWLEADER, or of a proposal. Those of older releases come in either order (ZOOKEEPER-4685).
    pub(super) fn acknowledged(
        &mut self,
        from: LearnerId,
        zxid: Zxid,
        now: i64,
        effects: &mut Vec<LeaderEffect>,
    ) {
        let begins = epoch::beginning(self.last_proposed.epoch());
        let established = self.established().is_some();
        let Some(progress) = self.learners.get_mut(&from) else {
            return;
        };
        if zxid == begins && matches!(progress.stage, Stage::Syncing(_)) {
            progress.activate(now);
            progress.deadline = self.clock.tick + self.config.sync_limit;
            if established {
                progress.begins_to_serve();
                let said = FromLeader::UpToDate;
                effects.push(LeaderEffect::Send { to: from, said });
            }
            self.try_establish(now, effects);
        } else if zxid.counter() != 0 && zxid <= self.last_proposed {
            progress.ack(zxid);
        }
        self.advance(effects);
    }

    /// Commits what a quorum has, in order.
    fn advance(&mut self, effects: &mut Vec<LeaderEffect>) {
        let Phase::Broadcasting(_) = self.phase else {
            return;
        };
        let mut durable: Vec<_> = self
            .learners
            .values()
            .filter_map(Progress::durable)
            .collect();
        durable.push((self.config.me, self.own_durable));
        while let Some(entry) = self.outstanding.front() {
            let zxid = entry.zxid;
            let has = |voter| {
                durable
                    .iter()
                    .any(|(server, to)| *server == voter && *to >= zxid)
            };
            let enough = self.verifiers.is_quorum(has)
                || (mutated(Mutation::CommitWithoutQuorum) && self.own_durable >= zxid);
            if !enough {
                return;
            }
            let Some(entry) = self.outstanding.pop_front() else {
                return;
            };
            self.commit(entry, effects);
        }
    }

    fn commit(&mut self, entry: Entry, effects: &mut Vec<LeaderEffect>) {
        let zxid = entry.zxid;
        // Their place is between the writes. What a quorum acknowledges now was proposed behind them: it follows this leader still.
        self.answer_syncs_before(zxid, effects);
        for (to, progress) in &self.learners {
            if !progress.is_registered() {
                continue;
            }
            let said = match progress.kind {
                LearnerKind::Follower => FromLeader::Commit(zxid),
                LearnerKind::Observer => FromLeader::Inform {
                    zxid,
                    txn: entry.txn.clone(),
                },
            };
            effects.push(LeaderEffect::Send { to: *to, said });
        }
        // Cannot be refused: zxids were given without a gap.
        let _ = self.window.push(entry.clone());
        effects.push(LeaderEffect::Commit(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::super::LeaderConfig;
    use super::super::effect::LeaderInput;
    use super::super::sync_limits::SyncLimits;
    use super::*;
    use crate::committed::CommittedWindow;
    use crate::epoch::LAST_COUNTER;
    use crate::membership::Membership;
    use rookeeper_proto::ids::ServerId;

    fn alone_in_epoch_two() -> Leader {
        let config = LeaderConfig {
            me: ServerId(1),
            membership: Membership::parse("server.1=a:1:2").unwrap(),
            reconfig_enabled: false,
            tick_ms: 1000,
            init_limit: 10,
            sync_limit: 5,
            force_snapshot: false,
            sync_limits: SyncLimits::default(),
            last_counter: LAST_COUNTER,
        };
        let (mut effects, window) = (Vec::new(), CommittedWindow::new(Zxid::new(1, 7), 500));
        let mut leader = Leader::new(config, 1, 1, window, 0, &mut effects);
        assert_eq!(leader.next_zxid(&mut effects), None, "not established");
        leader.handle(0, LeaderInput::AcceptedEpochWritten(2), &mut effects);
        leader.handle(0, LeaderInput::CurrentEpochWritten(2), &mut effects);
        leader
    }

    const fn entry(zxid: Zxid) -> Entry {
        let txn = bytes::Bytes::new();
        Entry { zxid, txn }
    }

    /// ZOOKEEPER-1277: the counter does not run over into the epoch; the last one is never given, and the leader steps down once.
    #[test]
    fn zookeeper_1277_an_exhausted_counter_ends_the_epoch() {
        let (mut effects, mut leader) = (Vec::new(), alone_in_epoch_two());
        assert_eq!(leader.next_zxid(&mut effects), Some(Zxid::new(2, 1)));
        let last = Zxid::new(2, LAST_COUNTER);
        leader.last_proposed = Zxid(last.0 - 1);
        effects.clear();
        assert_eq!(leader.next_zxid(&mut effects), Some(last));
        assert!(!leader.propose(entry(last.next()), 0, &mut effects));
        assert!(leader.propose(entry(last), 0, &mut effects));
        effects.clear();
        assert_eq!(leader.next_zxid(&mut effects), None);
        assert_eq!(leader.next_zxid(&mut effects), None);
        let why = StepDown::CounterExhausted;
        assert_eq!(effects, [LeaderEffect::StepDown(why)]);
    }

    /// Sessions that end in one tick are proposed one behind the other, and nobody asks for a zxid in between.
    #[test]
    fn zookeeper_1277_a_run_of_proposals_ends_with_the_counter() {
        let (mut effects, mut leader) = (Vec::new(), alone_in_epoch_two());
        leader.last_proposed = Zxid::new(2, LAST_COUNTER - 2);
        let zxids = (1..=4).map(|n| Zxid(leader.last_proposed.0 + n));
        let zxids: Vec<Zxid> = zxids.collect();
        let taken: Vec<bool> = zxids
            .iter()
            .map(|zxid| leader.propose(entry(*zxid), 0, &mut effects))
            .collect();
        assert_eq!(taken, [true, true, false, false]);
        let why = StepDown::CounterExhausted;
        assert_eq!(effects.last(), Some(&LeaderEffect::StepDown(why)));
    }
}
