//! Membership lines: who the members are, and is this a server of its own or one of them?
//!
//! Which of the members this server is, is not asked here. Lines are checked in full even where one server runs on its own: a
//! line that no ZooKeeper server would take must not pass (operations, 1.3). Names are not resolved here.

use std::{collections::BTreeSet, fmt::Write};

use rookeeper_proto::{
    ballot::{Address, OBSERVER_WITHOUT_ID, is_host},
    ids::ServerId,
};
use rookeeper_quorum::membership::{Endpoint, Member, Membership, Role};

use super::{
    error::{Refusal, SettingsError},
    reader::Reader,
    settings::ListenAddress,
    written::{Entry, Line, Written},
};

/// Message of a server that was given a single member and runs on its own.
pub(super) const ONE_SERVER: &str = "Invalid configuration, only one server specified (ignoring)";

const TLS_PORT: &str = "client port with TLS";

/// What stands for all interfaces where an address is needed.
const ANY_HOST: &str = "0.0.0.0";

/// One understood membership line.
pub(super) struct MemberLine<'a> {
    pub(super) entry: &'a Entry,
    pub(super) id: ServerId,
    pub(super) member: Member,
}

impl MemberLine<'_> {
    pub(super) fn is_observer(&self) -> bool {
        self.member.role == Role::Observer
    }

    /// Where the line puts the clients of its server.
    pub(super) fn listen(&self) -> Option<ListenAddress> {
        let client = self.member.client.as_ref()?;
        Some(ListenAddress {
            host: specific_host(&client.host),
            port: client.port,
        })
    }
}

/// What the lines make of this server.
pub(super) enum Company<'a> {
    /// It runs on its own; there may be a line all the same.
    Alone(Option<MemberLine<'a>>),
    /// It is a member of an ensemble. The lines are in the order in which they were written.
    Ensemble(Vec<MemberLine<'a>>),
}

/// Looks at all membership lines.
pub(super) fn company<'a>(
    reader: &Reader<'a>,
    standalone_enabled: bool,
) -> Result<Company<'a>, SettingsError> {
    let several_addresses = reader.strict_flag("multiAddress.enabled")?;
    let mut lines = reader
        .entries(SERVER_ROW)
        .map(|entry| member_line(entry, several_addresses))
        .collect::<Result<Vec<_>, _>>()?;
    // In the order in which they were written, so that a message names the first line that is too much.
    lines.sort_by_key(|line| line_number(line.entry));
    let participants = lines.iter().filter(|line| !line.is_observer()).count();
    let observer = lines.iter().find(|line| line.is_observer());
    match (participants, observer) {
        (0, _) if !standalone_enabled => Err(no_participant(reader)),
        (0, Some(observer)) => Err(observer.entry.refuse(Refusal::ObserversOnly)),
        (1, Some(observer)) if standalone_enabled => {
            Err(observer.entry.refuse(Refusal::ObserversWithoutQuorum))
        }
        (0, None) => Ok(Company::Alone(None)),
        (1, None) if standalone_enabled => Ok(Company::Alone(lines.pop())),
        _ => {
            refuse_odd_numbers(&lines)?;
            Ok(Company::Ensemble(lines))
        }
    }
}

fn no_participant(reader: &Reader<'_>) -> SettingsError {
    match reader.entry("standaloneEnabled") {
        Some(entry) => entry.refuse(Refusal::NoParticipant),
        None => SettingsError::about("standaloneEnabled", Refusal::NoParticipant),
    }
}

