//! Membership of a group: who is there now.
//!
//! On the wire: `<path>/<id>`, ephemeral, with the member's data; `<path>` is a container (Curator: `GroupMember`). The id is the
//! name of the znode, and unique: while a member of another session has it, ours waits until that one is gone.
//!
//! What it promises: a member is seen until it leaves or its session ends, and comes back if somebody deletes it. What it does not: a
//! member that hangs is seen until its session ends, and everybody sees the group a little later than it is (see
//! [`cache`](super::cache)).
//!
//! ```no_run
//! use rookeeper_client::recipes::group::GroupMember;
//! use rookeeper_client::Client;
//!
//! # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
//! let me = GroupMember::join(client, "/groups/indexers", "host-7", "10.0.0.7:9000")?;
//! me.joined().await?;
//! for (id, data) in me.group().members() {
//!     println!("{id}: {data:?}");
//! }
//! me.leave().await?;
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::ops::Deref;

use bytes::Bytes;

use super::cache::{CacheError, CacheOptions};
use super::children_cache::ChildrenCache;
use super::persistent_node::PersistentNode;
use super::protected;
use crate::{Client, CreateOptions, Error};

/// A group as it is seen from outside. It need not be there.
#[derive(Debug)]
pub struct Group {
    cache: ChildrenCache,
}

impl Group {
    /// Begins to look. Needs a tokio runtime.
    pub fn watch(client: &Client, path: &str) -> Result<Self, Error> {
        Self::with(client, path, CacheOptions::new())
    }

    /// The same with other settings of its cache.
    pub fn with(client: &Client, path: &str, options: CacheOptions) -> Result<Self, Error> {
        Ok(Self {
            cache: ChildrenCache::with(client, path, options)?,
        })
    }

    /// The members that are seen now: their ids and their data.
    #[must_use]
    pub fn members(&self) -> BTreeMap<String, Bytes> {
        let snapshot = self.cache.snapshot();
        let member = |znode: &std::sync::Arc<super::cache::Znode>| {
            (znode.name().to_owned(), znode.data.bytes.clone())
        };
        snapshot.iter().map(member).collect()
    }
}

impl Deref for Group {
    type Target = ChildrenCache;

    fn deref(&self) -> &ChildrenCache {
        &self.cache
    }
}

/// A member of a group. Dropping it leaves the group in the background.
#[derive(Debug)]
pub struct GroupMember {
    node: PersistentNode,
    group: Group,
    id: String,
}

impl GroupMember {
    /// Begins to be a member. The id is a name of a znode, without a slash. Needs a tokio runtime.
    pub fn join(
        client: &Client,
        path: &str,
        id: &str,
        data: impl Into<Bytes>,
    ) -> Result<Self, Error> {
        if id.is_empty() || id.contains('/') {
            return Err(Error::BadArgument(
                "the id of a member is a name without a slash",
            ));
        }
        let own = protected::join(path, id);
        Ok(Self {
            node: PersistentNode::open(client, &own, data, CreateOptions::ephemeral())?,
            group: Group::watch(client, path)?,
            id: id.to_owned(),
        })
    }

    /// Waits until the znode of this member is there, and everybody who was before is seen.
    pub async fn joined(&self) -> Result<(), CacheError> {
        self.node.created().await?;
        self.group.sync().await
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The group, this member included.
    #[must_use]
    pub const fn group(&self) -> &Group {
        &self.group
    }

    /// Shows other data of this member.
    pub async fn set(&self, data: impl Into<Bytes>) -> Result<(), Error> {
        self.node.set(data).await
    }

    /// Is no member any more when this returns.
    pub async fn leave(self) -> Result<(), Error> {
        self.node.close().await
    }
}
