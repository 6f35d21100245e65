//! What a holder has in hand.
//!
//! **What a guard promises.** The server gives nobody else what is held as long as the holder's session lives, and this client is told
//! to stop before the session can end: [`Guard::lost`] resolves and [`Guard::is_held`] turns false when the connection is suspended.
//! When the same session is connected again, the guard is held as before. A program that stands still (a stopped process, a long
//! pause of the machine) learns of nothing meanwhile. Where this matters, hand [`Guard::token`] to whatever is protected, and let it
//! refuse tokens that are smaller than the largest it has seen.
//!
//! **After [`Guard::lost`], drop the guard.** A release waits until the server has done it, and so through an outage; a dropped guard
//! is released in the background as soon as that is possible.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use rookeeper_client::recipes::guard::Guard;
//! use rookeeper_client::{Error, Zxid};
//!
//! # async fn example(guard: Guard) -> Result<(), Error> {
//! tokio::select! {
//!     () = print(guard.token()) => {
//!         if !guard.release_within(Duration::from_secs(5)).await? {
//!             println!("printed; the release goes on in the background");
//!         }
//!     }
//!     () = guard.lost() => drop(guard),
//! }
//! # Ok(())
//! # }
//! # async fn print(_: Zxid) {}
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::mutex::within;
use super::place::Place;
use crate::{Client, Error, Zxid};

/// Something held: a lock, one of several leases, leadership. Dropping it releases in the background: the deletion is asked for at
/// once, before whatever the same client asks later, and is tried again until the session ends. Dropped where there is no tokio
/// runtime it is asked for once only; if that fails, the session's end releases it.
#[derive(Debug)]
#[must_use = "what is held is released when the guard is dropped"]
pub struct Guard {
    hold: Arc<Hold>,
}

/// What all guards of one owner share.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) place: Place,
    token: Zxid,
}

impl Guard {
    /// Of a place whose turn has come.
    pub(crate) fn of(place: Place) -> Self {
        let token = place.token();
        Self::with_token(place, token)
    }

    /// The same, where the right to hold is older than the place.
    pub(crate) fn with_token(place: Place, token: Zxid) -> Self {
        Self::again(&Arc::new(Hold { place, token }))
    }

    /// One more for what is held.
    pub(crate) fn again(hold: &Arc<Hold>) -> Self {
        Self {
            hold: Arc::clone(hold),
        }
    }

    pub(crate) const fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }

    pub(crate) fn client(&self) -> &Client {
        self.hold.place.client()
    }

    /// The place, if no other guard shares it.
    pub(crate) fn into_place(self) -> Option<Place> {
        Arc::into_inner(self.hold).map(|hold| hold.place)
    }

    /// The fencing token: the zxid at which the znode was created. Among those who hold one after another it only grows.
    #[must_use]
    pub fn token(&self) -> Zxid {
        self.hold.token
    }

    /// The znode, in the client's view.
    #[must_use]
    pub fn path(&self) -> &str {
        self.hold.place.path()
    }

    /// False while the connection is suspended, after the end of the session, and when the znode is known to be gone. That somebody
    /// has removed it is noticed by whoever waits for [`Guard::lost`].
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.place.is_held()
    }

    /// Waits until the holder must stop: the connection is suspended, the session has ended, or somebody has removed the znode.
    /// Returns at once if that is so already. Safe to cancel.
    pub async fn lost(&self) {
        self.hold.place.lost().await;
    }

    /// Releases, and returns when others can have it; tried again until it is done, through an outage too. An error says that the
    /// session ended before, and the hold with it. If another guard of the same owner is left, that one goes on holding.
    ///
    /// Safe to cancel: what is not done then is done in the background, as for a guard that is dropped.
    pub async fn release(self) -> Result<(), Error> {
        match self.into_place() {
            Some(place) => place.give_up().await,
            None => Ok(()),
        }
    }

    /// The same, waiting no longer than `time`. False says that it is not known to be done, and goes on in the background.
    pub async fn release_within(self, time: Duration) -> Result<bool, Error> {
        let released = within(time, self.release()).await?;
        Ok(released.is_some())
    }
}
