//! Second stage, ensembles: who this server is among the membership lines, and how it talks to the others.
//!
//! Reading membership lines is `membership`, the file with the own number `my_id`. Invariants: the own number is one of the
//! members; what the members would have to agree on and is not built refuses the start.

use std::{collections::BTreeMap, time::Duration};

use rookeeper_proto::ids::ServerId;
use rookeeper_quorum::leader::sync_limits::SyncLimits;
use rookeeper_quorum::membership::{Membership, Role};

use super::{
    error::{Refusal, SettingsError, Warning},
    interpret::at_least,
    membership::{self, MemberLine},
    my_id::MyId,
    reader::{ANY_INT, NOT_NEGATIVE, POSITIVE, Reader, millis, small},
    settings::{EnsembleSettings, ListenAddress},
};

/// Participants that bear no failure.
const TOO_FEW: usize = 2;
/// Transactions that a leader keeps in memory for learners at least.
const COMMIT_LOG_LEAST: i64 = 500;
/// Share of a snapshot up to which a learner is fed from the log, unless another one is possible.
const SNAPSHOT_SIZE_FACTOR: f64 = 0.33;
/// Largest number of a server whose nodes may have a time to live: their owners hold it in one byte, and 255 is taken.
const EXTENDED_ID_MOST: i64 = 254;

const FEW_TEXT: &str = "No server failure will be tolerated. You need at least 3 servers.";
const EVEN_TEXT: &str = "Non-optimal configuration, consider an odd number of servers.";

/// Switches that a server on its own honours and a member does not have.
const NOT_BUILT: [(&str, &str); 2] = [
    ("reconfigEnabled", "changing the members while they run"),
    (
        "readonlymode.enabled",
        "serving read-only clients without a quorum",
    ),
];

/// What the configuration says of a member, and where its clients connect; `own` is the address that `clientPort` gives.
pub(super) fn ensemble(
    reader: &mut Reader<'_>,
    lines: &[MemberLine<'_>],
    my_id: &MyId,
    own: Option<ListenAddress>,
) -> Result<(Option<ListenAddress>, EnsembleSettings), SettingsError> {
    refuse_not_built(reader)?;
    warn_of_number(reader, lines);
    warn_of_shared_addresses(reader, lines);
    let membership = membership::of_lines(lines)?.with_version(version(reader));
    let members: Vec<_> = membership.members().map(|(id, _)| id).collect();
    let claimed = my_id.claimed(&members)?;
    let line = lines.iter().find(|line| Some(line.id) == claimed);
    let listen = match line {
        Some(line) => listen_address(reader, line, own)?,
        None => own,
    };
    let vocation = vocation(reader, line);
    // In this order, so that a file without limits hears of them before it hears of `myid`, as from a Java server.
    let (init_limit, sync_limit) = (limit(reader, "initLimit")?, limit(reader, "syncLimit")?);
    let me = claimed.ok_or_else(|| my_id.missing(&members))?;
    if line.is_none() {
        return Err(my_id.stranger(me, &members));
    }
    refuse_large_number(reader, me)?;
    let identity = Identity {
        me,
        membership,
        vocation,
    };
    Ok((listen, settings(reader, identity, init_limit, sync_limit)?))
}

/// Who this server is, and among whom.
struct Identity {
    me: ServerId,
    membership: Membership,
    vocation: Role,
}

fn settings(
    reader: &mut Reader<'_>,
    identity: Identity,
    init_limit: u32,
    sync_limit: u32,
) -> Result<EnsembleSettings, SettingsError> {
    let (min_notification, max_notification) = notification_intervals(reader);
    let connect_limit = reader.strict_number("connectToLearnerMasterLimit", NOT_NEGATIVE)?;
    Ok(EnsembleSettings {
        me: identity.me,
        membership: identity.membership,
        vocation: identity.vocation,
        init_limit,
        sync_limit,
        connect_limit: match connect_limit {
            0 => init_limit,
            ticks => small(ticks),
        },
        connect_timeout: reader.millis("cnxTimeout", POSITIVE),
        handshake_timeout: handshake_timeout(reader, sync_limit)?,
        tcp_keep_alive: reader.flag("tcpKeepAlive"),
        leader_nodelay: reader.flag("leader.nodelay"),
        follower_nodelay: reader.flag("follower.nodelay"),
        election_bind_retries: small(reader.number("electionPortBindRetry", NOT_NEGATIVE)),
        listen_on_all_ips: reader.strict_flag("quorumListenOnAllIPs")?,
        multi_address: reader.strict_flag("multiAddress.enabled")?,
        leader_serves: reader.yes_no("leaderServes"),
        min_notification,
        max_notification,
        leader_connect_pause: reader.millis("leaderConnectDelayDuringRetryMs", NOT_NEGATIVE),
        commit_log_count: at_least(reader, "commitLogCount", COMMIT_LOG_LEAST) as usize,
        force_snapshot_sync: reader.flag("forceSnapshotSync"),
        sync_limits: sync_limits(reader),
        observer_election_delay: reader.millis("observer.election.DelayMs", NOT_NEGATIVE),
        observer_reconnect_delay: reader.millis("observer.reconnectDelayMs", NOT_NEGATIVE),
        snapshot_size_factor: snapshot_size_factor(reader),
    })
}

fn refuse_not_built(reader: &Reader<'_>) -> Result<(), SettingsError> {
    for (name, what) in NOT_BUILT {
        if let Some(entry) = reader.entry(name)
            && entry.value.eq_ignore_ascii_case("true")
        {
            return Err(entry.refuse(Refusal::NotBuiltInEnsemble(what.to_owned())));
        }
    }
    Ok(())
}

/// An even number of participants bears no more failures than one participant less.
fn warn_of_number(reader: &mut Reader<'_>, lines: &[MemberLine<'_>]) {
    let participants = lines.iter().filter(|line| !line.is_observer()).count();
    let text = match participants {
        0..=TOO_FEW => FEW_TEXT,
        even if even % 2 == 0 => EVEN_TEXT,
        _ => return,
    };
    if let Some(first) = lines.first() {
        reader.warn(first.entry, text);
    }
}

