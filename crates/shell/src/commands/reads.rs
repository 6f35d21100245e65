//! Reads that may leave a watch: what `get`, `ls`, `stat` and `config` share. A watch is left only where the read was answered.

use rookeeper_client::{Children, Client, Data};
use rookeeper_proto::code::WatcherType;
use rookeeper_proto::stat::Stat;

use super::{Invocation, WATCH, deprecated};
use crate::failure::{At, Failure};
use crate::shell::Shell;

/// Whether a watch is wanted: by its option, or by a word behind the path, as in 3.4. That old form is told of.
pub(super) fn wants_watch(shell: &Shell, call: &Invocation, old: &str, new: &str) -> bool {
    let is_old = call.word(1).is_some();
    if is_old {
        shell.note(&deprecated(old, new));
    }
    is_old || call.has(WATCH.name)
}

pub(super) async fn data(
    shell: &Shell,
    client: &Client,
    path: &str,
    watches: bool,
) -> Result<Data, Failure> {
    if !watches {
        return client.data(path).await.at(path);
    }
    let (data, watch) = client.data_watched(path).await.at(path)?;
    shell.arrivals().add_once(WatcherType::Data, path, watch);
    Ok(data)
}

/// None for a node that is not there: the watch tells when it is.
pub(super) async fn exists(
    shell: &Shell,
    client: &Client,
    path: &str,
    watches: bool,
) -> Result<Option<Stat>, Failure> {
    if !watches {
        return client.exists(path).await.at(path);
    }
    let (found, watch) = client.exists_watched(path).await.at(path)?;
    shell.arrivals().add_once(WatcherType::Data, path, watch);
    Ok(found)
}

pub(super) async fn children(
    shell: &Shell,
    client: &Client,
    path: &str,
    watches: bool,
) -> Result<Children, Failure> {
    if !watches {
        return client.children(path).await.at(path);
    }
    let (children, watch) = client.children_watched(path).await.at(path)?;
    shell
        .arrivals()
        .add_once(WatcherType::Children, path, watch);
    Ok(children)
}
