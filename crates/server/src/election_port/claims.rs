//! Who says to be one peer: one server, or two that were given the same id.
//!
//! A server that moves says something else from then on. One that says again what it said before, after something else was said,
//! is another one than who said that: both are alive.

use std::net::IpAddr;
use std::time::Duration;

use rookeeper_proto::ballot::Address;
use tokio::time::Instant;

/// How long what was said counts: a server that moves back takes longer.
const MEMORY: Duration = Duration::from_secs(60);

/// What a server says of itself when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// Where the connection comes from. A server may have several such addresses.
    pub(super) from: IpAddr,
    /// Where it says that it is reached for elections.
    pub(super) places: Vec<Address>,
}

impl Claim {
    /// The first place, with where the connection comes from, for people.
    pub(super) fn text(&self) -> String {
        let places: Vec<_> = self.places.iter().map(Address::to_string).collect();
        format!("{} (from {})", places.join("|"), self.from)
    }
}

/// The newest claims to one id.
#[derive(Debug, Default)]
pub(super) struct Claims {
    newest: Option<(Claim, Instant)>,
    /// The newest with other places.
    other: Option<(Claim, Instant)>,
}

impl Claims {
    /// Notes one. If it was made before, and another one since, that one is given: two servers have the id.
    pub(super) fn note(&mut self, claim: Claim, now: Instant) -> Option<Claim> {
        let older = self.newest.replace((claim.clone(), now));
        let (older, at) = older.filter(|(older, _)| older.places != claim.places)?;
        let before = self.other.replace((older.clone(), at));
        let again = before.is_some_and(|(before, at)| {
            before.places == claim.places && now.saturating_duration_since(at) < MEMORY
        });
        again.then_some(older)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn claim(place: &str, from: u8) -> Claim {
        Claim {
            from: Ipv4Addr::new(10, 0, 0, from).into(),
            places: vec![Address::parse(place).unwrap()],
        }
    }

    #[test]
    fn two_that_take_turns_are_two() {
        let (mut claims, now) = (Claims::default(), Instant::now());
        let (one, two) = (claim("a:1", 1), claim("a:2", 1));
        assert_eq!(claims.note(one.clone(), now), None);
        assert_eq!(claims.note(one.clone(), now), None);
        assert_eq!(claims.note(two.clone(), now), None, "it may have moved");
        assert_eq!(claims.note(two.clone(), now), None);
        assert_eq!(claims.note(one.clone(), now), Some(two.clone()));
        assert_eq!(claims.note(two, now), Some(one));
    }

    #[test]
    fn one_that_moves_back_after_a_while_or_has_several_addresses_is_one() {
        let (mut claims, now) = (Claims::default(), Instant::now());
        assert_eq!(claims.note(claim("a:1", 1), now), None);
        assert_eq!(claims.note(claim("a:1", 2), now), None);
        assert_eq!(claims.note(claim("a:1", 1), now), None);
        assert_eq!(claims.note(claim("a:2", 1), now), None);
        assert_eq!(claims.note(claim("a:1", 1), now + MEMORY), None);
    }
}
