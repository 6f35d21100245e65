//! Membership lines: is this a server of its own, and on which port does its line put the clients?
//!
//! Lines are checked in full although this version runs standalone only: a line that no ZooKeeper server would
//! take must not pass (operations, 1.3). Names are not resolved here.

use super::{
    error::{Refusal, SettingsError},
    reader::Reader,
    settings::ListenAddress,
    written::{Entry, Line, Written},
};

/// Message of a server that was given a single member and runs on its own.
pub(super) const ONE_SERVER: &str = "Invalid configuration, only one server specified (ignoring)";

const PARTICIPANTS: &str =
    "it cannot be a member of an ensemble yet; leave one server line or none";
const OBSERVERS: &str = "it cannot serve observers yet; leave one participant or no server line";
const ALONE: &str = "standaloneEnabled=false makes even one server an ensemble; remove it";
const TLS_PORT: &str = "client port with TLS";

/// One understood membership line.
struct Member<'a> {
    entry: &'a Entry,
    observer: bool,
    client: Option<ListenAddress>,
}

/// The only member of an "ensemble" of one.
pub(super) struct SoleMember<'a> {
    pub(super) entry: &'a Entry,
    /// Client part of its line.
    pub(super) client: Option<ListenAddress>,
}

/// Looks at all membership lines. `None`: there are none, the usual standalone server.
pub(super) fn sole_member<'a>(
    reader: &Reader<'a>,
    standalone_enabled: bool,
) -> Result<Option<SoleMember<'a>>, SettingsError> {
    let mut members = reader
        .entries(SERVER_ROW)
        .map(member)
        .collect::<Result<Vec<_>, _>>()?;
    // In the order in which they were written, so that the message names the first line that is too much.
    members.sort_by_key(|member| line_number(member.entry));
    let observer = members.iter().find(|member| member.observer);
    if let Some(observer) = observer {
        let alone = members.iter().all(|member| member.observer);
        let refusal = if alone {
            Refusal::ObserversOnly
        } else {
            Refusal::EnsembleNotBuilt(OBSERVERS)
        };
        return Err(observer.entry.refuse(refusal));
    }
    if let Some(second) = members.get(1) {
        return Err(second.entry.refuse(Refusal::EnsembleNotBuilt(PARTICIPANTS)));
    }
    if !standalone_enabled {
        let refusal = Refusal::EnsembleNotBuilt(ALONE);
        return Err(match reader.entry("standaloneEnabled") {
            Some(entry) => entry.refuse(refusal),
            None => SettingsError::about("standaloneEnabled", refusal),
        });
    }
    Ok(members
        .pop()
        .map(|Member { entry, client, .. }| SoleMember { entry, client }))
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
fn member(entry: &Entry) -> Result<Member<'_>, SettingsError> {
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
    let observer = role(entry, servers)?;
    if servers.contains('|') {
        return Err(entry.refuse(Refusal::MultipleAddresses(id)));
    }
    if !secure.is_empty() {
        return Err(entry.refuse(Refusal::ProtectionNotBuilt(TLS_PORT.to_owned())));
    }
    let client = match client {
        "" => None,
        text => Some(client_address(entry, text)?),
    };
    Ok(Member {
        entry,
        observer,
        client,
    })
}

/// Checks all addresses of a member; true: it is an observer.
fn role(entry: &Entry, servers: &str) -> Result<bool, SettingsError> {
    let mut roles = servers
        .split('|')
        .map(|address| server_address(entry, address.trim()));
    let first = roles.next().unwrap_or(Ok(false))?;
    for role in roles {
        if role? != first {
            return Err(entry.refuse(Refusal::MemberForm(servers.to_owned())));
        }
    }
    Ok(first)
}

/// `HOST:QUORUMPORT:ELECTIONPORT[:ROLE]`; true: an observer.
fn server_address(entry: &Entry, address: &str) -> Result<bool, SettingsError> {
    let form = || entry.refuse(Refusal::MemberForm(address.to_owned()));
    let (host, rest) = split_host(address).ok_or_else(form)?;
    let mut parts = rest.split(':');
    let (Some(quorum), Some(election)) = (parts.next(), parts.next()) else {
        return Err(form());
    };
    let quorum = port(entry, host, quorum)?;
    let election = port(entry, host, election)?;
    let role = parts.next();
    if host.is_empty() || quorum == election || parts.next().is_some() {
        return Err(form());
    }
    role.map_or(Ok(false), |role| is_observer(entry, role))
}

/// Reads a role, of a membership line or of `peerType`; true: an observer.
pub(super) fn is_observer(entry: &Entry, role: &str) -> Result<bool, SettingsError> {
    match role.to_ascii_lowercase().as_str() {
        "participant" => Ok(false),
        "observer" => Ok(true),
        _ => Err(entry.refuse(Refusal::PeerType(role.to_owned()))),
    }
}

/// `[ADDR:]PORT`
fn client_address(entry: &Entry, text: &str) -> Result<ListenAddress, SettingsError> {
    let (host, number) = match split_host(text) {
        Some((host, number)) => (host, number),
        None => ("", text),
    };
    let port = port(entry, host, number)?;
    Ok(ListenAddress {
        host: specific_host(host),
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
