//! Steady load of one kind.

use std::io;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::setup::{create_all, room, run_name};
use super::traffic::Traffic;
use super::wire::Connection;
use super::work::{Generator, Keys, ROOT, Work};

/// What load.
#[derive(Debug, Args)]
pub(super) struct LoadOptions {
    /// What is asked.
    work: Work,
    /// Connections.
    #[arg(short, long, default_value_t = 50)]
    connections: usize,
    /// Requests of a connection outstanding at once.
    #[arg(short, long, default_value_t = 1)]
    depth: usize,
    /// Bytes of data.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Znodes the requests go to.
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    /// The requests go to all of the znodes that `bench fill --znodes` has made, this many.
    #[arg(long, conflicts_with_all = ["keys", "echo"])]
    filled: Option<usize>,
    /// Reads per hundred of `mixed`.
    #[arg(long, default_value_t = 90)]
    reads: u32,
    /// How long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Load before the measurement.
    #[arg(long, default_value_t = 0)]
    warm_up: u64,
    /// The server is an echo: no session, no znodes.
    #[arg(long)]
    echo: bool,
}

/// Loads the server, and reports.
pub(super) async fn load(
    server: &str,
    pid: Option<u32>,
    options: &LoadOptions,
) -> io::Result<Value> {
    let data = vec![b'x'; options.size];
    let keys = match options.filled {
        Some(znodes) => Keys::Filled(znodes),
        None => Keys::numbered(options.keys),
    };
    if !options.echo {
        prepare(server, &keys, &data).await?;
    }
    let name = format!(
        "{:?} C{}D{}",
        options.work, options.connections, options.depth
    )
    .to_lowercase();
    let mut traffic = Traffic {
        server,
        pid,
        connections: options.connections,
        depth: options.depth,
        lasting: Duration::from_secs(options.warm_up),
        echo: options.echo,
    };
    let drive = async |traffic: &Traffic<'_>| {
        let run = run_name();
        let generator = |number| {
            let mut generator = Generator::new(
                options.work,
                options.reads,
                keys.clone(),
                data.clone(),
                (&run, number),
            );
            move |xid, out: &mut Vec<u8>| generator.next(xid, out)
        };
        traffic.run(&name, generator).await
    };
    if options.warm_up > 0 {
        drive(&traffic).await?;
    }
    traffic.lasting = Duration::from_secs(options.seconds);
    drive(&traffic).await
}

/// Makes the znodes the requests go to.
async fn prepare(server: &str, keys: &Keys, data: &[u8]) -> io::Result<()> {
    let mut connection = Connection::open(server).await?;
    room(&mut connection, "keys").await?;
    room(&mut connection, "new").await?;
    match keys {
        Keys::Listed(keys) => create_all(&mut connection, keys.iter(), data).await,
        Keys::Filled(_) => Ok(()),
    }
}

impl Keys {
    fn numbered(count: usize) -> Self {
        let path = |n| format!("{ROOT}/keys/key-{n:016}");
        Self::Listed((0..count.max(1)).map(path).collect())
    }
}
