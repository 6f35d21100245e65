//! What the member wants done, one effect after the other.
//!
//! Deliberate mistakes of a driver are made here too, when the switch says so (`mutation`).

use rookeeper_node::delivery::{self, Deliveries};
use rookeeper_node::effect::{Committed, Effect};
use rookeeper_node::ensemble::effect::{MemberEffect, MemberInput};
use rookeeper_node::input::Input;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_quorum::committed::Entry;
use rookeeper_quorum::leader::effect::StepDown;
use rookeeper_quorum::progress::LearnerId;
use rookeeper_quorum::sync_plan::LogRange;
use rookeeper_tree::auth::AuthConfig;

use super::{CONNECT_PATIENCE, Death, Joining, Process};
use crate::agenda::Event;
use crate::boundary::{Boundary, mutated};
use crate::checks::Seen;
use crate::disk;
use crate::network::{Cargo, Image};
use crate::scene::Scene;

impl Process {
    pub(super) fn perform(&mut self, effect: MemberEffect, scene: &mut Scene) -> Result<(), Death> {
        match effect {
            MemberEffect::Local(effect) => self.perform_local(effect, scene),
            MemberEffect::Ballot { to, notification } => {
                if let Some(link) = self.peers.get(&to) {
                    scene.send(*link, self.end(), Cargo::Ballot(notification.clone()));
                }
                self.ballots.insert(to, notification);
            }
            // The membership does not change here.
            MemberEffect::RestartElection => {}
            MemberEffect::Lead => self.leads = true,
            MemberEffect::LeadNoLonger(why) => {
                let server = self.who.server;
                scene.tell(|| format!("server {server} leads no longer: {why}"));
                if why == StepDown::CounterExhausted {
                    scene.count("exhausted epochs");
                }
                self.leads = false;
                for (_, link) in std::mem::take(&mut self.learners) {
                    scene.close(link, self.end());
                }
            }
            MemberEffect::ConnectLeader(leader) => self.seek(leader, scene),
            MemberEffect::FollowNoLonger(why) => {
                let server = self.who.server;
                scene.tell(|| match why {
                    Some(why) => format!("server {server} follows no longer: {why}"),
                    None => format!("server {server} follows no longer"),
                });
                if let Some(link) = self.leader {
                    scene.close(link, self.end());
                    self.forget_leader();
                }
            }
            MemberEffect::ToLeader(said) => {
                if let Some(link) = self.leader {
                    scene.send(link, self.end(), Cargo::ToLeader(said));
                }
            }
            MemberEffect::ToLearner { to, said } => self.say(to, said, scene),
            MemberEffect::CloseLearner { learner, why } => {
                let server = self.who.server;
                scene.tell(|| format!("server {server} closes learner {}: {why}", learner.0));
                if let Some(link) = self.learners.remove(&learner) {
                    scene.close(link, self.end());
                }
            }
            MemberEffect::LookUpLog { learner, peer } => {
                let log = self.store.around(peer);
                self.answer(MemberInput::LogFound { learner, log }, scene);
            }
            MemberEffect::SendLog { to, range } => self.send_log(to, range, scene),
            MemberEffect::SendImage { to, .. } => self.send_image(to, scene),
            other => self.perform_on_disk(other, scene)?,
        }
        Ok(())
    }

    fn seek(&mut self, leader: ServerId, scene: &mut Scene) {
        self.attempts += 1;
        let attempt = self.attempts;
        self.joining = Some(Joining {
            leader,
            until: scene.now + CONNECT_PATIENCE,
            attempt,
        });
        let who = self.who;
        scene.after(0, Event::Reach { who, attempt });
    }

    // Towards learners.

    fn say(&self, to: LearnerId, said: FromLeader, scene: &mut Scene) {
        match said {
            FromLeader::Diff(_) => scene.count("diffs"),
            FromLeader::Trunc(_) => scene.count("truncations ordered"),
            _ => {}
        }
        if let Some(link) = self.learners.get(&to) {
            scene.send(*link, self.end(), Cargo::ToLearner(said));
        }
    }

    fn send_log(&mut self, to: LearnerId, range: LogRange, scene: &mut Scene) {
        let Some(mut entries) = self.store.records(range) else {
            // What was there a moment ago cannot be read: the learner shall come again.
            if let Some(link) = self.learners.remove(&to) {
                scene.close(link, self.end());
                self.put(MemberInput::LearnerGone(to), scene);
            }
            return;
        };
        scene.count("diffs from the log");
        if mutated(Boundary::LogRangeWithoutFirst) && entries.len() > 1 {
            entries.remove(0);
        }
        for Entry { zxid, txn } in entries {
            self.say(to, FromLeader::Proposal { zxid, txn }, scene);
            self.say(to, FromLeader::Commit(zxid), scene);
        }
    }

