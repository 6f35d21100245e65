//! `addauth`: one more identity for the session.

use std::time::Duration;

use rookeeper_client::{Client, Error};
use thiserror::Error as StdError;
use tokio::time::timeout;

use super::{Command, Invocation};
use crate::failure::{At, Failure};
use crate::shell::Shell;

/// How long the end of a session may come after the refusal that caused it.
const ENDING: Duration = Duration::from_secs(1);

pub(super) const COMMAND: Command = Command {
    name: "addauth",
    arguments: "scheme auth",
    options: &[],
    details: "",
    about: "Add an identity to the session, for example digest user:password.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

#[derive(Debug, StdError)]
#[error(
    "addauth {0}: the server refused it, and the session is of no use any more: connect opens another one"
)]
struct Refused(String);

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let scheme = call.needed(0)?;
    let auth = call.word(1).unwrap_or_default();
    let client = shell.connected("").await?;
    match client.add_auth(scheme, auth).await {
        Err(Error::AuthFailed) => {
            let _ = timeout(ENDING, ended(&client)).await;
            match shell.arrivals().tells_states() {
                // The event that the session is dead says it.
                true => Err(Failure::Told),
                false => Err(Failure::own(Refused(scheme.to_owned()))),
            }
        }
        outcome => outcome.at(""),
    }
}

async fn ended(client: &Client) {
    let mut states = client.states();
    while !client.state().is_final() && states.next().await.is_some() {}
}
