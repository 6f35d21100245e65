//! Everything over TLS, with a certificate on both sides.
//!
//! `encrypted HOSTS ROOTS.pem [CHAIN.pem KEY.pem]`: connects, writes, watches, reads, and tells who the server thinks this is.
//! Ends with status 1 when the server is not to be believed.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example reads files and prints"
)]

use std::error::Error;
use std::fs;

use rookeeper_client::{Client, CreateOptions, TlsOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [hosts, roots, own @ ..] = &words[..] else {
        return Err("encrypted HOSTS ROOTS.pem [CHAIN.pem KEY.pem]".into());
    };
    let mut options = TlsOptions::trusting(&fs::read(roots)?)?;
    if let [chain, key] = own {
        options = options.client_certificate(&fs::read(chain)?, &fs::read(key)?)?;
    }
    let client = Client::builder()
        .session_timeout(std::time::Duration::from_secs(5))
        .tls(options)
        .connect(hosts)
        .await?;
    let secret = vec![42; 500_000];
    let path = client
        .create(
            "/encrypted-",
            &secret,
            &CreateOptions::ephemeral_sequential(),
        )
        .await?
        .path;
    let (data, changed) = client.data_watched(&path).await?;
    if data.bytes != secret {
        return Err("what was read is not what was written".into());
    }
    client.set(&path, "changed", data.stat.version).await?;
    println!("watch {:?}", changed.await?.kind);
    for id in client.who_am_i().await? {
        println!("identity {}:{}", id.scheme, id.id);
    }
    client.close().await?;
    println!("closed");
    Ok(())
}
