//! Requests in their order: those that wait for their turn, and those on the wire.
//!
//! Invariant: deadlines never decrease from front to back, since every request has the same time.

use std::collections::VecDeque;
use std::time::Duration;

use rookeeper_proto::code::OpCode;
use rookeeper_proto::compose;
use rookeeper_proto::ids::Xid;
use tracing::Span;

use super::{AUTH_XID, Moment, Place, Removal, Request, WatchId};

/// A request that waits for its turn.
#[derive(Debug)]
struct Waiting<C> {
    flown: Flown<C>,
    frame: Vec<u8>,
}

/// A request on the wire.
#[derive(Debug)]
pub(crate) struct Flown<C> {
    /// Who waits for the answer; nobody any more if it took too long.
    pub(crate) call: Option<C>,
    pub(crate) op: OpCode,
    pub(crate) watch: Option<Place>,
    /// Nobody wants the watch any more.
    pub(crate) unwanted: bool,
    pub(crate) removes: Option<Removal>,
    /// From the call to the answer.
    span: Span,
    /// When it left.
    pub(crate) sent: Moment,
    xid: Xid,
    deadline: Moment,
}

impl<C> Flown<C> {
    fn silent(op: OpCode, deadline: Moment) -> Self {
        Self {
            call: None,
            op,
            watch: None,
            unwanted: false,
            removes: None,
            span: Span::none(),
            sent: Moment(Duration::ZERO),
            xid: Xid(0),
            deadline,
        }
    }

    pub(crate) fn watch_path(&self) -> Option<&str> {
        self.watch.as_ref().map(|(_, _, path)| &**path)
    }
}

/// All requests of a session.
#[derive(Debug)]
pub(crate) struct Flight<C> {
    waiting: VecDeque<Waiting<C>>,
    flying: VecDeque<Flown<C>>,
    max_flying: usize,
    xid: i32,
}

