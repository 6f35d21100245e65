//! The task behind one member: it looks at who is there, and takes leases or gives them back.
//!
//! What lives here: all requests of a member, and what it knows of its own leases. What does not: how many it should have (`share`).
//!
//! Invariants:
//! - A round can be dropped at any moment: a lease that is being created is in doubt before the request leaves, and is settled in
//!   the next round; one that is being deleted is known until the answer has come.
//! - A lease is handed out only while the connection stands, and deleted only after it was returned.
//! - Every lease is watched: what somebody else has deleted is not this member's any more, and is not deleted by it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::held::{Held, Stage, any_rings};
use super::lease::Lease;
use super::share::{WORD, share};
use crate::recipes::protected::{Protected, delete, join, make_parents, split};
use crate::recipes::wake::woken;
use crate::{Client, CreateOptions, Data, Error, SessionId, State, States, Watch, Zxid};

/// Digits in the name of a lease.
const DIGITS: usize = 10;
/// Leases that are asked for at once.
const TAKEN_AT_ONCE: usize = 100;
/// Pause after a request that may succeed later.
const PAUSE: Duration = Duration::from_millis(100);

/// A member.
pub(super) struct Member {
    client: Client,
    members: String,
    leases: String,
    partitions: u32,
    znode: Protected,
    name: String,
    held: BTreeMap<u32, Held>,
    /// Leases that may have been created for this member without an answer.
    doubtful: BTreeSet<u32>,
    leaving: bool,
    gains: mpsc::UnboundedSender<Lease>,
    returns: mpsc::UnboundedSender<u32>,
    returned: mpsc::UnboundedReceiver<u32>,
}

/// What a member waits for after a round.
#[derive(Default)]
struct Waiting {
    members: Option<Watch>,
    leases: Option<Watch>,
    again: bool,
}

impl Member {
    pub(super) async fn join(
        client: &Client,
        path: String,
        partitions: u32,
        gains: mpsc::UnboundedSender<Lease>,
    ) -> Result<Self, Error> {
        let members = join(&path, "members");
        let options = CreateOptions::ephemeral_sequential();
        let znode = Protected::new(client, &join(&members, WORD), "", options);
        let (returns, returned) = mpsc::unbounded_channel();
        let mut member = Self {
            client: client.clone(),
            members,
            leases: join(&path, "leases"),
            partitions,
            znode,
            name: String::new(),
            held: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            leaving: false,
            gains,
            returns,
            returned,
        };
        let created = member.znode.create().await?;
        member.name = split(&created.path).1.to_owned();
        Ok(member)
    }

    /// Until the session ends, or the member has left.
    pub(super) async fn run(mut self, mut states: States, mut leave: watch::Receiver<bool>) {
        loop {
            let round = tokio::select! {
                biased;
                state = states.next() => {
                    if self.hear(state) { continue } else { break }
                }
                round = self.round() => round,
            };
            let Ok(waiting) = round.or_else(retriable) else {
                break;
            };
            if self.has_left() {
                break;
            }
            let goes_on = tokio::select! {
                biased;
                state = states.next() => self.hear(state),
                // Before what was returned: nobody takes up what a member that leaves is given.
                left = leave.wait_for(|leave| *leave), if !self.leaving => {
                    // An error: the partitioner was dropped.
                    drop(left);
                    self.recall_all();
                    true
                }
                partition = self.returned.recv() => self.take_back(partition),
                () = any_rings(&mut self.held) => true,
                event = waiting.end() => event.is_ok(),
            };
            if !goes_on {
                break;
            }
        }
        self.end().await;
    }

    fn has_left(&self) -> bool {
        self.leaving && self.held.is_empty() && self.doubtful.is_empty()
    }

    /// False at the end of the session.
    fn hear(&mut self, state: Option<State>) -> bool {
        match state {
            Some(State::Suspended | State::ReadOnly) => {
                self.held.values_mut().for_each(Held::pause);
                true
            }
            Some(state) => !state.is_final(),
            None => false,
        }
    }

    /// Somebody has dropped a lease.
    fn take_back(&mut self, partition: Option<u32>) -> bool {
        let mut next = partition;
        while let Some(partition) = next {
            match self.held.get_mut(&partition) {
                Some(held) if matches!(held.stage, Stage::Gone) => {
                    self.held.remove(&partition);
                }
                Some(held) => {
                    held.stage = match held.stage {
                        Stage::Paused(_) if !self.leaving => Stage::Idle,
                        _ => Stage::Returned,
                    };
                }
                None => {}
            }
            next = self.returned.try_recv().ok();
        }
        true
    }

    fn recall_all(&mut self) {
        self.leaving = true;
        self.held.values_mut().for_each(Held::recall);
    }

