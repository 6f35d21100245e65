//! Who belongs to the ensemble: the configuration as servers exchange it and as `/zookeeper/config` shows it
//! (quorum protocol 2.8).
//!
//! What lives here: the text, its versions and roles. What does not: names are not resolved, files are not known, and whether a
//! change is allowed is asked elsewhere.
//!
//! Invariants:
//! - Whatever order the lines have, the same members are the same configuration.
//! - What was parsed, is written, and parsed again, is the same.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use rookeeper_proto::ballot::{self, Address};
use rookeeper_proto::ids::ServerId;
use thiserror::Error;

use crate::properties;
use crate::verifier::{DEFAULT_WEIGHT, Place, Verifier};

/// What a member is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Votes and acknowledges.
    Participant,
    /// Learns only.
    Observer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Participant => "participant",
            Self::Observer => "observer",
        })
    }
}

/// Where a member talks to the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// A name or an address, IPv6 without its brackets.
    pub host: String,
    /// Where a leader listens to its learners.
    pub quorum_port: u16,
    /// Where elections are held.
    pub election_port: u16,
}

impl Endpoint {
    /// Where to connect for an election.
    #[must_use]
    pub fn election(&self) -> Address {
        Address {
            host: self.host.clone(),
            port: self.election_port,
        }
    }

    /// Where to connect when it leads.
    #[must_use]
    pub fn quorum(&self) -> Address {
        Address {
            host: self.host.clone(),
            port: self.quorum_port,
        }
    }
}

/// One server of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// One, or several when it has several networks.
    pub endpoints: Vec<Endpoint>,
    /// What it is for.
    pub role: Role,
    /// Where clients connect, when the configuration says it.
    pub client: Option<Address>,
    /// Where clients connect with TLS; only newer releases write it.
    pub secure_client: Option<Address>,
}

/// The groups of a hierarchical configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Hierarchy {
    /// The members of each group.
    groups: BTreeMap<i64, Vec<ServerId>>,
    /// What was said about weights.
    weights: BTreeMap<ServerId, i64>,
}

/// Why a text is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MembershipError {
    /// A key that no release knows.
    #[error("unknown key {0:?}")]
    UnknownKey(String),
    /// A value that does not fit its key.
    #[error("{value:?} is no value for {key:?}")]
    BadValue {
        /// The key.
        key: String,
        /// What it was given.
        value: String,
    },
    /// A voter must be in exactly one group, if there are groups.
    #[error("server {0} is in {1} groups")]
    Groups(ServerId, usize),
}

/// A configuration of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    members: BTreeMap<ServerId, Member>,
    hierarchy: Option<Hierarchy>,
    version: i64,
}

impl Membership {
    /// Reads the text of a configuration.
    pub fn parse(text: &str) -> Result<Self, MembershipError> {
        let mut found = Self {
            members: BTreeMap::new(),
            hierarchy: None,
            version: 0,
        };
        for (key, value) in properties::parse(text) {
            let value = value.trim();
            let bad = || MembershipError::BadValue {
                key: key.clone(),
                value: value.to_owned(),
            };
            let (name, id) = key.split_once('.').unwrap_or((&key, ""));
            let id = id.trim().parse().ok();
            match (name, id) {
                ("server", Some(id)) => {
                    let member = parse_member(value).ok_or_else(bad)?;
                    found.members.insert(ServerId(id), member);
                }
                ("group", Some(id)) => {
                    let servers = value.split(':').map(|sid| sid.trim().parse().map(ServerId));
                    let servers = servers.collect::<Result<_, _>>().map_err(|_| bad())?;
                    found.hierarchy().groups.insert(id, servers);
                }
                ("weight", Some(id)) => {
                    let weight = value.parse().ok().filter(|weight| *weight >= 0);
                    let weight = weight.ok_or_else(bad)?;
                    found.hierarchy().weights.insert(ServerId(id), weight);
                }
                ("server" | "group" | "weight", None) => return Err(bad()),
                ("version", _) if key == "version" => {
                    let version = i64::from_str_radix(value, 16).ok();
                    found.version = version.filter(|version| *version >= 0).ok_or_else(bad)?;
                }
                _ => return Err(MembershipError::UnknownKey(key)),
            }
        }
        found.check_groups()?;
        Ok(found)
    }

    fn hierarchy(&mut self) -> &mut Hierarchy {
        self.hierarchy.get_or_insert_default()
    }

    fn check_groups(&self) -> Result<(), MembershipError> {
        let Some(hierarchy) = &self.hierarchy else {
            return Ok(());
        };
        for voter in self.voters() {
            let of = |servers: &&Vec<ServerId>| servers.contains(&voter);
            match hierarchy.groups.values().filter(of).count() {
                1 => {}
                count => return Err(MembershipError::Groups(voter, count)),
            }
        }
        Ok(())
    }