/// Two servers at one address: whoever calls the one reaches the other. Java servers say nothing of it.
fn warn_of_shared_addresses(reader: &mut Reader<'_>, lines: &[MemberLine<'_>]) {
    let mut owners = BTreeMap::new();
    for line in lines {
        for endpoint in &line.member.endpoints {
            for (what, address) in [
                ("quorum", endpoint.quorum()),
                ("election", endpoint.election()),
            ] {
                let owner = *owners.entry(address.to_string()).or_insert(line.id);
                if owner != line.id && !address.is_wildcard() {
                    let id = line.id;
                    let text = format!(
                        "server.{id} has as its {what} address {address}, which is one of server.{owner}"
                    );
                    reader.warn(line.entry, &text);
                }
            }
        }
    }
}

/// The version of the members that a membership file is written for: the last suffix of its name.
fn version(reader: &Reader<'_>) -> i64 {
    let file = reader.entry("dynamicConfigFile");
    file.map_or(0, |entry| version_in_name(&entry.value))
}

fn version_in_name(path: &str) -> i64 {
    let suffix = path.rsplit_once('.').map(|(_, suffix)| suffix);
    let plain = suffix.filter(|suffix| suffix.bytes().all(|byte| byte.is_ascii_hexdigit()));
    plain
        .and_then(|digits| i64::from_str_radix(digits, 16).ok())
        .unwrap_or_default()
}

/// The client part of the own line goes before `clientPort`, but may not contradict it. Where a name stands for one of the
/// hosts, nobody has asked yet what it means, so nobody can say that they differ.
fn listen_address(
    reader: &mut Reader<'_>,
    line: &MemberLine<'_>,
    own: Option<ListenAddress>,
) -> Result<Option<ListenAddress>, SettingsError> {
    let (Some(member), Some(own)) = (line.listen(), &own) else {
        return Ok(line.listen().or(own));
    };
    let same_host = own.host.is_none() || own.host == member.host;
    let unclear = has_name(own) || has_name(&member);
    if own.port != member.port || !(same_host || unclear) {
        return Err(line.entry.refuse(Refusal::MemberClientConflict {
            id: line.id.0,
            own: own.to_string(),
            member: member.to_string(),
        }));
    }
    if !same_host {
        let text = format!("clients connect to {member}; clientPortAddress is not used");
        reader.warn(line.entry, &text);
    }
    Ok(Some(member))
}

fn has_name(address: &ListenAddress) -> bool {
    let host = address.host.as_deref();
    host.is_some_and(|host| host.parse::<std::net::IpAddr>().is_err())
}

/// What this server is for: its line knows better than `peerType`.
fn vocation(reader: &mut Reader<'_>, line: Option<&MemberLine<'_>>) -> Role {
    let entry = reader.entry("peerType");
    let said = match entry.map(|entry| entry.value.to_ascii_lowercase()) {
        Some(word) if word == "observer" => Role::Observer,
        _ => Role::Participant,
    };
    let role = line.map_or(said, |line| line.member.role);
    if role != said {
        let text = format!(
            "Peer type from servers list ({}) doesn't match peerType ({}). Defaulting to servers list.",
            name(role),
            name(said)
        );
        match entry {
            Some(entry) => reader.warn(entry, &text),
            None => reader.warnings.push(Warning::new("peerType", text)),
        }
    }
    role
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Participant => "PARTICIPANT",
        Role::Observer => "OBSERVER",
    }
}