impl<C> Flight<C> {
    pub(crate) const fn new(max_flying: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            max_flying,
            xid: 0,
        }
    }

    /// Puts a request behind all others.
    pub(crate) fn queue(&mut self, request: Request<C>, deadline: Moment) {
        self.waiting.push_back(Waiting {
            flown: Flown {
                call: Some(request.call),
                watch: request.watch,
                removes: request.removes,
                span: request.span,
                ..Flown::silent(request.op, deadline)
            },
            frame: request.frame,
        });
    }

    /// The same for one whose answer interests nobody.
    pub(crate) fn queue_silent(&mut self, op: OpCode, frame: Vec<u8>, deadline: Moment) {
        self.waiting.push_back(Waiting {
            flown: Flown::silent(op, deadline),
            frame,
        });
    }

    /// Sends one at once, past those that wait.
    pub(crate) fn fly_silent(
        &mut self,
        now: Moment,
        op: OpCode,
        frame: Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let flown = Flown::silent(op, Moment::default());
        self.fly(now, Waiting { flown, frame }, out);
    }

    /// Lets requests leave into `out` while there is room on the wire, and until `out` has `limit` bytes.
    pub(crate) fn depart(&mut self, now: Moment, out: &mut Vec<u8>, limit: usize) {
        while out.len() < limit {
            let has_room = self.flying.len() < self.max_flying;
            let may_leave = |next: &mut Waiting<C>| has_room || next.flown.op == OpCode::Auth;
            let Some(next) = self.waiting.pop_front_if(may_leave) else {
                return;
            };
            self.fly(now, next, out);
        }
    }

    fn fly(&mut self, now: Moment, mut waiting: Waiting<C>, out: &mut Vec<u8>) {
        if waiting.flown.op == OpCode::Auth {
            // Its answers come by themselves, and find who asked without a number.
            compose::set_xid(&mut waiting.frame, AUTH_XID);
            return out.extend_from_slice(&waiting.frame);
        }
        waiting.flown.sent = now;
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        waiting.flown.xid = Xid(self.xid);
        compose::set_xid(&mut waiting.frame, waiting.flown.xid);
        waiting.flown.span.record("xid", self.xid);
        out.extend_from_slice(&waiting.frame);
        self.flying.push_back(waiting.flown);
    }

    /// The request that a reply is for: the oldest one, unless it is of a kind that `overtakes`.
    pub(crate) fn land(&mut self, xid: Xid, overtakes: bool) -> Option<Flown<C>> {
        if self.flying.front()?.xid == xid {
            return self.flying.pop_front();
        }
        let at = self.flying.iter().position(|flown| flown.xid == xid)?;
        let sasl = self.flying.get(at)?.op == OpCode::Sasl;
        (overtakes || sasl).then(|| self.flying.remove(at))?
    }

    /// What was on the wire when the connection broke.
    pub(crate) fn lost(&mut self) -> VecDeque<Flown<C>> {
        std::mem::take(&mut self.flying)
    }

    /// Nobody wants the watch any more that a request will leave. The request stays: whoever waits for its answer gets one.
    pub(crate) fn abandon(&mut self, id: WatchId) {
        let waiting = self.waiting.iter_mut().map(|waiting| &mut waiting.flown);
        let mut all = self.flying.iter_mut().chain(waiting);
        if let Some(flown) =
            all.find(|flown| flown.watch.as_ref().is_some_and(|(of, ..)| *of == id))
        {
            flown.unwanted = true;
        }
    }

    /// Who waited too long for what is on the wire. The requests keep their places; their answers will be nobody's.
    pub(crate) fn overdue(&mut self, now: Moment) -> Vec<C> {
        let late = self
            .flying
            .iter_mut()
            .take_while(|flown| flown.deadline <= now);
        late.filter_map(|flown| flown.call.take()).collect()
    }

    /// What waited too long for its turn. An identity leaves into `out` all the same: what is asked later needs it.
    pub(crate) fn stale(&mut self, now: Moment, out: &mut Vec<u8>) -> Vec<Flown<C>> {
        let mut stale = Vec::new();
        while let Some(late) = self.waiting.pop_front_if(|next| next.flown.deadline <= now) {
            match late.flown.op {
                OpCode::Auth => self.fly(now, late, out),
                _ => stale.push(late.flown),
            }
        }
        stale
    }

    /// The next time at which [`Flight::overdue`] or [`Flight::stale`] finds one.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let flying = self.flying.iter().find(|flown| flown.call.is_some());
        let waiting = self.waiting.front().map(|waiting| &waiting.flown);
        flying
            .into_iter()
            .chain(waiting)
            .map(|flown| flown.deadline)
            .min()
    }

    /// Takes back all of these kinds that have not left.
    pub(crate) fn withdraw(&mut self, of: impl Fn(OpCode) -> bool) -> Vec<Flown<C>> {
        let waiting = std::mem::take(&mut self.waiting);
        let (taken, left): (VecDeque<_>, VecDeque<_>) = waiting
            .into_iter()
            .partition(|waiting| of(waiting.flown.op));
        self.waiting = left;
        taken.into_iter().map(|waiting| waiting.flown).collect()
    }

    /// True while the end of the session is asked for, and somebody waits for the answer.
    pub(crate) fn is_closing(&self) -> bool {
        let waiting = self.waiting.iter().map(|waiting| &waiting.flown);
        let mut all = self.flying.iter().chain(waiting);
        all.any(|flown| flown.op == OpCode::CloseSession && flown.call.is_some())
    }

    /// Takes back the wish to end the session, if it has not left: who waits for that.
    pub(crate) fn withdraw_close(&mut self) -> Option<C> {
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|waiting| waiting.flown.op == OpCode::CloseSession)?;
        self.waiting.remove(at)?.flown.call
    }

    /// Empties it: who waits, and whether the request was sent.
    pub(crate) fn clear(&mut self) -> Vec<(C, bool)> {
        let flying = std::mem::take(&mut self.flying)
            .into_iter()
            .filter_map(|flown| Some((flown.call?, true)));
        let waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter_map(|waiting| Some((waiting.flown.call?, false)));
        flying.chain(waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_last_xid_comes_the_first() {
        let mut flight = Flight::<u32>::new(3);
        flight.xid = i32::MAX - 1;
        let mut out = Vec::new();
        for call in 1..=3 {
            let request = Request {
                call,
                op: OpCode::Sync,
                frame: compose::path(OpCode::Sync, "/"),
                watch: None,
                removes: None,
                span: Span::none(),
            };
            flight.queue(request, Moment::default());
        }
        flight.depart(Moment::default(), &mut out, usize::MAX);
        // Those below 1 have a meaning of their own.
        for (xid, call) in [(i32::MAX, 1), (1, 2), (2, 3)] {
            let landed = flight.land(Xid(xid), false).map(|flown| flown.call);
            assert_eq!(landed, Some(Some(call)), "{xid}");
        }
    }
}