    /// The version: the zxid of the transaction that made it, 0 for one that was never agreed on.
    #[must_use]
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// The same members under another version.
    #[must_use]
    pub fn with_version(mut self, version: i64) -> Self {
        self.version = version;
        self
    }

    /// All members, in ascending order.
    pub fn members(&self) -> impl Iterator<Item = (ServerId, &Member)> {
        self.members
            .iter()
            .map(|(server, member)| (*server, member))
    }

    /// One of them.
    #[must_use]
    pub fn member(&self, server: ServerId) -> Option<&Member> {
        self.members.get(&server)
    }

    /// Those who vote, in ascending order.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> {
        let votes = |(_, member): &(&ServerId, &Member)| member.role == Role::Participant;
        self.members.iter().filter(votes).map(|(server, _)| *server)
    }

    /// True for a member that votes.
    #[must_use]
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.member(server)
            .is_some_and(|member| member.role == Role::Participant)
    }

    /// True when the servers differ in weight or group.
    #[must_use]
    pub const fn is_hierarchical(&self) -> bool {
        self.hierarchy.is_some()
    }

    /// What a quorum of it is.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        let Some(hierarchy) = &self.hierarchy else {
            return Verifier::Majority(self.voters().collect());
        };
        let place = |voter: ServerId| {
            let group = hierarchy
                .groups
                .iter()
                .find(|(_, servers)| servers.contains(&voter));
            let weight = hierarchy
                .weights
                .get(&voter)
                .copied()
                .unwrap_or(DEFAULT_WEIGHT);
            let group = group.map_or(0, |(group, _)| *group);
            (voter, Place { group, weight })
        };
        Verifier::Groups(self.voters().map(place).collect())
    }

    /// True when nothing would change: equal versions, or equal members in equal groups.
    #[must_use]
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.version == other.version
            || (self.members == other.members && self.hierarchy == other.hierarchy)
    }
}

/// The text, `version` last, no line end behind it.
impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (server, member) in &self.members {
            writeln!(f, "server.{server}={member}")?;
        }
        if let Some(hierarchy) = &self.hierarchy {
            for (group, servers) in &hierarchy.groups {
                let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
                writeln!(f, "group.{group}={}", servers.join(":"))?;
            }
            for (server, weight) in &hierarchy.weights {
                writeln!(f, "weight.{server}={weight}")?;
            }
        }
        write!(f, "version={:x}", self.version)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            if number > 0 {
                f.write_char('|')?;
            }
            write!(f, "{}:{}", endpoint.quorum(), endpoint.election_port)?;
        }
        write!(f, ":{}", self.role)?;
        // The secure address is left out: the releases spoken to do not know it.
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

fn parse_member(text: &str) -> Option<Member> {
    let mut parts = text.split(';').map(str::trim);
    let (mut endpoints, mut role) = (Vec::new(), None);
    for one in parts.next()?.split('|') {
        let (endpoint, said) = parse_endpoint(one.trim())?;
        if said.is_some() && role.is_some() && said != role {
            return None;
        }
        role = said.or(role);
        endpoints.push(endpoint);
    }
    let (client, secure_client) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    Some(Member {
        endpoints,
        role: role.unwrap_or(Role::Participant),
        client: optional_address(client)?,
        secure_client: optional_address(secure_client)?,
    })
}

/// `host:port:port[:role]`, an IPv6 host in brackets.
fn parse_endpoint(text: &str) -> Option<(Endpoint, Option<Role>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once("]:")?,
        None => text.split_once(':')?,
    };
    let mut rest = rest.split(':');
    let quorum_port = rest.next()?.trim().parse().ok()?;
    let election_port = rest.next()?.trim().parse().ok()?;
    let role = match rest.next().map(|word| word.trim().to_lowercase()) {
        None => None,
        Some(word) => Some(match word.as_str() {
            "participant" => Role::Participant,
            "observer" => Role::Observer,
            _ => return None,
        }),
    };
    let endpoint = Endpoint {
        host: host.to_owned(),
        quorum_port,
        election_port,
    };
    (rest.next().is_none() && ballot::is_host(host)).then_some((endpoint, role))
}

