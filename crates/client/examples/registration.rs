//! Servers that register themselves, and clients that know which of them are online.
//!
//! `registration localhost:2181 serve 10.0.0.1:80`: is online as long as it runs, until Ctrl-C. `registration localhost:2181 watch`:
//! prints who comes and who goes.
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
        [hosts, "serve", address] => while serve(hosts, address).await? {},
        [hosts, "watch"] => watch(&Client::connect(hosts).await?).await?,
        _ => return Err("usage: registration HOSTS serve ADDRESS | watch".into()),
    }
    Ok(())
}

/// Creates the list of servers unless it is there.
async fn create_list(client: &Client) -> Result<(), Error> {
    let created = client.create(SERVERS, "", &CreateOptions::persistent());
    match created.await {
        Err(error) if !error.is_node_exists() => Err(error),
        _ => Ok(()),
    }
}

/// Registers. True when the session has ended, false when the server is to stop.
async fn serve(hosts: &str, address: &str) -> Result<bool, Error> {
    let client = Client::connect(hosts).await?;
    let mut states = client.states();
    create_list(&client).await?;
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
    loop {
        tokio::select! {
            state = states.next() => match state {
                Some(State::Expired) | None => return Ok(true),
                Some(state) => println!("{state:?}"),
            },
            // Others learn of it now, and not when the session has timed out.
            _ = tokio::signal::ctrl_c() => return client.close().await.map(|()| false),
        }
    }
}

async fn watch(client: &Client) -> Result<(), Error> {
    create_list(client).await?;
    let mut known = BTreeSet::new();
    // While the connection is away, what is known stays.
    let retry = Retry::forever().idempotent();
    loop {
        // The list and its watch come together: a change after this list ends the wait.
        let (children, changed) = retry.run(|| client.children_watched(SERVERS)).await?;
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
