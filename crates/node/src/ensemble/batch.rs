//! Several inputs, one after the other, before what they want is performed: what goes to others goes together, and one sync serves all.
//!
//! What lives here: when that may wait. What does not: performing it.
//!
//! Invariant: the member never looks at a tree that lacks what is committed.

use std::mem;

use rookeeper_tree::tree::Tree;

use super::Member;
use super::effect::{MemberEffect, MemberInput};
use crate::input::Now;
use crate::mutation::{Mutation, mutated};

/// What a member wants, and is still to be performed.
#[derive(Debug, Default)]
pub struct Batch {
    effects: Vec<MemberEffect>,
    /// Some of them change the tree.
    unapplied: bool,
}

impl Batch {
    /// True when everything that is here has to be performed before `input` is handed in.
    #[must_use]
    pub fn goes_before(&self, input: &MemberInput) -> bool {
        self.unapplied && input.looks_at_tree() && !mutated(Mutation::JudgedBeforeApplied)
    }

    /// Hands `input` to the member, whose tree is `tree`. True when everything that is here then has to be performed before anything
    /// else is handed in.
    #[must_use = "the member must hear nothing else before that is performed"]
    pub fn hand_in(
        &mut self,
        member: &mut Member,
        tree: &Tree,
        now: Now,
        input: MemberInput,
    ) -> bool {
        let before = self.effects.len();
        member.handle(tree, now, input, &mut self.effects);
        let mut at_once = false;
        for effect in self.effects.iter().skip(before) {
            self.unapplied |= effect.changes_tree();
            at_once |= effect.comes_first();
        }
        at_once
    }

    /// What a member wanted when it was made.
    pub fn append(&mut self, effects: &mut Vec<MemberEffect>) {
        self.effects.append(effects);
    }

    /// All that is to be performed, in order. [`Self::performed`] follows.
    #[must_use]
    pub fn take(&mut self) -> Vec<MemberEffect> {
        mem::take(&mut self.effects)
    }

    /// That was done; `empty` is where it was, whose memory serves again.
    pub fn performed(&mut self, empty: Vec<MemberEffect>) {
        self.unapplied = false;
        self.effects = empty;
    }
}
