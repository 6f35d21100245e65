//! What asks for the next line: the servers, the state of the session, the number of the line.
//!
//! The state may change while a line is being typed. An editor has measured the prompt by then, so one that is drawn again has the same
//! width ([`Prompt::fitting`]).

use rookeeper_client::{Client, State};

/// What asks for a line.
#[derive(Debug)]
pub struct Prompt {
    hosts: String,
    session: Option<Client>,
    number: usize,
}

impl Prompt {
    /// The prompt for the line of this number.
    #[must_use]
    pub const fn new(hosts: String, session: Option<Client>, number: usize) -> Self {
        Self {
            hosts,
            session,
            number,
        }
    }

    /// As it is now.
    #[must_use]
    pub fn text(&self) -> String {
        text(
            &self.hosts,
            self.session.as_ref().map(Client::state),
            self.number,
        )
    }

    /// As it is now, as wide as the one that was drawn.
    #[must_use]
    pub fn fitting(&self, drawn: &str) -> String {
        fit(&self.text(), &self.hosts, drawn.chars().count())
    }
}

fn text(hosts: &str, state: Option<State>, number: usize) -> String {
    let state = match state {
        Some(State::Connecting | State::Suspended) => "CONNECTING",
        Some(State::Connected) => "CONNECTED",
        Some(State::ReadOnly) => "CONNECTEDREADONLY",
        Some(State::AuthFailed) => "AUTH_FAILED",
        Some(State::Expired | State::Closed) | None => "CLOSED",
    };
    format!("[zk: {hosts}({state}) {number}] ")
}

/// The text in so many characters: with blanks behind it, without the one that it has, or with less of the servers.
fn fit(text: &str, hosts: &str, width: usize) -> String {
    let surplus = text.chars().count().saturating_sub(width);
    match surplus {
        0 => format!("{text:<width$}"),
        1 => text.trim_end().to_owned(),
        _ => {
            let kept: String = hosts.chars().skip(surplus).collect();
            text.replacen(hosts, &kept, 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_is_drawn_again_is_as_wide() {
        let drawn = text("h:1", Some(State::Connected), 7);
        assert_eq!(drawn, "[zk: h:1(CONNECTED) 7] ");
        let again = |state| fit(&text("h:1", state, 7), "h:1", drawn.len());
        assert_eq!(again(Some(State::Suspended)), "[zk: h:1(CONNECTING) 7]");
        assert_eq!(again(Some(State::Expired)), "[zk: h:1(CLOSED) 7]    ");
        assert_eq!(again(Some(State::AuthFailed)), "[zk: 1(AUTH_FAILED) 7] ");
        assert_eq!(again(Some(State::Connected)), drawn);
    }
}
