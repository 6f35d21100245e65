//! Service discovery: instances of services are registered under their names, and looked up.
//!
//! On the wire: `<base>/<name>/<id>` with the instance as JSON (Curator: `ServiceDiscovery` with its default serializer); ephemeral
//! for dynamic instances, persistent for others. `<base>` and `<base>/<name>` are containers. One in a sequential znode has a
//! protected name.
//!
//! What it promises: a registered instance is there as long as its session lives, and comes back if it is deleted. What it does not:
//! that the service behind it works. [`Provider`] chooses among instances, and leaves out those that fail.
//!
//! ```no_run
//! use rookeeper_client::recipes::discovery::{Discovery, ServiceInstance};
//! use rookeeper_client::recipes::provider::Strategy;
//! use rookeeper_client::Client;
//!
//! # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
//! let discovery = Discovery::new(client, "/services")?;
//! let registration = discovery.register(ServiceInstance::new("web", "10.0.0.7", 8080)).await?;
//! let provider = discovery.provider("web", Strategy::RoundRobin)?;
//! provider.initialized().await?;
//! if let Some(instance) = provider.pick() {
//!     println!("{}", instance.endpoint().unwrap_or_default());
//! }
//! registration.unregister().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What lives here: registering and looking up; in `instance`, what is registered and its text; in `json`, how such
//! texts are read and quoted.

mod instance;
mod json;

use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;
use tracing::debug;

use super::persistent_node::PersistentNode;
use super::protected::{self, join};
use super::provider::{Provider, Strategy};
use crate::{Acl, Client, CreateOptions, Error, Retry, SessionId};
pub use instance::{NotAnInstance, Payload, ServiceInstance, ServiceKind, UriPart, UriSpec};

/// Reads of a lookup on the wire at once.
const READS_IN_FLIGHT: usize = 256;

/// Why an instance could not be registered or found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DiscoveryError {
    /// The client could not do it.
    #[error(transparent)]
    Client(#[from] Error),
    /// What is there is not an instance.
    #[error("{path}: {source}")]
    NotAnInstance {
        /// Where.
        path: String,
        /// What is wrong with it.
        source: NotAnInstance,
    },
    /// An update must not change which instance it is.
    #[error("an instance keeps its name, its id and its kind")]
    Another,
}

/// All services below one path.
#[derive(Debug, Clone)]
pub struct Discovery {
    client: Client,
    base: String,
}

impl Discovery {
    /// Services below `base`, which need not be there.
    pub fn new(client: &Client, base: &str) -> Result<Self, Error> {
        // A view from a path that is none is refused.
        client.chroot(base)?;
        Ok(Self {
            client: client.clone(),
            base: base.to_owned(),
        })
    }

    /// Registers an instance, and waits until it is there, through an outage too. What an earlier session left of the same instance is
    /// replaced. Safe to cancel: then a dynamic instance goes again, in the background.
    pub async fn register(
        &self,
        instance: ServiceInstance,
    ) -> Result<Registration, DiscoveryError> {
        let path = self.path(&instance.name, &instance.id)?;
        let text = instance.to_json();
        let open = |options| PersistentNode::open(&self.client, &path, text.clone(), options);
        let node = match instance.kind {
            ServiceKind::Dynamic => {
                self.remove_left_behind(&path).await?;
                open(CreateOptions::ephemeral())?
            }
            ServiceKind::DynamicSequential => {
                PersistentNode::sequential(&self.client, &path, text, true, Acl::open())?
            }
            ServiceKind::Static | ServiceKind::Permanent => open(CreateOptions::persistent())?,
        };
        node.created().await?;
        Ok(Registration { node, instance })
    }

