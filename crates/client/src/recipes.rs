//! What is built of a tree of znodes: locks, leaders, and what else many programs need.
//!
//! Each recipe is a file, and uses nothing but the public face of this crate. Where Curator has the same recipe, both work on the same
//! paths at the same time: names, kinds and contents of znodes are Curator's.
//!
//! **Every recipe** takes a client and a path in that client's view, makes missing parents as containers, stands a connection that
//! breaks at any moment, and leaves nothing behind when a future of it is dropped. What it does for you ends with the session, since a
//! [`Client`](crate::Client) has one session for life: with a new client make a new recipe. All of them need a tokio runtime.
//!
//! What lives here, from below:
//!
//! - [`protected`], how a znode is created when nobody knows whether the last attempt was one. `place`: an ephemeral that goes when
//!   its owner does not want it any more. `line`: who is ahead, and the wait until nobody is. `wake`: what ends a wait. [`guard`]: what a holder has in hand.
//! - One at a time: [`mutex`], [`read_write_lock`], [`semaphore`], [`multi_lock`].
//! - One of many: [`leader_latch`] (stays it), [`leader_selector`] (does something and lines up again).
//! - All together: [`barrier`], [`double_barrier`].
//! - Values: [`counter`], [`shared_value`], [`shared_count`], [`unique_ids`].
//! - Work: [`queue`], [`priority_queue`], [`delay_queue`], [`id_queue`], [`simple_queue`], [`partitioner`].
//! - Copies of a part of the tree that are kept current: [`node_cache`], [`children_cache`], [`tree_cache`]; [`cache`] is what they have
//!   in common.
//! - Znodes that are kept: [`persistent_node`], [`persistent_ttl_node`]; who is there: [`group`].
//! - Services: [`discovery`] registers and finds them, [`provider`] chooses.

pub mod barrier;
pub mod cache;
pub mod children_cache;
pub mod counter;
pub mod delay_queue;
pub mod discovery;
pub mod double_barrier;
pub mod group;
pub mod guard;
pub mod id_queue;
pub mod leader_latch;
pub mod leader_selector;
mod line;
pub mod multi_lock;
pub mod mutex;
pub mod node_cache;
pub mod partitioner;
pub mod persistent_node;
pub mod persistent_ttl_node;
mod place;
pub mod priority_queue;
pub mod protected;
pub mod provider;
pub mod queue;
pub mod read_write_lock;
pub mod semaphore;
pub mod shared_count;
pub mod shared_value;
pub mod simple_queue;
pub mod tree_cache;
pub mod unique_ids;
mod wake;