    /// Looks at everything, and does what there is to do now.
    async fn round(&mut self) -> Result<Waiting, Error> {
        if self.client.state() != State::Connected {
            return Ok(Waiting::default());
        }
        self.check_unwatched().await?;
        self.delete_returned().await?;
        self.resolve_doubts().await?;
        if self.leaving {
            self.held.values_mut().for_each(Held::recall);
            self.delete_returned().await?;
            return Ok(Waiting::default());
        }
        let (share, members) = self.share().await?;
        // Whatever happened to leases before that answer is known by now.
        self.check_unwatched().await?;
        self.recall_excess(share);
        self.delete_returned().await?;
        self.hand_out_idle();
        let leases = self.take_missing(share).await?;
        self.check_unwatched().await?;
        Ok(Waiting {
            members: Some(members),
            leases,
            again: false,
        })
    }

    async fn share(&mut self) -> Result<(usize, Watch), Error> {
        let partitions = usize::try_from(self.partitions).unwrap_or(usize::MAX);
        loop {
            match self.client.children_watched(&self.members).await {
                Ok((list, watch)) => {
                    let names = self.without_doubles(list.names).await?;
                    if let Some(share) = share(partitions, &names, &self.name) {
                        return Ok((share, watch));
                    }
                }
                Err(error) if error.is_no_node() => {}
                Err(error) => return Err(error),
            }
            // Somebody has deleted the znode of this member. What is left of an attempt is found by the next.
            let created = match self.znode.find().await? {
                Some(created) => created,
                None => self.znode.create_and_keep().await?,
            };
            self.name = split(&created.path).1.to_owned();
        }
    }

    /// Deletes what a create of a broken connection has left late: nobody would take the share of such a member.
    async fn without_doubles(&self, mut names: Vec<String>) -> Result<Vec<String>, Error> {
        let prefix = self.znode.prefix();
        let is_double = |name: &mut String| name.starts_with(&prefix) && *name != self.name;
        let doubles: Vec<String> = names.extract_if(.., is_double).collect();
        for double in doubles {
            delete(&self.client, &join(&self.members, &double)).await?;
        }
        Ok(names)
    }

    async fn delete_returned(&mut self) -> Result<(), Error> {
        let returned = |held: &Held| matches!(held.stage, Stage::Returned);
        let going: Vec<u32> = self
            .held
            .iter()
            .filter(|(_, held)| returned(held))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in going {
            delete(&self.client, &self.lease(partition)).await?;
            self.held.remove(&partition);
        }
        Ok(())
    }

    /// Watches those that are not watched, all at once, and finds out which of them somebody else has deleted.
    async fn check_unwatched(&mut self) -> Result<(), Error> {
        self.held.values_mut().for_each(Held::drop_rung);
        let unwatched = self.held.iter().filter(|(_, held)| held.wants_watch());
        let calls: Vec<_> = unwatched
            .map(|(partition, _)| {
                let call = self.client.data_watched(&self.lease(*partition));
                (*partition, call)
            })
            .collect();
        for (partition, call) in calls {
            let (token, watch) = match call.await {
                Ok((data, watch)) => (self.token_of(&data), Some(watch)),
                Err(error) if error.is_no_node() => (None, None),
                Err(error) => return Err(error),
            };
            if let Some(held) = self.held.get_mut(&partition) {
                if token == Some(held.token) {
                    held.watch = watch;
                } else if held.is_taken_away() {
                    self.held.remove(&partition);
                }
            }
        }
        Ok(())
    }

    /// Creates again what was created without an answer, instead of looking for it: it may still be on its way, and happen after the
    /// look.
    async fn resolve_doubts(&mut self) -> Result<(), Error> {
        let options = CreateOptions::ephemeral();
        for partition in self.doubtful.clone() {
            let path = self.lease(partition);
            let created = self.client.create(&path, self.znode.uuid(), &options);
            let token = match created.await {
                Ok(created) => Some(created.stat.czxid),
                Err(error) if error.is_node_exists() => self.own_token(partition).await?,
                Err(error) if error.is_no_node() => None,
                Err(error) => return Err(error),
            };
            if let Some(token) = token {
                self.held.insert(partition, Held::idle(token));
            }
            self.doubtful.remove(&partition);
        }
        Ok(())
    }