    /// The same, waiting no longer than `time`: `None` if the instance was not known to be there by then, and it goes again.
    pub async fn register_within(
        &self,
        instance: ServiceInstance,
        time: Duration,
    ) -> Result<Option<Registration>, DiscoveryError> {
        match timeout(time, self.register(instance)).await {
            Ok(registered) => registered.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Deletes an ephemeral of another session.
    async fn remove_left_behind(&self, path: &str) -> Result<(), Error> {
        let retry = Retry::forever().idempotent();
        let stat = retry.run(|| self.client.exists(path)).await?;
        let own = self.client.session();
        match stat.map(|stat| SessionId(stat.ephemeral_owner)) {
            Some(owner) if owner != SessionId::NONE && owner != own => {
                protected::delete(&self.client, path).await
            }
            _ => Ok(()),
        }
    }

    /// The names of all services, in order. A name may be there without an instance.
    pub async fn names(&self) -> Result<Vec<String>, DiscoveryError> {
        self.children(&self.base).await
    }

    /// All instances of a service, in the order of their znodes. What is no instance is passed over.
    pub async fn instances(&self, name: &str) -> Result<Vec<ServiceInstance>, DiscoveryError> {
        let service = self.service(name)?;
        let names = self.children(&service).await?;
        let mut found = Vec::new();
        for names in names.chunks(READS_IN_FLIGHT) {
            let paths = names.iter().map(|name| join(&service, name));
            let calls: Vec<_> = paths.map(|path| (self.client.data(&path), path)).collect();
            for (call, path) in calls {
                match self.read(call.await, &path).await {
                    Ok(instance) => found.extend(instance),
                    Err(DiscoveryError::NotAnInstance { path, source }) => {
                        debug!(path, %source, "passed over");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// One instance.
    pub async fn instance(
        &self,
        name: &str,
        id: &str,
    ) -> Result<Option<ServiceInstance>, DiscoveryError> {
        let path = self.path(name, id)?;
        let data = self.client.data(&path).await;
        self.read(data, &path).await
    }

    /// Chooses among the instances of a service.
    pub fn provider(&self, name: &str, strategy: Strategy) -> Result<Provider, Error> {
        Provider::new(&self.client, &self.service(name)?, strategy)
    }

    /// Makes an instance of what was read; reads again where the connection was in the way.
    async fn read(
        &self,
        data: Result<crate::Data, Error>,
        path: &str,
    ) -> Result<Option<ServiceInstance>, DiscoveryError> {
        let data = match data {
            Err(error) if error.is_retriable() => {
                let retry = Retry::forever().idempotent();
                retry.run(|| self.client.data(path)).await
            }
            data => data,
        };
        match data {
            Ok(data) => ServiceInstance::from_json(&data.bytes)
                .map(Some)
                .map_err(|source| DiscoveryError::NotAnInstance {
                    path: path.to_owned(),
                    source,
                }),
            Err(error) if error.is_no_node() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, DiscoveryError> {
        let retry = Retry::forever().idempotent();
        match retry.run(|| self.client.children(path)).await {
            Ok(mut children) => {
                children.names.sort_unstable();
                Ok(children.names)
            }
            Err(error) if error.is_no_node() => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn service(&self, name: &str) -> Result<String, Error> {
        part(name)?;
        Ok(join(&self.base, name))
    }

    fn path(&self, name: &str, id: &str) -> Result<String, Error> {
        part(id)?;
        Ok(join(&self.service(name)?, id))
    }
}

/// A name or an id is one part of a path.
fn part(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.contains('/') {
        return Err(Error::BadArgument(
            "names and ids of services are names without a slash",
        ));
    }
    Ok(())
}

/// An instance that is registered. Dropping it lets a dynamic one go in the background; others stay.
#[derive(Debug)]
pub struct Registration {
    node: PersistentNode,
    instance: ServiceInstance,
}

impl Registration {
    /// As it is registered.
    #[must_use]
    pub const fn instance(&self) -> &ServiceInstance {
        &self.instance
    }

    /// Registers it with other contents; name, id and kind have to be the same.
    pub async fn update(&mut self, instance: ServiceInstance) -> Result<(), DiscoveryError> {
        let identity = |of: &ServiceInstance| (of.name.clone(), of.id.clone(), of.kind);
        if identity(&instance) != identity(&self.instance) {
            return Err(DiscoveryError::Another);
        }
        self.node.set(instance.to_json()).await?;
        self.instance = instance;
        Ok(())
    }

    /// It is not registered any more when this returns.
    pub async fn unregister(self) -> Result<(), Error> {
        self.node.close().await
    }
}
