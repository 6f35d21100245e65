//! Group membership: who is there, and each coming and going.
//!
//! `membership localhost:2181 alice`: joins under that name, and tells of all others until Ctrl-C. `recipes::group` does it in a line.
#![allow(clippy::print_stdout, reason = "that is what an example is for")]

use rookeeper_client::{AddWatchMode, Client, CreateOptions, Error, EventType, Signal};

const GROUP: &str = "/group";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [hosts, name] = &words[..] else {
        return Err("usage: membership HOSTS NAME".into());
    };
    let client = Client::connect(hosts).await?;
    tokio::select! {
        done = take_part(&client, name) => done?,
        // It goes now, and not when its session has timed out.
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(client.close().await?)
}

async fn take_part(client: &Client, name: &str) -> Result<(), Error> {
    join(client, name).await?;
    follow(client).await
}

async fn join(client: &Client, name: &str) -> Result<(), Error> {
    let path = format!("{GROUP}/{name}");
    loop {
        // Both are on their way at once; they are executed in this order.
        let group = client.create(GROUP, "", &CreateOptions::container());
        let member = client.create(&path, "", &CreateOptions::ephemeral());
        if let Err(error) = group.await
            && !error.is_node_exists()
        {
            return Err(error);
        }
        match member.await {
            Err(error) if error.is_node_exists() => {}
            other => return other.map(drop),
        }
        // Perhaps this program in an earlier life: a crash is seen when the session has timed out.
        let (stat, changed) = client.exists_watched(&path).await?;
        if stat.is_some() {
            println!("{name} is there already: waiting until that one goes");
            changed.await?;
        }
    }
}

async fn follow(client: &Client) -> Result<(), Error> {
    let mode = AddWatchMode::PersistentRecursive;
    let mut changes = client.watch(GROUP, mode).await?;
    println!("there: {:?}", client.children(GROUP).await?.names);
    while let Some(signal) = changes.next().await {
        match signal {
            Signal::Event(event) if event.kind == EventType::NodeCreated => {
                println!("comes: {}", event.path);
            }
            Signal::Event(event) if event.kind == EventType::NodeDeleted => {
                println!("goes:  {}", event.path);
            }
            // Somebody may have come and gone meanwhile.
            Signal::Restored => println!("there: {:?}", client.children(GROUP).await?.names),
            Signal::Event(_) | Signal::Interrupted => {}
        }
    }
    // The watch ends with the session, and with it the membership.
    Err(Error::SessionExpired)
}
