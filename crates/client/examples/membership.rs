//! Group membership: who is there, and each coming and going.
//!
//! `membership HOSTS NAME`: joins under that name, and tells of all others until it is stopped.
#![allow(clippy::print_stdout, reason = "that is what an example is for")]

use rookeeper_client::{AddWatchMode, Client, CreateOptions, Error, EventType, Signal};

const GROUP: &str = "/group";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [hosts, name] = &words[..] else {
        return Err("membership HOSTS NAME".into());
    };
    let client = Client::connect(hosts).await?;
    join(&client, name).await?;
    follow(&client).await?;
    Ok(())
}

async fn join(client: &Client, name: &str) -> Result<(), Error> {
    // Both are on their way at once; they are executed in this order.
    let group = client.create(GROUP, "", &CreateOptions::container());
    let member = client.create(&format!("{GROUP}/{name}"), "", &CreateOptions::ephemeral());
    if let Err(error) = group.await
        && !error.is_node_exists()
    {
        return Err(error);
    }
    member.await.map(drop)
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
    Ok(())
}