    fn send_image(&mut self, to: LearnerId, scene: &mut Scene) {
        scene.count("states sent");
        let zxid = self.tree.last_zxid();
        let (Some(mut body), Some(link)) = (disk::body_of(&mut self.tree), self.learners.get(&to))
        else {
            return;
        };
        if mutated(Boundary::EmptyImage) {
            body = disk::body_of(&mut disk::empty_tree()).unwrap_or_default();
        }
        scene.send(*link, self.end(), Cargo::Image(Image { zxid, body }));
    }

    // The own disk.

    fn perform_on_disk(&mut self, effect: MemberEffect, scene: &mut Scene) -> Result<(), Death> {
        let replaces = matches!(
            effect,
            MemberEffect::Truncate(_) | MemberEffect::LoadImage(_) | MemberEffect::Reload
        );
        if replaces && !mutated(Boundary::ClientsKeptAcrossHistories) {
            let connections = self.kept.history_replaced();
            self.dismiss_guests(connections, scene);
        }
        match effect {
            MemberEffect::WriteAcceptedEpoch(epoch) => {
                if !mutated(Boundary::PromiseNotWritten) {
                    self.store.accept(epoch)?;
                }
                self.show_epochs(scene);
                let server = self.who.server;
                scene.see(&Seen::Promised { server, epoch });
                self.answer(MemberInput::AcceptedEpochWritten(epoch), scene);
            }
            MemberEffect::WriteCurrentEpoch(epoch) => {
                if !mutated(Boundary::EpochNotWritten) {
                    self.store.enter(epoch)?;
                }
                self.show_epochs(scene);
                let server = self.who.server;
                scene.see(&Seen::Entered { server, epoch });
                self.answer(MemberInput::CurrentEpochWritten(epoch), scene);
            }
            MemberEffect::Truncate(to) => self.truncate(to, scene)?,
            MemberEffect::LoadImage(zxid) if self.images.is_empty() => {
                self.wants_image = Some(zxid);
            }
            MemberEffect::LoadImage(zxid) => self.load_image(zxid, scene)?,
            MemberEffect::SaveImage(zxid) => self.save_image(zxid, scene)?,
            MemberEffect::Reload => {
                self.tree = self.store.reload()?;
                scene.count("states given up");
                self.replaced(true, scene);
                self.answer(MemberInput::ImageLoaded(false), scene);
            }
            MemberEffect::BeginEpoch(beginning) => self.begin_epoch(beginning, scene),
            MemberEffect::Serve => self.serve(scene),
            MemberEffect::ServeNoLonger => {
                self.serves = false;
                self.interrupt_guests(scene);
            }
            // Everything else was performed before.
            _ => {}
        }
        Ok(())
    }

    fn truncate(&mut self, to: Zxid, scene: &mut Scene) -> Result<(), Death> {
        scene.count("truncations");
        if mutated(Boundary::TruncationSkipped) {
            self.answer(MemberInput::Truncated(true), scene);
            return Ok(());
        }
        if mutated(Boundary::TruncationOfTheTreeOnly) {
            return self.truncate_tree(to, scene);
        }
        let left = self.store.truncate(to)?;
        let done = left.is_some();
        let server = self.who.server;
        scene.tell(|| format!("server {server} cuts its log at {to}: {done}"));
        if let Some(tree) = left {
            scene.count("logs cut in the middle of a life");
            self.unsaved = 0;
            if !mutated(Boundary::TruncationOfTheDiskOnly) {
                self.tree = tree;
            }
            self.replaced(true, scene);
        }
        self.answer(MemberInput::Truncated(done), scene);
        Ok(())
    }

    /// The history ends elsewhere now; `durable` says that the disk has all of it.
    fn replaced(&mut self, durable: bool, scene: &mut Scene) {
        let (who, last) = (self.who, self.tree.last_zxid());
        self.log_end = scene.checks.ledger().transaction(last);
        scene.see(&Seen::Replaced {
            who,
            tree: &self.tree,
        });
        if durable {
            let server = who.server;
            scene.see(&Seen::Durable { server, last });
        }
    }

    /// A mistake: memory goes back, and the files do not.
    fn truncate_tree(&mut self, to: Zxid, scene: &mut Scene) -> Result<(), Death> {
        self.tree = self.store.reload_through(to)?;
        self.replaced(false, scene);
        self.answer(MemberInput::Truncated(true), scene);
        Ok(())
    }

