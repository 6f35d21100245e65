//! Where a queue is and how it works: what all kinds of queues have in common.
//!
//! What lives here: putting items, listing them, and making the znodes above them. What does not: taking items (`consumer`).

use std::time::SystemTime;

use bytes::Bytes;

use super::order::{Order, Plan, SIMPLE_WORD, WORD};
use super::{Options, QueueError, envelope};
use crate::recipes::protected::{create_with_parents, join, make_parents};
use crate::recipes::wake::woken;
use crate::{Children, Client, CreateOptions, Error, Retry, Stat, Watch};

/// How items lie in their znodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One or more with their lengths.
    Envelope,
    /// One as it is.
    Raw,
}

/// Where a queue is and how it works.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) path: String,
    pub(crate) form: Form,
    pub(crate) order: Order,
    /// Items that are taken from one listing before the next.
    pub(crate) per_listing: usize,
    pub(crate) options: Options,
}

impl Place {
    pub(crate) fn new(client: &Client, path: String, options: Options) -> Self {
        Self {
            client: client.clone(),
            path,
            form: Form::Envelope,
            order: Order::Name,
            per_listing: usize::MAX,
            options,
        }
    }

    /// Puts items together into one znode, whose name begins so. Waits for room first, if there is a bound.
    pub(crate) async fn put<T: AsRef<[u8]>>(
        &self,
        name: &str,
        items: &[T],
    ) -> Result<(), QueueError> {
        let data = match (self.form, items) {
            (Form::Raw, [item]) => item.as_ref().to_vec(),
            _ => envelope::encode(items),
        };
        self.wait_for_room().await?;
        self.store(name, &data).await
    }

    /// Creates an item with this data.
    pub(super) async fn store(&self, name: &str, data: &[u8]) -> Result<(), QueueError> {
        let (path, options) = (
            join(&self.path, name),
            CreateOptions::persistent_sequential(),
        );
        // Not tried again when the outcome is unknown: the item would be there twice.
        let create = || self.client.create(&path, data, &options);
        match Retry::forever().run(create).await {
            Err(error) if error.is_no_node() => {}
            done => return done.map(drop).map_err(Into::into),
        }
        self.make().await?;
        let created = Retry::forever().run(create).await;
        created.map(drop).map_err(Into::into)
    }

    /// Waits until fewer items are there than the bound allows.
    async fn wait_for_room(&self) -> Result<(), QueueError> {
        let Some(max) = self.options.max_items else {
            return Ok(());
        };
        let retry = Retry::forever().idempotent();
        let has_room = |stat: &Stat| usize::try_from(stat.num_children).is_ok_and(|n| n < max);
        let stat = retry.run(|| self.client.exists(&self.path)).await?;
        if stat.is_none_or(|stat| has_room(&stat)) {
            return Ok(());
        }
        loop {
            let (children, watch) = self.children_watched(&self.path).await?;
            if children.names.len() < max {
                return Ok(());
            }
            woken(watch).await?;
        }
    }

    /// Makes the znode of the queue, and those of its locks.
    pub(crate) async fn make(&self) -> Result<(), Error> {
        match self.form {
            Form::Envelope => make_base(&self.client, &self.path).await?,
            Form::Raw => make_parents(&self.client, &join(&self.path, WORD)).await?,
        }
        match &self.options.locks {
            Some(locks) => make_base(&self.client, locks).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn children(&self) -> Result<Vec<String>, Error> {
        let retry = Retry::forever().idempotent();
        match retry.run(|| self.client.children(&self.path)).await {
            Ok(children) => Ok(children.names),
            Err(error) if error.is_no_node() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The data of the first item.
    pub(crate) async fn peek(&self) -> Result<Option<Bytes>, Error> {
        let retry = Retry::forever().idempotent();
        for name in self.plan(self.children().await?).names {
            let path = join(&self.path, &name);
            match retry.run(|| self.client.data(&path)).await {
                // Taken in between.
                Err(error) if error.is_no_node() => {}
                data => return data.map(|data| Some(data.bytes)),
            }
        }
        Ok(None)
    }

    pub(super) async fn children_watched(&self, path: &str) -> Result<(Children, Watch), Error> {
        let retry = Retry::forever().idempotent();
        loop {
            match retry.run(|| self.client.children_watched(path)).await {
                Err(error) if error.is_no_node() => self.make().await?,
                done => return done,
            }
        }
    }

    /// What there is to take among these children.
    pub(super) fn plan(&self, mut names: Vec<String>) -> Plan {
        let word = match self.form {
            Form::Envelope => WORD,
            Form::Raw => SIMPLE_WORD,
        };
        names.retain(|name| name.starts_with(word));
        self.order.plan(names, now())
    }

    /// The items of a znode; `None` if its data is no such thing.
    pub(super) fn items(&self, data: &Bytes) -> Option<Vec<Bytes>> {
        match self.form {
            Form::Envelope => envelope::decode(data),
            Form::Raw => Some(vec![data.clone()]),
        }
    }
}

/// Makes a persistent znode, if it is not there.
pub(super) async fn make_base(client: &Client, path: &str) -> Result<(), Error> {
    let options = CreateOptions::persistent();
    let create = || create_with_parents(client, path, "", &options);
    match Retry::forever().idempotent().run(create).await {
        Err(error) if !error.is_node_exists() => Err(error),
        _ => Ok(()),
    }
}

/// Milliseconds since 1970, by this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "whether an item is due is a matter of the consumer's clock"
)]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