/// Ticks that every member must be given.
fn limit(reader: &Reader<'_>, key: &'static str) -> Result<u32, SettingsError> {
    let ticks = reader.strict_optional_number(key, NOT_NEGATIVE)?;
    match (ticks.filter(|&ticks| ticks > 0), reader.entry(key)) {
        (Some(ticks), _) => Ok(small(ticks)),
        (None, Some(entry)) => Err(entry.refuse(Refusal::NotSet(key))),
        (None, None) => Err(SettingsError::about(key, Refusal::NotSet(key))),
    }
}

fn refuse_large_number(reader: &Reader<'_>, me: ServerId) -> Result<(), SettingsError> {
    let extended = reader.entry("extendedTypesEnabled");
    let extended = extended.filter(|entry| entry.value.eq_ignore_ascii_case("true"));
    match extended.filter(|_| me.0 > EXTENDED_ID_MOST) {
        Some(entry) => Err(entry.refuse(Refusal::LargeIdWithExtendedTypes {
            id: me.0,
            most: EXTENDED_ID_MOST,
        })),
        None => Ok(()),
    }
}

/// How long an election connection may take to say who it is.
fn handshake_timeout(reader: &mut Reader<'_>, sync_limit: u32) -> Result<Duration, SettingsError> {
    let set = reader.number("quorumCnxnTimeoutMs", ANY_INT);
    if set >= 0 {
        return Ok(millis(set));
    }
    let tick = reader.strict_number("tickTime", POSITIVE)?;
    Ok(millis(tick).saturating_mul(sync_limit))
}

/// The shortest and the longest pause between election messages.
fn notification_intervals(reader: &mut Reader<'_>) -> (Duration, Duration) {
    const LONGEST: &str = "fastleader.maxNotificationInterval";
    let shortest = reader.millis("fastleader.minNotificationInterval", POSITIVE);
    let longest = reader.millis(LONGEST, POSITIVE);
    if longest < shortest {
        let text = "is shorter than fastleader.minNotificationInterval, which is used";
        match reader.entry(LONGEST) {
            Some(entry) => reader.warn(entry, text),
            None => reader
                .warnings
                .push(Warning::new(LONGEST, format!("{LONGEST} {text}"))),
        }
    }
    (shortest, longest.max(shortest))
}

/// Learners that are synchronized at a time. The name of 3.5 counts where the later one is missing.
fn sync_limits(reader: &mut Reader<'_>) -> SyncLimits {
    let before = reader.number("leader.maxConcurrentSnapshots", POSITIVE);
    let states = reader.number_or("leader.maxConcurrentSnapSyncs", POSITIVE, before);
    let differences = reader.number("leader.maxConcurrentDiffSyncs", POSITIVE);
    SyncLimits {
        states: small(states) as usize,
        differences: small(differences) as usize,
    }
}

/// Zero when learners are never fed from the log on the disk.
fn snapshot_size_factor(reader: &mut Reader<'_>) -> f64 {
    let Some(entry) = reader.entry("snapshotSizeFactor") else {
        return SNAPSHOT_SIZE_FACTOR;
    };
    match entry.value.parse::<f64>() {
        Ok(factor) if factor <= 1.0 => factor.max(0.0),
        _ => {
            let text = format!(
                "'{}' is no number up to 1, {SNAPSHOT_SIZE_FACTOR} is used",
                entry.value
            );
            reader.warn(entry, &text);
            SNAPSHOT_SIZE_FACTOR
        }
    }
}

#[cfg(test)]
mod tests {
    use super::version_in_name;

    #[test]
    fn the_version_is_the_last_suffix_if_it_is_hexadecimal() {
        for (path, version) in [
            ("/etc/zoo.cfg.dynamic.100000011", 0x1_0000_0011),
            ("zoo.cfg.dynamic.1A", 0x1a),
            ("/etc/zoo.cfg.dynamic", 0),
            ("/etc/conf.d/members", 0),
            ("members", 0),
            ("members.", 0),
            ("members.+5", 0),
            ("members.-5", 0),
            ("members.10000000000000000", 0),
        ] {
            assert_eq!(version_in_name(path), version, "{path}");
        }
    }
}
