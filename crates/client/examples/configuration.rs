//! A configuration centre: every setting is a znode below one root, and whoever uses it learns of each change.
//!
//! `configuration localhost:2181/app NAME`: prints one setting of `/app`, then each change of it, until Ctrl-C: get and watch, again
//! and again, which every server can do.
//! `configuration localhost:2181/app`: all settings below `/app`, by one recursive watch, which servers can do since 3.6.
//! `configuration localhost:2181/app NAME VALUE`: changes one.
#![allow(clippy::print_stdout, reason = "that is what an example is for")]

use rookeeper_client::{AddWatchMode, Client, CreateOptions, Error, Retry, Signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [hosts] => follow_all(&open(hosts).await?).await?,
        [hosts, name] => follow(&open(hosts).await?, name).await?,
        [hosts, name, value] => set(&open(hosts).await?, name, value).await?,
        _ => return Err("usage: configuration HOSTS/ROOT [NAME [VALUE]]".into()),
    }
    Ok(())
}

/// A client whose `/` is the root behind the servers. `Client::connect` would take both at once, but then the root must be there.
async fn open(hosts: &str) -> Result<Client, Error> {
    let (servers, root) = hosts.split_once('/').unwrap_or((hosts, ""));
    let client = Client::connect(servers).await?;
    let mut path = String::new();
    for name in root.split('/').filter(|name| !name.is_empty()) {
        path = format!("{path}/{name}");
        let created = client.create(&path, "", &CreateOptions::persistent());
        if let Err(error) = created.await
            && !error.is_node_exists()
        {
            return Err(error);
        }
    }
    client.chroot(if path.is_empty() { "/" } else { &path })
}

/// Sets it, whether it is there or not.
async fn set(client: &Client, name: &str, value: &str) -> Result<(), Error> {
    let path = format!("/{name}");
    match client.set(&path, value, -1).await {
        Err(error) if error.is_no_node() => {
            let options = CreateOptions::persistent();
            client.create(&path, value, &options).await?;
        }
        other => drop(other?),
    }
    println!("{path} = {value}");
    client.close().await
}

/// Gets and watches in one request, so that no change falls between the two. Of changes that follow each other closely the last one
/// is seen, and never an older one after a newer.
async fn follow(client: &Client, name: &str) -> Result<(), Error> {
    let path = format!("/{name}");
    // While the connection is away, the last known value is as good as any.
    let retry = Retry::forever().idempotent();
    loop {
        let changed = match retry.run(|| client.data_watched(&path)).await {
            Ok((data, changed)) => {
                println!("{path} = {}", String::from_utf8_lossy(&data.bytes));
                changed
            }
            Err(error) if error.is_no_node() => {
                let (stat, appears) = retry.run(|| client.exists_watched(&path)).await?;
                if stat.is_some() {
                    continue;
                }
                println!("{path} is not set");
                appears
            }
            Err(error) => return Err(error),
        };
        // An error says that the session has ended.
        changed.await?;
    }
}

async fn follow_all(client: &Client) -> Result<(), Error> {
    // The watch first: no change falls between it and the first look.
    let mut changes = client.watch("/", AddWatchMode::PersistentRecursive).await?;
    show_all(client).await?;
    while let Some(signal) = changes.next().await {
        match signal {
            Signal::Event(event) => show(client, &event.path).await?,
            // What is shown stays valid as far as anybody knows; what was missed is read again.
            Signal::Interrupted => println!("the connection is lost"),
            Signal::Restored => {
                println!("the connection is back");
                show_all(client).await?;
            }
        }
    }
    // The watch ends with the session.
    Err(Error::SessionExpired)
}

async fn show_all(client: &Client) -> Result<(), Error> {
    for name in client.children("/").await?.names {
        show(client, &format!("/{name}")).await?;
    }
    Ok(())
}

async fn show(client: &Client, path: &str) -> Result<(), Error> {
    match client.data(path).await {
        Ok(data) => println!("{path} = {}", String::from_utf8_lossy(&data.bytes)),
        Err(error) if error.is_no_node() => println!("{path} is gone"),
        // The answer comes with the next look, after the connection is back.
        Err(error) if error.is_retriable() => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