/// Numbers that no `myid` could hold, and numbers that occur twice (`server.1` and `server.01`).
fn refuse_odd_numbers(lines: &[MemberLine<'_>]) -> Result<(), SettingsError> {
    let mut seen = BTreeSet::new();
    for line in lines {
        if !(0..OBSERVER_WITHOUT_ID.0).contains(&line.id.0) {
            let (least, most) = (0, OBSERVER_WITHOUT_ID.0 - 1);
            return Err(line.entry.refuse(Refusal::OutOfRange { least, most }));
        }
        if !seen.insert(line.id) {
            return Err(line.entry.refuse(Refusal::MemberTwice(line.id.0)));
        }
    }
    Ok(())
}

/// The members of these lines as the servers know them.
pub(super) fn of_lines(lines: &[MemberLine<'_>]) -> Result<Membership, SettingsError> {
    let mut text = String::new();
    for line in lines {
        // A text has room for whatever is written to it.
        let _ = writeln!(text, "server.{}={}", line.id, line.member);
    }
    Membership::parse(&text)
        .map_err(|error| SettingsError::whole(Refusal::MemberForm(error.to_string())))
}

/// Name of the row that covers membership lines.
const SERVER_ROW: &str = "server.*";

/// A membership file is the only place of membership lines, even when it cannot be read.
pub(super) fn refuse_members_in_both_files(written: &Written) -> Result<(), SettingsError> {
    let stray = written.file.iter().find(|line| is_membership(&line.name));
    match stray.filter(|_| written.dynamic_config_file().is_some()) {
        Some(line) => Err(refuse(
            line,
            Refusal::MembershipInStaticFile(line.name.clone()),
        )),
        None => Ok(()),
    }
}

/// Moves the lines of the membership file to the others, after the checks that only this file has.
pub(super) fn with_dynamic_lines(mut written: Written) -> Result<Written, SettingsError> {
    refuse_members_in_both_files(&written)?;
    let dynamic = written.dynamic.take().unwrap_or_default();
    for line in &dynamic {
        if line.name == "version" {
            return Err(refuse(line, Refusal::DynamicVersion));
        }
        if !is_membership(&line.name) {
            return Err(refuse(line, Refusal::DynamicKey(line.name.clone())));
        }
    }
    written.file.extend(dynamic);
    Ok(written)
}

fn is_membership(name: &str) -> bool {
    ["server.", "group", "weight"]
        .iter()
        .any(|start| name.starts_with(start))
}

fn refuse(line: &Line, refusal: Refusal) -> SettingsError {
    SettingsError::at(&line.source, &line.name, &line.value, refusal)
}

fn line_number(entry: &Entry) -> usize {
    match &entry.source {
        super::source::Source::File { line, .. } => *line,
        _ => 0,
    }
}

/// `server.N=SERVERS[;CLIENT[;SECURE]]`
fn member_line(entry: &Entry, several_addresses: bool) -> Result<MemberLine<'_>, SettingsError> {
    let number = entry.name.strip_prefix("server.").unwrap_or_default();
    let id: i64 = number
        .parse()
        .map_err(|_| entry.refuse(Refusal::MemberId(number.to_owned())))?;
    let mut parts = entry.value.split(';').map(str::trim);
    let servers = parts.next().unwrap_or_default();
    let (client, secure) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    if parts.next().is_some() {
        return Err(entry.refuse(Refusal::MemberForm(entry.value.clone())));
    }
    let (endpoints, role) = endpoints(entry, servers)?;
    if endpoints.len() > 1 && !several_addresses {
        return Err(entry.refuse(Refusal::MultipleAddresses(id)));
    }
    if !secure.is_empty() {
        return Err(entry.refuse(Refusal::ProtectionNotBuilt(TLS_PORT.to_owned())));
    }
    let client = match client {
        "" => None,
        text => Some(client_address(entry, text)?),
    };
    let member = Member {
        endpoints,
        role,
        client,
        secure_client: None,
    };
    let id = ServerId(id);
    Ok(MemberLine { entry, id, member })
}

/// All addresses of a member, and the role on which they agree.
fn endpoints(entry: &Entry, servers: &str) -> Result<(Vec<Endpoint>, Role), SettingsError> {
    let (mut endpoints, mut roles) = (Vec::new(), Vec::new());
    for address in servers.split('|') {
        let (endpoint, role) = server_address(entry, address.trim())?;
        endpoints.push(endpoint);
        roles.push(role);
    }
    match roles.as_slice() {
        [first, others @ ..] if others.iter().all(|role| role == first) => Ok((endpoints, *first)),
        _ => Err(entry.refuse(Refusal::MemberForm(servers.to_owned()))),
    }
}

/// `HOST:QUORUMPORT:ELECTIONPORT[:ROLE]`
fn server_address(entry: &Entry, address: &str) -> Result<(Endpoint, Role), SettingsError> {
    let form = || entry.refuse(Refusal::MemberForm(address.to_owned()));
    let (host, rest) = split_host(address).ok_or_else(form)?;
    let mut parts = rest.split(':');
    let (Some(quorum), Some(election)) = (parts.next(), parts.next()) else {
        return Err(form());
    };
    let endpoint = Endpoint {
        host: host.to_owned(),
        quorum_port: port(entry, host, quorum)?,
        election_port: port(entry, host, election)?,
    };
    let role = parts.next();
    let same_port = endpoint.quorum_port == endpoint.election_port;
    if !is_host(host) || same_port || parts.next().is_some() {
        return Err(form());
    }
    let role = role.map_or(Ok(Role::Participant), |role| self::role(entry, role))?;
    Ok((endpoint, role))
}

/// Reads a role, of a membership line or of `peerType`.
pub(super) fn role(entry: &Entry, role: &str) -> Result<Role, SettingsError> {
    match role.to_ascii_lowercase().as_str() {
        "participant" => Ok(Role::Participant),
        "observer" => Ok(Role::Observer),
        _ => Err(entry.refuse(Refusal::PeerType(role.to_owned()))),
    }
}

/// `[ADDR:]PORT`
fn client_address(entry: &Entry, text: &str) -> Result<Address, SettingsError> {
    let (host, number) = split_host(text).unwrap_or(("", text));
    let port = port(entry, host, number)?;
    let host = if host.is_empty() { ANY_HOST } else { host };
    if !is_host(host) {
        return Err(entry.refuse(Refusal::MemberForm(text.to_owned())));
    }
    Ok(Address {
        host: host.to_owned(),
        port,
    })
}

/// The host, unless it stands for all interfaces.
pub(super) fn specific_host(host: &str) -> Option<String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!matches!(host, "" | "0.0.0.0" | "::" | "0:0:0:0:0:0:0:0")).then(|| host.to_owned())
}

/// Parts a name, an IPv4 or a bracketed IPv6 address from what follows its colon.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once("]:"),
        None => text.split_once(':'),
    }
}

fn port(entry: &Entry, host: &str, text: &str) -> Result<u16, SettingsError> {
    let port = text.parse().ok().filter(|&port| port > 0);
    port.ok_or_else(|| entry.refuse(Refusal::MemberPort(format!("{host}:{text}"))))
}
