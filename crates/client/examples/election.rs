//! Master election: one of several leads, until it stops or its connection is in doubt.
//!
//! `election HOSTS NAME`: stands for election under that name. Start several, and stop the one that leads.
#![allow(clippy::print_stdout, reason = "that is what an example is for")]

use rookeeper_client::recipes::leader_latch::LeaderLatch;
use rookeeper_client::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [hosts, name] = &words[..] else {
        return Err("election HOSTS NAME".into());
    };
    loop {
        let client = Client::connect(hosts).await?;
        // A latch ends with its session: with a new one it stands again.
        match stand(&client, name).await {
            Error::SessionExpired => println!("the session has expired"),
            other => return Err(other.into()),
        }
    }
}

/// Leads whenever it is its turn; returns why it never will again.
async fn stand(client: &Client, name: &str) -> Error {
    let latch = LeaderLatch::join(client, "/election", name);
    loop {
        match latch.lead().await {
            Ok(token) => println!("{name} leads, with token {token}"),
            Err(end) => return end,
        }
        latch.lost().await;
        println!("{name} leads no more");
    }
}
