//! What a role tells the member about itself, and what the member keeps of it across roles.

use rookeeper_quorum::committed::Entry;
use rookeeper_quorum::epoch;

use super::effect::MemberEffect;
use super::{Member, following, leading};
use crate::input::Now;

impl Member {
    pub(super) fn note_leading(
        &mut self,
        now: Now,
        mut news: Vec<leading::News>,
        effects: &mut Vec<MemberEffect>,
    ) {
        for told in news.drain(..) {
            match told {
                leading::News::Established(epoch) => {
                    self.election.established(epoch);
                    self.standing.window.begin_epoch(epoch::beginning(epoch));
                }
                leading::News::Logged(entry) => self.note_logged(entry),
                leading::News::Committed(entry) => self.note_committed(entry),
                leading::News::Over(why) => {
                    self.step_down(now, why, effects);
                    return;
                }
            }
        }
        self.news.0 = news;
    }

    pub(super) fn note_following(
        &mut self,
        now: Now,
        mut news: Vec<following::News>,
        effects: &mut Vec<MemberEffect>,
    ) {
        for told in news.drain(..) {
            match told {
                following::News::Serving(epoch) => self.election.established(epoch),
                following::News::Logged(entry) => self.note_logged(entry),
                following::News::Committed(entry) => self.note_committed(entry),
                following::News::Over(why) => {
                    self.leave(now, why, effects);
                    return;
                }
            }
        }
        self.news.1 = news;
    }

    fn note_logged(&mut self, entry: Entry) {
        self.logged = entry.zxid;
        self.unapplied.push_back(entry);
    }

    fn note_committed(&mut self, entry: Entry) {
        self.unapplied
            .pop_front_if(|first| first.zxid == entry.zxid);
        self.remember(entry);
    }
}
