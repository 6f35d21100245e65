//! The task of one peer: its connection, the attempts to open one, what waits for it, and the news about it.
//!
//! A task owns all of it, so there is nothing to lock, and what is told about a peer is told in order.
//!
//! Invariants:
//! - At most one connection and one attempt. A new connection takes the place of the old one, about which nothing is said then.
//! - What was not written whole is written again on the next connection, or something newer.
//! - Between two takings of the inbox a peer puts so many votes into it, and then its socket has to wait.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_proto::ballot::{Address, Notification};
use rookeeper_proto::ids::ServerId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};
use tracing::{debug, info, warn};

use super::claims::{Claim, Claims};
use super::dial::{self, Dialed};
use super::link::{End, Link, News};
use super::members::Context;
use super::pace::{MAX_PAUSE, Pace};
use crate::inbox::Message;

/// Connections and calls of one peer that wait for its task.
const MAX_MAIL: usize = 8;
/// Votes of one peer that the inbox holds at most.
const MAX_BALLOTS_IN_INBOX: usize = 8;
/// Pause before the inbox is looked at again.
const INBOX_PAUSE: Duration = Duration::from_millis(2);
/// How long a peer that was called may take to connect back, before it is called again.
const CALL_BACK_PATIENCE: Duration = Duration::from_secs(1);
/// How long after a call the peer is expected to connect back: it does so at once, if it can.
const CALL_BACK_EXPECTED: Duration = Duration::from_millis(300);
/// How long a connection that ended may be missing before the peer counts as gone, when a newer one is on its way: the other side
/// closes the older one as soon as it knows of the newer, which may be before this server does.
const REPLACEMENT_PATIENCE: Duration = Duration::from_millis(200);
/// An attempt that takes longer is given up when the peer calls: it goes to where nobody is, or was when it began.
const STALE_ATTEMPT: Duration = Duration::from_millis(300);

/// What is to be reached, and what it is to be told.
#[derive(Debug, Default)]
struct Wanted {
    /// Counts restarts.
    era: u64,
    newest: Option<Notification>,
    /// From the configuration.
    places: Vec<Address>,
}

/// What comes for the task besides.
#[derive(Debug)]
pub(super) enum Mail {
    /// The peer has the higher id and has opened this connection.
    Adopt(Link, Claim),
    /// The peer has the lower id, and wants to be connected to, first where it says that it is.
    Call(Claim),
}

/// The way to the task; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Handle {
    wanted: watch::Sender<Wanted>,
    mail: mpsc::Sender<Mail>,
}

impl Handle {
    /// Replaces what waits.
    pub(super) fn send(&self, notification: Notification) {
        self.wanted
            .send_modify(|wanted| wanted.newest = Some(notification));
    }

    /// From the configuration.
    pub(super) fn set_places(&self, places: Vec<Address>) {
        self.wanted.send_if_modified(|wanted| {
            wanted.places = places;
            // Known at the next attempt, and no reason for one.
            false
        });
    }

    /// Closes the connection and forgets what waits.
    pub(super) fn restart(&self) {
        self.wanted.send_modify(|wanted| {
            wanted.era += 1;
            wanted.newest = None;
        });
    }

    /// False when too much waits already.
    #[must_use]
    pub(super) fn mail(&self, mail: Mail) -> bool {
        self.mail.try_send(mail).is_ok()
    }
}

/// The task.
#[derive(Debug)]
pub(super) struct Peer {
    id: ServerId,
    /// It has no id of its own, and ends with its connection.
    is_guest: bool,
    context: Arc<Context>,
    wanted: watch::Receiver<Wanted>,
    mail: mpsc::Receiver<Mail>,
    /// The restarts that are done.
    era: u64,
    link: Option<Link>,
    /// The newest notification was not written whole on this connection.
    unsent: bool,
    dialing: JoinSet<Dialed>,
    pace: Pace,
    /// The peer wants to be connected to, and is here.
    call: Option<Vec<Address>>,
    /// When the peer was called last.
    called: Option<Instant>,
    /// Who says to be this peer.
    claims: Claims,
    /// When to say that it is gone, unless it connects.
    gone_at: Option<Instant>,
    /// The trouble that was logged, until it is over.
    trouble: Option<&'static str>,
    /// How often the inbox had been emptied when `ballots` was counted from 0.
    turn: u64,
    ballots: usize,
}

