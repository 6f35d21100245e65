//! Master election: one of several leads, until it stops or its connection is in doubt.
//!
//! `election localhost:2181 alice`: stands for election under that name. Start several, and stop the one that leads with Ctrl-C.
#![allow(clippy::print_stdout, reason = "that is what an example is for")]

use rookeeper_client::recipes::leader_latch::LeaderLatch;
use rookeeper_client::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [hosts, name] = &words[..] else {
        return Err("usage: election HOSTS NAME".into());
    };
    loop {
        let client = Client::connect(hosts).await?;
        println!("{name} stands for election");
        tokio::select! {
            // A latch ends with its session: with a new one it stands again.
            end = stand(&client, name) => match end {
                Error::SessionExpired => println!("the session has expired"),
                other => return Err(other.into()),
            },
            // The next one leads at once, and not when this session has timed out.
            _ = tokio::signal::ctrl_c() => return Ok(client.close().await?),
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
