//! What decides in this server: a standalone member, or one of an ensemble with its ways to the others.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rookeeper_database::database::Database;
use rookeeper_node::ensemble::{Member, Standing};
use rookeeper_node::kept::Kept;
use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::standalone::Standalone;
use rookeeper_proto::ballot::Address;
use rookeeper_proto::ids::ServerId;
use rookeeper_quorum::committed::CommittedWindow;
use rookeeper_quorum::membership::{self, Membership};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::{StartError, options};
use crate::clock::wall;
use crate::config::EnsembleSettings;
use crate::driver::Part;
use crate::driver::ensemble::diary::Diary;
use crate::driver::ensemble::{Ensemble, ShownConfig};
use crate::driver::history::Work;
use crate::election_port::{ElectionPort, ElectionPortConfig};
use crate::io_threads::IoThread;
use crate::quorum_port::learners::{LearnerPort, LearnerPortConfig};
use crate::quorum_port::{QuorumPortLimits, Tie};
use crate::service::Service;

/// What the settings say, and the thread that speaks with the other servers.
pub(super) fn of(
    service: &Service,
    beginnings: Beginnings<'_>,
) -> Result<(Part, Option<IoThread>), StartError> {
    let Some(settings) = &service.settings.ensemble else {
        return Ok((standalone(service, beginnings.proposer), None));
    };
    let thread = IoThread::start("rookeeper-peers")?;
    let part = member(service, settings, beginnings, thread.handle().clone())?;
    Ok((part, Some(thread)))
}

/// A server of its own.
fn standalone(service: &Service, config: ProposerConfig) -> Part {
    let tree = service.replica.tree.read();
    let member = Standalone::new(config, &tree, service.clock.now());
    Part::Standalone(Box::new(member))
}

/// What a member begins with, besides what the server has.
pub(super) struct Beginnings<'a> {
    pub(super) database: &'a Database,
    pub(super) window: CommittedWindow,
    /// Transactions that were durable here may be missing.
    pub(super) incomplete: bool,
    pub(super) proposer: ProposerConfig,
    pub(super) hash_seed: u64,
}

/// A member of an ensemble. It looks for a leader from now on.
fn member(
    service: &Service,
    settings: &EnsembleSettings,
    beginnings: Beginnings<'_>,
    runtime: Handle,
) -> Result<Part, StartError> {
    let Beginnings {
        database,
        window,
        incomplete,
        proposer,
        hash_seed,
    } = beginnings;
    let epochs = database.recover_epochs()?;
    info!(
        "accepted epoch {}, current epoch {}, last zxid {}",
        epochs.accepted(),
        epochs.current(),
        window.last()
    );
    if incomplete {
        warn!(
            "the history is incomplete: this member votes for nobody until it has the state of a leader"
        );
    }
    let shown = ShownConfig::of(&settings.membership, wall());
    shown.show(&mut service.replica.tree.write());
    let standing = Standing {
        accepted: epochs.accepted(),
        current: epochs.current(),
        window,
        incomplete,
    };
    let (config, mut first) = (options::member_config(settings, proposer), Vec::new());
    let member = Member::start(config, standing, service.clock.now(), &mut first);
    let inbox = Arc::clone(&service.inbox);
    // Votes of others may come from here on.
    let election =
        ElectionPort::start(election_port(settings), Arc::clone(&inbox), runtime.clone())?;
    let limits = options::quorum_limits(&service.settings, settings);
    let learners = learner_port(settings, limits);
    Ok(Part::Ensemble(Box::new(Ensemble {
        member,
        first,
        epochs,
        election,
        learners: LearnerPort::new(learners, inbox, runtime.clone()),
        leader: None,
        quorum_size: settings.membership.voters().count() as u64,
        following: settings.me,
        leads: false,
        refusals: 0,
        evictions: 0,
        serving_since: None,
        leader_serves: settings.leader_serves,
        quorum_addresses: all_quorum_addresses(&settings.membership),
        limits,
        tree_options: options::tree_options(&service.settings, hash_seed),
        shown,
        deleting: Arc::clone(&service.deleting),
        runtime,
        tie: Tie::default(),
        work: Work::Idle,
        held: VecDeque::new(),
        kept: Kept::default(),
        diary: Diary::of(settings.me, settings.membership.clone()),
    })))
}

fn election_port(settings: &EnsembleSettings) -> ElectionPortConfig {
    let all = settings.membership.members();
    let peers: BTreeMap<ServerId, Vec<Address>> = all
        .map(|(id, member)| (id, election_addresses(member)))
        .filter(|(id, _)| *id != settings.me)
        .collect();
    let own = settings.membership.member(settings.me);
    ElectionPortConfig {
        me: settings.me,
        peers,
        own: own.map_or_else(Vec::new, election_addresses),
        listen_on_all: settings.listen_on_all_ips,
        connect_timeout: settings.connect_timeout,
        handshake_timeout: settings.handshake_timeout,
        keep_alive: settings.tcp_keep_alive,
        bind_retries: settings.election_bind_retries,
        multi_address: settings.multi_address,
    }
}

fn learner_port(settings: &EnsembleSettings, limits: QuorumPortLimits) -> LearnerPortConfig {
    LearnerPortConfig {
        addresses: quorum_addresses(&settings.membership, settings.me),
        listen_on_all: settings.listen_on_all_ips,
        limits: QuorumPortLimits {
            nodelay: settings.leader_nodelay,
            ..limits
        },
    }
}

fn election_addresses(member: &membership::Member) -> Vec<Address> {
    let endpoints = member.endpoints.iter();
    endpoints.map(membership::Endpoint::election).collect()
}

fn quorum_addresses(membership: &Membership, server: ServerId) -> Vec<Address> {
    let member = membership.member(server);
    let endpoints = member.map(|member| member.endpoints.iter());
    endpoints
        .into_iter()
        .flatten()
        .map(membership::Endpoint::quorum)
        .collect()
}

fn all_quorum_addresses(membership: &Membership) -> BTreeMap<ServerId, Vec<Address>> {
    membership
        .members()
        .map(|(id, _)| (id, quorum_addresses(membership, id)))
        .collect()
}