/// A client address, the outer `None` when it is none; a port alone means every interface.
fn optional_address(text: Option<&str>) -> Option<Option<Address>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Some(None);
    };
    if let Ok(port) = text.parse() {
        let host = "0.0.0.0".to_owned();
        return Some(Some(Address { host, port }));
    }
    Address::parse(text).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Membership {
        Membership::parse(text).unwrap()
    }

    #[test]
    fn members_roles_and_addresses() {
        let text = "version=1a\nserver.3=[::1]:1:2:observer;[::]:3\nserver.1=a:1:2|b:3:4:participant;2181;c:5\n";
        let config = parsed(text);
        assert_eq!(config.version(), 0x1a);
        let one = config.member(ServerId(1)).unwrap();
        assert_eq!((one.endpoints.len(), one.role), (2, Role::Participant));
        assert_eq!(one.secure_client.as_ref().unwrap().to_string(), "c:5");
        assert_eq!(config.voters().collect::<Vec<_>>(), [ServerId(1)]);
        let expected = "server.1=a:1:2|b:3:4:participant;0.0.0.0:2181\nserver.3=[::1]:1:2:observer;[::]:3\nversion=1a";
        assert_eq!(config.to_string(), expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text| Membership::parse(text).unwrap_err().to_string();
        assert_eq!(wrong("clientPort=1"), "unknown key \"clientPort\"");
        assert_eq!(
            wrong("server.1=a:1"),
            "\"a:1\" is no value for \"server.1\""
        );
        assert_eq!(
            wrong("server.x=a:1:2"),
            "\"a:1:2\" is no value for \"server.x\""
        );
        assert_eq!(wrong("version=x"), "\"x\" is no value for \"version\"");
        for text in [
            "server.1=a:1:2:boss",
            "server.1=:1:2",
            "server.1=a:1:2;x",
            "weight.1=-1",
        ] {
            assert!(Membership::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn groups_cover_every_voter_once() {
        let servers = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\n";
        let with = |groups: &str| Membership::parse(&format!("{servers}{groups}"));
        assert!(with("group.1=1:2\nweight.2=0").unwrap().is_hierarchical());
        assert_eq!(
            with("group.1=1"),
            Err(MembershipError::Groups(ServerId(2), 0))
        );
        assert_eq!(
            with("group.1=1:2\ngroup.2=2"),
            Err(MembershipError::Groups(ServerId(2), 2))
        );
        let verifier = with("group.1=1:2\nweight.2=0").unwrap().verifier();
        assert!(verifier.is_quorum(|server| server == ServerId(1)));
        assert!(!verifier.is_quorum(|server| server == ServerId(2)));
    }

    #[test]
    fn the_order_of_lines_means_nothing() {
        let one = parsed("server.1=a:1:2\nserver.2=b:1:2\nversion=1");
        let other = parsed("version=2\nserver.2=b:1:2\nserver.1=a:1:2:participant");
        assert!(one.is_equivalent(&other));
        assert!(!one.is_equivalent(&parsed("server.1=a:1:2\nversion=3")));
        assert!(one.is_equivalent(&parsed("server.1=a:1:2\nversion=1")));
    }

    fn members() -> impl Strategy<Value = Member> {
        let host = "[a-z][a-z0-9.-]{0,8}|[0-9a-f]{1,3}::[0-9a-f]{1,3}";
        let address = (host, any::<u16>()).prop_map(|(host, port)| Address { host, port });
        let endpoint = (host, any::<u16>(), any::<u16>()).prop_map(|(host, q, e)| Endpoint {
            host,
            quorum_port: q,
            election_port: e,
        });
        let endpoints = prop::collection::vec(endpoint, 1..3);
        (endpoints, any::<bool>(), prop::option::of(address)).prop_map(
            |(endpoints, votes, client)| Member {
                endpoints,
                role: if votes {
                    Role::Participant
                } else {
                    Role::Observer
                },
                client,
                secure_client: None,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_parsed(
            members in prop::collection::btree_map(0..255i64, members(), 0..5),
            version in 0..i64::MAX,
            weighted in any::<bool>(),
        ) {
            let members: BTreeMap<_, _> = members.into_iter().map(|(id, m)| (ServerId(id), m)).collect();
            let hierarchy = (weighted && !members.is_empty()).then(|| Hierarchy {
                groups: BTreeMap::from([(1, members.keys().copied().collect())]),
                weights: members.keys().map(|id| (*id, id.0 % 3)).collect(),
            });
            let config = Membership { members, hierarchy, version };
            prop_assert_eq!(Membership::parse(&config.to_string()), Ok(config));
        }

        /// Whatever a peer sends: what is taken is written in a way that reads the same, so it cannot smuggle in a line.
        #[test]
        fn any_text_is_parsed_or_refused(
            text in "(server|group|weight|version|(server|group|weight)[.][0-9]=([a-c]|:|[0-9]|\\\\|\\\\n|;|\\[|\\]|\\|){0,12}\n|[.=:;|#\\\\0-9a-f\\[\\]\n]){0,20}",
        ) {
            if let Ok(mut config) = Membership::parse(&text) {
                config.members.values_mut().for_each(|member| member.secure_client = None);
                prop_assert_eq!(Membership::parse(&config.to_string()), Ok(config));
            }
        }
    }
}
