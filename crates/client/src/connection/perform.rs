//! What a session wants, done: answers, events, states.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tracing::field::display;
use tracing::{info, warn};

use super::{Caller, Connection};
use crate::error::{Disconnection, Error};
use crate::session::{Effect, WatchId};
use crate::state::State;
use crate::watch::{Signal, Sink};

impl Connection {
    /// Does what the session wants.
    pub(super) fn perform(&mut self) {
        // Before anybody hears of what came: whoever does finds it here.
        self.show_zxid();
        let mut answered = 0;
        for effect in self.session.take_effects() {
            match effect {
                Effect::Answer(Caller::Counted(call), answer) => {
                    answered += 1;
                    // Whoever asked need not wait.
                    let _ = call.send(answer);
                }
                Effect::Answer(Caller::Uncounted(call), answer) => {
                    let _ = call.send(answer);
                }
                Effect::Answer(Caller::Nobody, _) => {}
                Effect::Event(id, event) => self.tell(id, Signal::Event(event)),
                Effect::Interrupted(id) => self.tell(id, Signal::Interrupted),
                Effect::Restored(id) => self.tell(id, Signal::Restored),
                Effect::Ended(id, error) => self.end_watch(id, error),
                Effect::State(state) => self.show(state),
                Effect::Challenge(token) => self.challenge(token),
                Effect::HangUp(why) => self.hang_up = Some(why),
            }
        }
        if answered > 0 {
            self.status.waiting.fetch_sub(answered, Ordering::Relaxed);
        }
    }

    fn show_zxid(&mut self) {
        let zxid = self.session.last_zxid();
        if zxid != self.shown_zxid {
            self.shown_zxid = zxid;
            self.status.shown.lock().zxid = zxid;
        }
    }

    fn tell(&mut self, id: WatchId, signal: Signal) {
        match self.sinks.get(&id) {
            Some(Sink::Stream(signals)) => signals.push(signal),
            Some(Sink::Once(_)) => {
                if let (Some(Sink::Once(sender)), Signal::Event(event)) =
                    (self.sinks.remove(&id), signal)
                {
                    // Whoever watched need not look.
                    let _ = sender.send(Ok(event));
                }
            }
            None => {}
        }
    }

    fn end_watch(&mut self, id: WatchId, error: Error) {
        match self.sinks.remove(&id) {
            Some(Sink::Stream(signals)) => signals.end(),
            Some(Sink::Once(sender)) => {
                let _ = sender.send(Err(error));
            }
            None => {}
        }
    }

    fn show(&mut self, state: State) {
        let mut shown = self.status.shown.lock();
        shown.state = state;
        shown.timeout = self.session.timeout();
        if let Some((session, password)) = self.session.identity() {
            if shown.session != session {
                self.span.record("session", display(session));
            }
            shown.session = session;
            shown.password = password.to_vec();
        }
        shown
            .listeners
            .retain(|listener| listener.send(state).is_ok());
        if state.is_final() {
            shown.listeners.clear();
        }
        let session = shown.session;
        drop(shown);
        match state {
            State::Expired | State::AuthFailed => warn!(%session, ?state, "the session has ended"),
            _ => info!(%session, ?state, "session"),
        }
    }

    fn challenge(&mut self, token: Option<Bytes>) {
        let now = self.now();
        let step = match &mut self.mechanism {
            Some(mechanism) => mechanism.step(token.as_deref()),
            None => Ok(None),
        };
        match step {
            Ok(Some(answer)) => self.session.say_token(now, &answer),
            Ok(None) => self.session.proved(now),
            Err(why) => {
                self.session.refuse();
                self.hang_up = Some(Disconnection::Sasl(why));
            }
        }
    }
}
