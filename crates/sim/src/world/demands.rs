//! What is demanded once everything is mended: everybody serves, clients are answered, and all trees are equal.

use rookeeper_proto::ids::ServerId;

use super::{Machine, World};
use crate::agenda::{Event, MS, Time};
use crate::checks::Seen;
use crate::process::Process;

/// How long clients go on after everything is mended.
const AFTERMATH: Time = 1_500 * MS;
/// How long everybody may take to serve, and to have what all have. The longest that a protocol waits for anything is far below.
const PATIENCE: Time = 20_000 * MS;
/// Between two looks: at other times than any clock ticks.
const LOOK: Time = 37 * MS;

impl World {
    /// Who leads, if somebody does.
    pub(crate) fn leader(&self) -> Option<ServerId> {
        let leads = |machine: &Machine| {
            let process = machine.process.as_ref();
            process.is_some_and(|it| it.leads() && it.serves())
        };
        let found = self.machines.iter().find(|(_, machine)| leads(machine));
        found.map(|(server, _)| *server)
    }

    /// Requests on their way at a server.
    pub(crate) fn in_flight(&self, server: ServerId) -> usize {
        let machine = self.machines.get(&server);
        let process = machine.and_then(|machine| machine.process.as_ref());
        process.map_or(0, Process::in_flight)
    }

    /// Is everybody where all should be?
    pub(super) fn look(&mut self) {
        if !self.scene.healed {
            return;
        }
        self.scene.after(LOOK, Event::Look);
        let waited = self.scene.now - self.healed_at;
        let resting = self.clients.iter().all(|client| client.at_rest);
        if !resting {
            let wrote = self.clients.iter().all(|it| it.writes_since_healed > 0);
            if wrote && waited > AFTERMATH {
                self.clients.iter_mut().for_each(|it| it.at_rest = true);
            }
        } else if self.is_settled() {
            self.settle();
            return;
        }
        if waited > PATIENCE {
            let text = self.lateness();
            self.scene.see(&Seen::Late(&text));
        }
    }

    fn is_settled(&self) -> bool {
        let last = self.scene.checks.ledger().last();
        self.machines.values().all(|machine| {
            let process = machine.process.as_ref();
            process.is_some_and(|it| {
                let end = self
                    .scene
                    .checks
                    .ledger()
                    .transaction(it.tree().last_zxid());
                it.serves() && it.is_quiet() && end == last
            })
        })
    }

    fn settle(&mut self) {
        self.over = true;
        for (server, machine) in &self.machines {
            if let Some(process) = &machine.process {
                self.scene.see(&Seen::Settled {
                    server: *server,
                    tree: process.tree(),
                });
            }
        }
    }

    /// Who is where, for people.
    fn lateness(&self) -> String {
        let servers = self.machines.iter().map(|(server, machine)| {
            machine.process.as_ref().map_or_else(
                || format!("{server} is down"),
                |it| {
                    let last = it.tree().last_zxid();
                    let (leads, serves, left) = (it.leads(), it.serves(), it.in_flight());
                    let quiet = it.is_quiet();
                    format!(
                        "{server}: leads {leads}, serves {serves}, quiet {quiet}, {left} in flight, at {last}"
                    )
                },
            )
        });
        let servers: Vec<String> = servers.collect();
        let waiting: Vec<usize> = (0..self.clients.len())
            .filter(|at| {
                self.clients
                    .get(*at)
                    .is_some_and(|it| it.writes_since_healed == 0)
            })
            .collect();
        format!(
            "not everybody is there in time: {}; {} is committed; clients without a write: {waiting:?}",
            servers.join("; "),
            self.scene.checks.ledger().last()
        )
    }
}