/// What wakes the task.
#[derive(Debug)]
enum Event {
    Wanted,
    Mail(Mail),
    News(News),
    Dialed(Dialed),
    Time,
}

impl Peer {
    /// A member of the configuration.
    pub(super) fn member(
        id: ServerId,
        places: Vec<Address>,
        context: Arc<Context>,
    ) -> (Handle, Self) {
        let (wanted, wanted_of_task) = watch::channel(Wanted {
            places,
            ..Wanted::default()
        });
        let (mail, mail_of_task) = mpsc::channel(MAX_MAIL);
        let peer = Self {
            id,
            is_guest: false,
            context,
            wanted: wanted_of_task,
            mail: mail_of_task,
            era: 0,
            link: None,
            unsent: false,
            dialing: JoinSet::new(),
            pace: Pace::new(Instant::now()),
            call: None,
            called: None,
            claims: Claims::default(),
            gone_at: None,
            trouble: None,
            turn: 0,
            ballots: 0,
        };
        (Handle { wanted, mail }, peer)
    }

    /// An observer without an id.
    pub(super) fn guest(id: ServerId, link: Link, context: Arc<Context>) -> (Handle, Self) {
        let (handle, mut peer) = Self::member(id, Vec::new(), context);
        peer.is_guest = true;
        peer.establish(link);
        (handle, peer)
    }

    /// Runs until the handle is dropped; a guest, until its connection ends.
    pub(super) async fn run(mut self) {
        if !self.may_begin().await {
            return;
        }
        while !self.is_guest || self.link.is_some() {
            self.begin_what_is_due();
            match self.event().await {
                Some(Event::Wanted) => self.look_at_wanted(),
                Some(Event::Mail(mail)) => self.take_mail(mail),
                Some(Event::News(News::Heard(notification))) => self.hear(notification),
                // What came meanwhile is begun next.
                Some(Event::News(News::Written) | Event::Time) => {}
                Some(Event::News(News::Ended(end))) => self.lose(&end),
                Some(Event::Dialed(dialed)) => self.note_dialed(dialed),
                None => return,
            }
            self.say_gone_if_due();
        }
    }

    /// Waits until this server can be reached; false when nobody waits for it any more.
    async fn may_begin(&mut self) -> bool {
        let mut bound = self.context.bound.clone();
        let may = loop {
            tokio::select! {
                bound = bound.wait_for(|bound| *bound) => break bound.is_ok(),
                changed = self.wanted.changed() => if changed.is_err() {
                    break false;
                },
            }
        };
        // What was wanted meanwhile.
        self.look_at_wanted();
        may
    }

    async fn event(&mut self) -> Option<Event> {
        let room = self.has_room();
        let deadline = self.deadline(room);
        tokio::select! {
            changed = self.wanted.changed() => changed.ok().map(|()| Event::Wanted),
            mail = self.mail.recv() => mail.map(Event::Mail),
            news = news(&mut self.link), if room && self.link.is_some() => news.map(Event::News),
            dialed = self.dialing.join_next(), if !self.dialing.is_empty() => {
                let broken = || Dialed::Unanswered("the attempt broke off".to_owned());
                let dialed = dialed.and_then(Result::ok).unwrap_or_else(broken);
                Some(Event::Dialed(dialed))
            }
            () = until(deadline), if deadline.is_some() => Some(Event::Time),
        }
    }

    /// When there is something to do even if nothing happens.
    fn deadline(&self, room: bool) -> Option<Instant> {
        let dial = match self.dialing.is_empty() {
            true => self.wants_to_dial().then(|| self.pace.not_before()),
            false => self.stale_at().filter(|_| self.call.is_some()),
        };
        let inbox = (!room && self.link.is_some()).then(|| Instant::now() + INBOX_PAUSE);
        [dial, inbox, self.gone_at].into_iter().flatten().min()
    }

