//! One of several is the leader, and stays it until it leaves or fails.
//!
//! On the wire: `<path>/_c_<UUID>-latch-NNNNNNNNNN`, ephemeral and sequential, its data the id as UTF-8; `<path>` is a container. The
//! first in line leads. The layout of Curator's `LeaderLatch`.
//!
//! **A candidate stays in line** as long as its latch is there. When the connection is suspended, a leader stops to be one; when the
//! same session is connected again, it is where it was in the line, and leads again if it is the first. When somebody has removed its
//! znode, it goes to the end of the line. (Curator's leader would not notice.)
//!
//! **It ends with the session.** A [`Client`] has one session for life, so a latch never goes on with another one:
//! [`Leadership::Ended`] tells why. Make a new client and a new latch.
//!
//! **Promises.** One leader at a time, as [`guard`](super::guard) says; [`Leadership::Leading`] has the fencing token. One waiter is
//! woken when a leader goes.
//!
//! ```no_run
//! use rookeeper_client::recipes::leader_latch::LeaderLatch;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let latch = LeaderLatch::join(&client, "/leader", "host-7");
//! loop {
//!     let token = latch.lead().await?;
//!     println!("I lead, with token {token}");
//!     latch.lost().await;
//! }
//! # }
//! ```

use bytes::Bytes;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::line::{Line, Rule, Waiting};
use crate::{Client, Error, State, Zxid};

/// What stands before the number.
const WORD: &str = "latch-";
/// Everybody who is ahead is waited for.
const RULE: Rule = Rule {
    words: &[WORD],
    blocks: |_| true,
    closed: true,
};

/// How a candidate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// In line, or on the way there. Also while the connection is suspended.
    Waiting,
    /// The first in line, with its fencing token.
    Leading(Zxid),
    /// It will never lead again: the session ended, the server refused, or the candidate left ([`Error::Closed`]).
    Ended(Error),
}

impl Leadership {
    const fn is_leading(&self) -> bool {
        matches!(self, Self::Leading(_))
    }
}

/// Somebody who is in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// As the candidate calls itself.
    pub id: String,
    /// The first in line.
    pub is_leader: bool,
}

/// A candidate. Dropping it leaves the line in the background.
#[derive(Debug)]
#[must_use = "a candidate leaves the line when it is dropped"]
pub struct LeaderLatch {
    client: Client,
    line: Line,
    leadership: watch::Receiver<Leadership>,
    /// Sending, or dropping it, tells the candidate to leave.
    leave: oneshot::Sender<()>,
    candidate: JoinHandle<Result<(), Error>>,
}

impl LeaderLatch {
    /// Goes into the line at `path`, in the background, with an id that others can read. Needs a tokio runtime.
    pub fn join(client: &Client, path: &str, id: impl Into<String>) -> Self {
        let (tell, leadership) = watch::channel(Leadership::Waiting);
        let (leave, left) = oneshot::channel();
        let line = Line::new(client, path, WORD, RULE);
        let candidate = Candidate {
            client: client.clone(),
            line: line.clone(),
            id: id.into().into(),
            tell,
        };
        Self {
            client: client.clone(),
            line,
            leadership,
            leave,
            candidate: tokio::spawn(candidate.run(left)),
        }
    }

    /// How it stands.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership.borrow().clone()
    }

    /// The same as a value to watch: every change wakes its readers, and the newest is what they find.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// True while it leads and the connection stands.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leadership.borrow().is_leading() && self.client.state() == State::Connected
    }

    /// Waits until it leads; the fencing token is the answer. An error says that it never will. Safe to cancel.
    pub async fn lead(&self) -> Result<Zxid, Error> {
        let mut leadership = self.leadership.clone();
        let decided = leadership.wait_for(|now| *now != Leadership::Waiting).await;
        match decided.as_deref() {
            Ok(Leadership::Leading(token)) => Ok(*token),
            Ok(Leadership::Ended(error)) => Err(error.clone()),
            Ok(Leadership::Waiting) | Err(_) => Err(Error::Closed),
        }
    }

    /// Waits until it does not lead any more: the connection is suspended, the session has ended, or its znode was removed. Returns at
    /// once if it does not lead. Safe to cancel.
    pub async fn lost(&self) {
        let mut leadership = self.leadership.clone();
        // An error says that nobody is there to lead.
        let _ = leadership.wait_for(|now| !now.is_leading()).await;
    }

    /// Everybody in line, in order.
    pub async fn participants(&self) -> Result<Vec<Participant>, Error> {
        self.line.data().await.map(participants)
    }

    /// Leaves the line, and returns when somebody else can lead. An error says why the candidate had ended before.
    pub async fn leave(self) -> Result<(), Error> {
        // Nobody there to be told: it has ended already.
        let _ = self.leave.send(());
        self.candidate.await.unwrap_or(Err(Error::Closed))
    }
}

/// Who has written these ids, in the order of the line.
pub(crate) fn participants(ids: Vec<Bytes>) -> Vec<Participant> {
    let participant = |(at, id): (usize, Bytes)| Participant {
        id: String::from_utf8_lossy(&id).into_owned(),
        is_leader: at == 0,
    };
    ids.into_iter().enumerate().map(participant).collect()
}

/// The task behind a latch.
struct Candidate {
    client: Client,
    line: Line,
    id: Bytes,
    tell: watch::Sender<Leadership>,
}

impl Candidate {
    /// Until it is told to leave, or cannot go on.
    async fn run(self, mut left: oneshot::Receiver<()>) -> Result<(), Error> {
        let end = self.stand(&mut left).await;
        let why = end.as_ref().err().unwrap_or(&Error::Closed);
        self.tell.send_replace(Leadership::Ended(why.clone()));
        match end? {
            Some(waiting) => waiting.into_place().give_up().await,
            None => Ok(()),
        }
    }

    /// One candidacy after the other, until an error ends them, or somebody wants it to leave. Its last place is the answer then.
    async fn stand(&self, left: &mut oneshot::Receiver<()>) -> Result<Option<Waiting>, Error> {
        // An error: the latch was dropped.
        while left.try_recv() == Err(TryRecvError::Empty) {
            // Not broken off by leaving: whoever has left on the way must know what became of the place.
            let mut waiting = self.line.join(self.id.clone()).await?;
            tokio::select! {
                biased;
                _ = &mut *left => return Ok(Some(waiting)),
                // Somebody has removed the place: another one at the end.
                error = self.wait_and_lead(&mut waiting) => if !error.is_no_node() {
                    return Err(error);
                },
            }
        }
        Ok(None)
    }

    /// Until the place is lost.
    async fn wait_and_lead(&self, waiting: &mut Waiting) -> Error {
        loop {
            if let Err(error) = waiting.turn().await {
                return error;
            }
            self.connected().await;
            let place = waiting.place();
            if !place.is_held() {
                continue;
            }
            self.tell.send_replace(Leadership::Leading(place.token()));
            place.lost().await;
            self.tell.send_replace(Leadership::Waiting);
        }
    }

    /// Waits until there is a server that can write: one that can only read may know nothing of the session's end.
    async fn connected(&self) {
        let mut states = self.client.states();
        while self.client.state() != State::Connected && states.next().await.is_some() {}
    }
}
