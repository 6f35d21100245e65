//! A native async client for ZooKeeper and Rookeeper.
//!
//! ```no_run
//! use rookeeper_client::{Client, CreateOptions, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181,zk2:2181,zk3:2181/app").await?;
//! client.create("/greeting", "hello", &CreateOptions::persistent()).await?;
//! let (data, changed) = client.data_watched("/greeting").await?;
//! assert_eq!(&data.bytes[..], b"hello");
//! client.set("/greeting", "hi", data.stat.version).await?;
//! println!("{:?}", changed.await?);
//! client.close().await
//! # }
//! ```
//!
//! **Order.** A request gets its place when its method is called. Requests of one client are executed in that order and travel
//! together, so a loop that collects futures is pipelined. Dropping a future does not withdraw its request.
//!
//! **Trouble.** [`Error::outcome`] tells whether a failed request may have happened all the same. Nothing is sent twice by itself;
//! [`Retry`] does so where it does no harm.
//!
//! **Watches** are values: [`Watch`] is a future, [`PersistentWatch`] a stream. They survive reconnects, and dropping one removes it.
//!
//! **Sessions.** [`Client::states`] tells every change. [`State::Suspended`] comes before the session can end, so a holder of a lock
//! that stops there is safe.
//!
//! **Features**, both off by default. `tls`: encrypted connections. `srv`: a connect string may name a service,
//! `_zookeeper._tcp.example.org`, whose SRV records tell the servers; without it that takes a [`Resolve`] of one's own.
//!
//! What lives here: [`Client`] and what it gives and takes; the session's state machine, which knows no socket; the connection, which
//! knows no rule; [`recipes`], built on the public face alone. What does not: anything of a server.

mod builder;
mod call;
mod chroot;
mod client;
mod connection;
mod error;
#[cfg(feature = "fuzzing")]
pub mod hostile;
mod hosts;
mod multi;
pub mod recipes;
mod resolve;
mod retry;
mod rounds;
mod sasl;
mod session;
mod state;
#[cfg(feature = "tls")]
mod tls;
mod watch;
mod znode;

pub use rookeeper_proto::acl::{Acl, Id, perms};
pub use rookeeper_proto::code::{
    AddWatchMode, CreateMode, ErrorCode, EventType, OpCode, WatcherType,
};
pub use rookeeper_proto::ids::{SessionId, Zxid};
pub use rookeeper_proto::stat::Stat;

pub use builder::Builder;
pub use call::Call;
pub use client::Client;
pub use error::{Error, Outcome};
pub use multi::{Multi, MultiRead, MultiResult, ReadResult};
#[cfg(feature = "srv")]
pub use resolve::NameServers;
pub use resolve::{Lookup, Resolve, ServiceLookup, ServiceRecord};
pub use retry::{Backoff, Retry};
pub use sasl::{Mechanism, Mechanisms};
pub use state::{State, States};
#[cfg(feature = "tls")]
pub use tls::{TlsError, TlsOptions};
pub use watch::{Event, PersistentWatch, Signal, Watch};
pub use znode::{Children, CreateOptions, Created, Data, Expected};