    /// True when a vote may be put into the inbox.
    fn has_room(&mut self) -> bool {
        let turn = self.context.inbox.turn();
        if turn != self.turn {
            (self.turn, self.ballots) = (turn, 0);
        }
        self.ballots < MAX_BALLOTS_IN_INBOX
    }

    fn begin_what_is_due(&mut self) {
        self.write_newest();
        let now = Instant::now();
        if self.call.is_some() && self.stale_at().is_some_and(|at| at <= now) {
            self.dialing = JoinSet::new();
        }
        if self.dialing.is_empty() && self.wants_to_dial() && self.pace.not_before() <= now {
            self.begin_dial(now);
        }
    }

    fn write_newest(&mut self) {
        let Some(link) = self.link.as_mut().filter(|link| !link.is_writing()) else {
            return;
        };
        if let (true, Some(newest)) = (self.unsent, &self.wanted.borrow().newest) {
            link.write(newest);
            self.unsent = false;
        }
    }

    fn wants_to_dial(&self) -> bool {
        let has_something_to_say = self.link.is_none() && self.unsent && !self.pace.is_tired();
        !self.is_guest && (self.call.is_some() || has_something_to_say)
    }

    /// When the attempt that is going on is too old for a peer that calls.
    fn stale_at(&self) -> Option<Instant> {
        self.pace.begun().map(|begun| begun + STALE_ATTEMPT)
    }

    fn begin_dial(&mut self, now: Instant) {
        self.pace.begin(now);
        let mut places = self.call.take().unwrap_or_default();
        for place in &self.wanted.borrow().places {
            if !places.contains(place) {
                places.push(place.clone());
            }
        }
        let attempt = dial::dial(Arc::clone(&self.context), self.id, places);
        self.dialing.spawn(attempt);
    }

    fn look_at_wanted(&mut self) {
        let wanted = self.wanted.borrow_and_update();
        let (era, has_newest) = (wanted.era, wanted.newest.is_some());
        drop(wanted);
        if era != self.era {
            self.begin_era(era);
        }
        self.unsent = has_newest;
        self.pace.encourage();
    }

    /// Closes the connection. Nothing is said about it: whoever restarts has forgotten what there was.
    fn begin_era(&mut self, era: u64) {
        debug!(
            "the election connection with server {} is closed for a restart",
            self.id
        );
        self.era = era;
        self.link = None;
        self.dialing = JoinSet::new();
        self.pace = Pace::new(Instant::now());
        (self.call, self.called, self.gone_at) = (None, None, None);
    }

