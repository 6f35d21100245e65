//! Servers that register themselves, and clients that know which of them are online.
//!
//! `registration HOSTS serve ADDRESS`: is online as long as it runs. `registration HOSTS watch`: prints the list at each change.
#![allow(clippy::print_stdout, reason = "that is what an example is for")]

use std::collections::BTreeSet;

use rookeeper_client::{Client, CreateOptions, Error, Retry, State};

const SERVERS: &str = "/servers";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        // When the session has ended, the server was offline for others: it registers again with a new one.
        [hosts, "serve", address] => loop {
            serve(hosts, address).await?;
        },
        [hosts, "watch"] => watch(&Client::connect(hosts).await?).await?,
        _ => return Err("registration HOSTS serve ADDRESS | watch".into()),
    }
    Ok(())
}

/// Registers, and returns when the session has ended.
async fn serve(hosts: &str, address: &str) -> Result<(), Error> {
    let client = Client::connect(hosts).await?;
    let mut states = client.states();
    let parent = client.create(SERVERS, "", &CreateOptions::persistent());
    if let Err(error) = parent.await
        && !error.is_node_exists()
    {
        return Err(error);
    }
    let path = format!("{SERVERS}/{address}");
    // Ephemeral: it goes with the session. One of an earlier life of this server goes first.
    let register = || async {
        match client.delete(&path, -1).await {
            Err(error) if !error.is_no_node() => return Err(error),
            _ => {}
        }
        client.create(&path, "", &CreateOptions::ephemeral()).await
    };
    Retry::forever().idempotent().run(register).await?;
    println!("online as {address}");
    while let Some(state) = states.next().await {
        println!("{state:?}");
        if state == State::Expired {
            break;
        }
    }
    Ok(())
}

async fn watch(client: &Client) -> Result<(), Error> {
    let mut known = BTreeSet::new();
    loop {
        // The list and its watch come together: a change after this list ends the wait.
        let (children, changed) = client.children_watched(SERVERS).await?;
        let online: BTreeSet<String> = children.names.into_iter().collect();
        for address in online.difference(&known) {
            println!("online  {address}");
        }
        for address in known.difference(&online) {
            println!("offline {address}");
        }
        known = online;
        changed.await?;
    }
}