    /// The token of a lease, if it is there and is this member's.
    async fn own_token(&self, partition: u32) -> Result<Option<Zxid>, Error> {
        match self.client.data(&self.lease(partition)).await {
            Ok(data) => Ok(self.token_of(&data)),
            Err(error) if error.is_no_node() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The token of a lease that was read, if it is this member's.
    fn token_of(&self, data: &Data) -> Option<Zxid> {
        let own = SessionId(data.stat.ephemeral_owner) == self.client.session()
            && data.bytes == self.znode.uuid().as_bytes();
        own.then_some(data.stat.czxid)
    }

    /// How many this member has and wants to keep.
    fn kept(&self) -> usize {
        self.held.values().filter(|held| held.is_kept()).count()
    }

    /// Those that nobody works on go first.
    fn recall_excess(&mut self, share: usize) {
        let mut excess = self.kept().saturating_sub(share);
        for idle in [true, false] {
            for held in self.held.values_mut().rev() {
                if excess > 0 && held.is_kept() && matches!(held.stage, Stage::Idle) == idle {
                    held.recall();
                    excess -= 1;
                }
            }
        }
    }

    fn hand_out_idle(&mut self) {
        let idle = self
            .held
            .iter_mut()
            .filter(|(_, held)| matches!(held.stage, Stage::Idle));
        for (partition, held) in idle {
            let (stop, stopped) = watch::channel(false);
            held.stage = Stage::Working(stop);
            // Nobody there to have it: it comes back as it is dropped.
            let _ = self.gains.send(Lease {
                partition: *partition,
                token: held.token,
                client: self.client.clone(),
                stop: stopped,
                returns: self.returns.clone(),
            });
        }
    }

    /// Creates leases that are missing until the share is full. If it is not, a watch tells when another one becomes free.
    async fn take_missing(&mut self, share: usize) -> Result<Option<Watch>, Error> {
        while self.kept() < share {
            let (names, watch) = self.list_leases().await?;
            let taken: BTreeSet<String> = names.into_iter().collect();
            let free = |partition: &u32| !taken.contains(&lease_name(*partition));
            let mine = |partition: &u32| self.held.contains_key(partition);
            let wanted = (share - self.kept()).min(TAKEN_AT_ONCE);
            let missing: Vec<u32> = (0..self.partitions)
                .filter(|partition| free(partition) && !mine(partition))
                .take(wanted)
                .collect();
            if missing.is_empty() {
                return Ok(Some(watch));
            }
            self.create(missing).await?;
            self.hand_out_idle();
        }
        Ok(None)
    }

    async fn list_leases(&self) -> Result<(Vec<String>, Watch), Error> {
        loop {
            match self.client.children_watched(&self.leases).await {
                Ok((list, watch)) => return Ok((list.names, watch)),
                Err(error) if error.is_no_node() => {
                    make_parents(&self.client, &join(&self.leases, "any")).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// All at once. Those that somebody else has been faster with are not ours.
    async fn create(&mut self, partitions: Vec<u32>) -> Result<(), Error> {
        let options = CreateOptions::ephemeral();
        self.doubtful.extend(&partitions);
        let calls: Vec<_> = partitions
            .into_iter()
            .map(|partition| {
                let path = self.lease(partition);
                (
                    partition,
                    self.client.create(&path, self.znode.uuid(), &options),
                )
            })
            .collect();
        for (partition, call) in calls {
            match call.await {
                Ok(created) => {
                    let held = Held::idle(created.stat.czxid);
                    self.held.insert(partition, held);
                }
                Err(error) if error.is_node_exists() || error.is_no_node() => {}
                Err(error) => return Err(error),
            }
            self.doubtful.remove(&partition);
        }
        Ok(())
    }

    fn lease(&self, partition: u32) -> String {
        join(&self.leases, &lease_name(partition))
    }

    /// The session is over, or a server has refused something, or all leases are deleted.
    async fn end(mut self) {
        self.recall_all();
        while !self.client.state().is_final() {
            let deleted = self.delete_returned().await;
            if deleted.is_err() || self.held.is_empty() {
                break;
            }
            let partition = self.returned.recv().await;
            self.take_back(partition);
        }
        // An error says that the session is over, and the znode with it.
        let _ = self.znode.remove().await;
    }
}

impl Waiting {
    /// Until something has happened that concerns this member.
    async fn end(self) -> Result<(), Error> {
        let again = async {
            if self.again {
                sleep(PAUSE).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            event = event(self.members) => event,
            event = event(self.leases) => event,
            () = again => Ok(()),
        }
    }
}

async fn event(watch: Option<Watch>) -> Result<(), Error> {
    match watch {
        Some(watch) => woken(watch).await,
        None => std::future::pending().await,
    }
}

/// Trouble that may pass: another round soon.
fn retriable(error: Error) -> Result<Waiting, Error> {
    if !error.is_retriable() {
        return Err(error);
    }
    Ok(Waiting {
        again: true,
        ..Waiting::default()
    })
}

fn lease_name(partition: u32) -> String {
    format!("{partition:0DIGITS$}")
}