    fn take_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Adopt(link, claim) => {
                self.note_claim(claim);
                // An attempt of this server would end with being called back once more.
                self.dialing = JoinSet::new();
                self.establish(link);
            }
            Mail::Call(claim) => {
                debug!("server {} asks to be connected to", self.id);
                self.pace.alive(Instant::now());
                // An older connection stays until the new one is up.
                self.call = Some(claim.places.clone());
                self.note_claim(claim);
            }
        }
    }

    /// Names two servers that take each other's place.
    fn note_claim(&mut self, claim: Claim) {
        let (id, now, from) = (self.id, Instant::now(), claim.from);
        let text = claim.text();
        if let Some(other) = self.claims.note(claim, now)
            && self.is_news(from, "same id", now)
        {
            warn!(
                "two servers have the same id {id} (myid): one is at {text}, the other at {}; they take each other's place all the time",
                other.text()
            );
        }
    }

    fn is_news(&self, of: IpAddr, what: &'static str, now: Instant) -> bool {
        self.context.complaints.is_news(of, what, now)
    }

    fn note_dialed(&mut self, dialed: Dialed) {
        let now = Instant::now();
        match dialed {
            Dialed::Open(stream, address) => {
                self.establish(Link::new(stream, address, bytes::BytesMut::new()));
            }
            Dialed::Called(address) => {
                debug!(
                    "server {} was called at {address}, and connects back",
                    self.id
                );
                self.called = Some(now);
                self.pace.wait(now, CALL_BACK_PATIENCE);
            }
            Dialed::Refused(why) => {
                self.pace.failed(now);
                self.note_trouble("refused", &why);
                if self.link.is_none() {
                    self.say_gone();
                }
            }
            Dialed::Unanswered(why) => {
                self.pace.failed(now);
                self.note_trouble("unanswered", &why);
            }
        }
    }

    fn establish(&mut self, link: Link) {
        let (id, address) = (self.id, link.address());
        if let Some(older) = self.link.replace(link) {
            self.note_replaced(&older, address);
        } else if self.is_guest {
            debug!("an observer without an id is connected for elections, from {address}");
        } else {
            info!("the election connection with server {id} is up ({address})");
        }
        (self.call, self.trouble, self.gone_at) = (None, None, None);
        self.unsent = self.wanted.borrow().newest.is_some();
        self.tell(MemberInput::PeerConnected(id));
    }

    fn note_replaced(&self, older: &Link, address: SocketAddr) {
        let (id, before) = (self.id, older.address());
        if before.ip() != address.ip() && self.is_news(address.ip(), "moved", Instant::now()) {
            warn!(
                "the election connection with server {id} at {before} is replaced by one with {address}: it moved, or two servers have the same id (myid)"
            );
        } else {
            debug!(
                "the election connection with server {id} is replaced by a newer one ({address})"
            );
        }
    }

    fn hear(&mut self, notification: Notification) {
        self.ballots += 1;
        let from = self.id;
        let ballot = MemberInput::Ballot { from, notification };
        self.context.inbox.send(Message::Member(ballot));
    }

    fn lose(&mut self, end: &End) {
        let Some(link) = self.link.take() else {
            return;
        };
        let (id, address, now) = (self.id, link.address(), Instant::now());
        if self.is_guest {
            debug!("the election connection with an observer at {address} ended: {end}");
            return;
        }
        info!("the election connection with server {id} ({address}) ended: {end}");
        if link.is_writing() || end.is_silence() {
            self.unsent = self.wanted.borrow().newest.is_some();
        }
        if link.has_proved_itself(MAX_PAUSE) {
            self.pace.alive(now);
        } else {
            self.pace.failed(now);
        }
        match self.expects_replacement(now) {
            true => self.gone_at = Some(now + REPLACEMENT_PATIENCE),
            false => self.say_gone(),
        }
    }

    /// True when a newer connection may be on its way: this server opens one for a peer that called, or the peer was called.
    fn expects_replacement(&self, now: Instant) -> bool {
        let lately = |called| now.saturating_duration_since(called) < CALL_BACK_EXPECTED;
        !self.dialing.is_empty() || self.called.is_some_and(lately)
    }

    fn say_gone_if_due(&mut self) {
        if self.gone_at.is_some_and(|at| at <= Instant::now()) {
            self.say_gone();
        }
    }

    fn say_gone(&mut self) {
        self.gone_at = None;
        self.tell(MemberInput::PeerGone(self.id));
    }

    /// News about the connection; nobody counts on a guest.
    fn tell(&self, news: MemberInput) {
        if !self.is_guest {
            self.context.inbox.send(Message::Member(news));
        }
    }

    /// Logs what keeps this server from the peer, once for each kind of trouble until it is over.
    fn note_trouble(&mut self, kind: &'static str, why: &str) {
        let id = self.id;
        if self.trouble == Some(kind) {
            debug!("Cannot open channel to {id} at election address {why}");
        } else {
            warn!("Cannot open channel to {id} at election address {why}; it is tried again");
        }
        self.trouble = Some(kind);
    }
}

async fn news(link: &mut Option<Link>) -> Option<News> {
    match link {
        Some(link) => Some(link.news().await),
        None => None,
    }
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        time::sleep_until(deadline).await;
    }
}