    pub(super) fn load_image(&mut self, zxid: Zxid, scene: &mut Scene) -> Result<(), Death> {
        let image = self.images.pop_front();
        let loaded = image.and_then(|image| {
            let zxid = if mutated(Boundary::EmptyImage) {
                zxid
            } else {
                image.zxid
            };
            disk::tree_of(&image.body, zxid)
        });
        let (server, done) = (self.who.server, loaded.is_some());
        scene.tell(|| format!("server {server} loads the leader's state {zxid}: {done}"));
        if let Some(tree) = loaded {
            self.tree = tree;
            self.replaced(false, scene);
        }
        self.answer(MemberInput::ImageLoaded(done), scene);
        Ok(())
    }

    fn save_image(&mut self, zxid: Zxid, scene: &mut Scene) -> Result<(), Death> {
        if !mutated(Boundary::ImageNotSaved) {
            self.store.replace(&mut self.tree)?;
            self.unsaved = 0;
            self.replaced(true, scene);
        }
        self.answer(MemberInput::ImageSaved(zxid), scene);
        Ok(())
    }

    // Roles.

    fn begin_epoch(&mut self, beginning: Zxid, scene: &mut Scene) {
        let who = self.who;
        scene.count("elections");
        scene.tell(|| format!("server {} leads epoch {}", who.server, beginning.epoch()));
        scene.see(&Seen::Serves {
            who,
            leads: true,
            epoch: beginning.epoch(),
            tree: &self.tree,
        });
        scene.see(&Seen::Begins { who, beginning });
        self.tree.begin_epoch(beginning);
    }

    fn serve(&mut self, scene: &mut Scene) {
        self.serves = true;
        self.greet_guests(scene);
        let who = self.who;
        scene.tell(|| format!("server {} serves", who.server));
        if !self.leads {
            scene.see(&Seen::Serves {
                who,
                leads: false,
                epoch: self.store.current(),
                tree: &self.tree,
            });
        }
    }

    // What a standalone server would want too.

    fn perform_local(&mut self, effect: Effect, scene: &mut Scene) {
        match effect {
            Effect::Append { zxid, record } => self.append(Entry { zxid, txn: record }, scene),
            Effect::Apply(committed) => self.apply(&committed, scene),
            other => self.tell_guests(other, scene),
        }
    }

    fn append(&mut self, entry: Entry, scene: &mut Scene) {
        let (who, after) = (self.who, self.log_end);
        scene.see(&Seen::Logged {
            who,
            after,
            entry: &entry,
        });
        let zxid = entry.zxid;
        self.log_end = zxid;
        self.wanted = Some(zxid);
        self.unsaved += 1;
        if !(mutated(Boundary::AppendLost) && scene.dice.permille(30)) {
            self.unwritten.push_back(entry);
        }
        if mutated(Boundary::AckBeforeSync) {
            self.put(MemberInput::Local(Input::Synced(zxid)), scene);
        }
        let early = mutated(Boundary::EpochBeforeHistory) && !self.serves;
        if early {
            self.put(MemberInput::Local(Input::Synced(zxid)), scene);
        }
        self.want_sync(scene);
    }

    fn apply(&mut self, committed: &Committed, scene: &mut Scene) {
        let mut out = Deliveries::default();
        let auth = AuthConfig::default();
        let (tree, watches) = (&mut self.tree, &mut self.watches);
        let as_promised = delivery::commit(committed, tree, watches, &auth, &mut out);
        let (who, header) = (self.who, &committed.header);
        scene.tell(|| {
            let why = if self.serves { "" } else { ", unserved" };
            let (session, cxid) = (header.session, header.cxid);
            format!(
                "server {} applies {} of {session}, {cxid}{why}",
                who.server, header.zxid
            )
        });
        scene.see(&Seen::Applied {
            who,
            header,
            tree: &self.tree,
            committed: self.serves,
            as_promised,
        });
        self.deliver(&out, scene);
    }
}

/// A mistake: effects in another order than the member wanted them.
pub(super) fn disorder(effects: &mut [MemberEffect], scene: &mut Scene) {
    if !mutated(Boundary::ApplyOutOfOrder) {
        return;
    }
    let is_apply = |effect: &MemberEffect| matches!(effect, MemberEffect::Local(Effect::Apply(_)));
    let places: Vec<usize> = (0..effects.len())
        .filter(|at| is_apply(&effects[*at]))
        .collect();
    if let [first, second, ..] = places[..]
        && scene.dice.permille(300)
    {
        effects.swap(first, second);
    }
}
