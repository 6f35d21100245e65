//! Runs something while being the leader, and lines up again.
//!
//! On the wire: a [`mutex`](super::mutex) whose data is the id as UTF-8, as with Curator's `LeaderSelector`.
//!
//! **The work is told, not stopped.** It gets a [`Guard`], and has to end soon after [`Guard::lost`] resolves; the selector waits for
//! it, and only then lines up again. Where everything may stop at any `await`, put it in a `select!` with that signal, as below.
//!
//! **Promises**: those of [`guard`](super::guard). It ends with the session, as every recipe does.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! use rookeeper_client::recipes::leader_selector::LeaderSelector;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let selector = LeaderSelector::new(&client, "/leader", "host-7");
//! selector
//!     .lead_repeatedly(|leading| async move {
//!         tokio::select! {
//!             () = tidy_up() => ControlFlow::Break(()),
//!             () = leading.lost() => ControlFlow::Continue(()),
//!         }
//!     })
//!     .await
//! # }
//! # async fn tidy_up() {}
//! ```

use std::ops::ControlFlow;

use super::guard::Guard;
use super::leader_latch::{Participant, participants};
use super::mutex::Mutex;
use crate::{Client, Error};

/// A candidate that does something when it leads. Cheap to make and to clone.
#[derive(Debug, Clone)]
pub struct LeaderSelector {
    mutex: Mutex,
}

impl LeaderSelector {
    /// For the line at `path`, with an id that others can read.
    #[must_use]
    pub fn new(client: &Client, path: &str, id: impl Into<String>) -> Self {
        Self {
            mutex: Mutex::new(client, path).data(id.into()),
        }
    }

    /// Waits until it leads, runs `work`, and leaves the line. Dropping the future drops the work and leaves the line. The same errors
    /// as [`Mutex::lock`]; one that comes after the work is not told.
    pub async fn lead<T, F: Future<Output = T>>(
        &self,
        work: impl FnOnce(Guard) -> F,
    ) -> Result<T, Error> {
        let guard = self.mutex.lock().await?;
        let done = work(Guard::again(guard.hold())).await;
        // It says that the session has ended; whatever is asked next says so too.
        let _ = guard.release().await;
        Ok(done)
    }

    /// Leads, and lines up again at the end, until the work breaks off or the session ends.
    pub async fn lead_repeatedly<T, F: Future<Output = ControlFlow<T>>>(
        &self,
        mut work: impl FnMut(Guard) -> F,
    ) -> Result<T, Error> {
        loop {
            if let ControlFlow::Break(done) = self.lead(&mut work).await? {
                return Ok(done);
            }
        }
    }

    /// Everybody in line, in order.
    pub async fn participants(&self) -> Result<Vec<Participant>, Error> {
        self.mutex.line().data().await.map(participants)
    }
}
