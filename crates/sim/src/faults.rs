//! What breaks, how often, and what mends it again.
//!
//! Weights are chosen so that interesting histories are common: leaders die with proposals in flight, followers lag so far that
//! they need a state, logs have ends that others do not have.

use rookeeper_proto::ids::ServerId;
use rookeeper_storage::cut_disk::Fault as DiskFault;

use crate::agenda::{Event, MS, Time, Who};
use crate::checks::Seen;
use crate::dice::Dice;
use crate::network::{End, Purpose};
use crate::plan::Mood;
use crate::world::{Fall, World};

/// What ends a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mend {
    /// These two reach each other again.
    Way(ServerId, ServerId),
    /// The disk has room again.
    Disk(ServerId),
    /// The disk is quick again.
    Speed,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Crash,
    CrashOfLeader,
    PowerCut,
    PowerCutSoon,
    PowerCutForAll,
    Isolation,
    IsolationOfLeader,
    OneWay,
    Flapping,
    LearnerLink,
    ElectionLink,
    ClientLink,
    Pause,
    PauseOfLeader,
    WallClock,
    Suspension,
    BrokenDisk,
    FullDisk,
    SlowDisk,
    Wipe,
    Decay,
}

const MIXED: &[(u64, Kind)] = &[
    (8, Kind::Crash),
    (10, Kind::CrashOfLeader),
    (8, Kind::PowerCut),
    (12, Kind::PowerCutSoon),
    (2, Kind::PowerCutForAll),
    (9, Kind::Isolation),
    (8, Kind::IsolationOfLeader),
    (6, Kind::OneWay),
    (2, Kind::Flapping),
    (8, Kind::LearnerLink),
    (3, Kind::ElectionLink),
    (8, Kind::ClientLink),
    (4, Kind::Pause),
    (4, Kind::PauseOfLeader),
    (3, Kind::WallClock),
    (2, Kind::Suspension),
    (2, Kind::BrokenDisk),
    (4, Kind::FullDisk),
    (4, Kind::SlowDisk),
    (3, Kind::Wipe),
    (3, Kind::Decay),
];

const DUEL: &[(u64, Kind)] = &[
    (10, Kind::IsolationOfLeader),
    (4, Kind::PauseOfLeader),
    (3, Kind::CrashOfLeader),
    (3, Kind::Isolation),
    (4, Kind::LearnerLink),
    (4, Kind::ClientLink),
    (2, Kind::PowerCutSoon),
];

/// How long a trouble lasts: mostly short, sometimes longer than any patience.
fn duration(dice: &mut Dice) -> Time {
    if dice.permille(750) {
        dice.between(50 * MS, 900 * MS)
    } else {
        dice.between(900 * MS, 4_000 * MS)
    }
}

impl World {
    /// Something breaks, and the next fault is put into the agenda.
    pub(crate) fn fault(&mut self) {
        if self.scene.healed {
            return;
        }
        let (low, high) = self.scene.plan.fault;
        let next = self.scene.dice.between(low, high);
        self.scene.after(next, Event::Fault);
        let (servers, leader) = (self.scene.plan.servers(), self.leader());
        let any = self.scene.dice.pick(&servers).copied();
        let weights = match self.scene.plan.mood {
            Mood::Mixed => MIXED,
            Mood::Duel => DUEL,
        };
        let kind = self.scene.dice.weighted(weights);
        let (Some(kind), Some(any)) = (kind, any) else {
            return;
        };
        let leader = leader.unwrap_or(any);
        match kind {
            Kind::Crash => self.fall(any, Fall::Killed),
            Kind::CrashOfLeader => self.leader_falls(leader),
            Kind::PowerCut => self.fall(any, Fall::PowerCut),
            Kind::PowerCutSoon => self.cut_soon(any),
            Kind::PowerCutForAll => {
                for server in servers {
                    self.fall(server, Fall::PowerCut);
                }
            }
            Kind::Isolation => self.isolate(any),
            Kind::IsolationOfLeader => self.isolate(leader),
            Kind::OneWay => self.block_one_way(any, leader),
            Kind::Flapping => self.flap(any),
            Kind::LearnerLink => self.sever_some(Purpose::Quorum),
            Kind::ElectionLink => self.sever_some(Purpose::Election),
            Kind::ClientLink => self.sever_some(Purpose::Session),
            Kind::Pause => self.pause(any, false),
            Kind::PauseOfLeader => self.pause(leader, false),
            Kind::Suspension => self.pause(any, true),
            Kind::WallClock => self.jump(any),
            Kind::BrokenDisk => self.fail_disk(any, DiskFault::Broken),
            Kind::FullDisk => self.fail_disk(any, DiskFault::Full),
            Kind::SlowDisk => self.slow_disks(),
            Kind::Wipe => self.wipe(any, Fall::Wiped),
            Kind::Decay => self.wipe(any, Fall::Decayed),
        }
    }

    fn leader_falls(&mut self, leader: ServerId) {
        if self.in_flight(leader) > 0 {
            self.scene
                .count("crashes of leaders with proposals in flight");
        }
        let how = if self.scene.dice.permille(500) {
            Fall::Killed
        } else {
            Fall::PowerCut
        };
        self.fall(leader, how);
    }

    /// The power goes in the middle of what the disk does next.
    fn cut_soon(&mut self, server: ServerId) {
        let soon = 1 + self.scene.dice.below(12);
        if let Some(machine) = self.machines.get(&server) {
            machine.disk.cut_at(machine.disk.operations() + soon);
        }
    }

    fn isolate(&mut self, server: ServerId) {
        self.scene.count("partitions");
        let others = self.scene.plan.servers();
        // A random part of the others goes along.
        let along: Vec<bool> = others
            .iter()
            .map(|_| self.scene.dice.permille(250))
            .collect();
        let lasts = duration(&mut self.scene.dice);
        self.scene
            .tell(|| format!("server {server} is cut off for {} ms", lasts / MS));
        for (other, along) in others.into_iter().zip(along) {
            if other != server && !along {
                self.scene.network.block(server, other);
                self.scene.network.block(other, server);
                self.scene
                    .after(lasts, Event::Mend(Mend::Way(server, other)));
            }
        }
    }

    fn block_one_way(&mut self, a: ServerId, b: ServerId) {
        if a == b {
            return;
        }
        self.scene.count("partitions one way");
        let (from, to) = if self.scene.dice.permille(500) {
            (a, b)
        } else {
            (b, a)
        };
        let lasts = duration(&mut self.scene.dice);
        self.scene
            .tell(|| format!("nothing passes from {from} to {to} for {} ms", lasts / MS));
        self.scene.network.block(from, to);
        self.scene.after(lasts, Event::Mend(Mend::Way(from, to)));
    }

    fn flap(&mut self, server: ServerId) {
        for _ in 0..5 {
            self.isolate(server);
        }
    }

    fn sever_some(&mut self, purpose: Purpose) {
        let links = self.scene.network.whole(purpose);
        if let Some(link) = self.scene.dice.pick(&links).copied() {
            self.scene.count("connections that break");
            self.scene
                .tell(|| format!("connection {link} ({purpose:?}) breaks"));
            self.scene.sever(link);
        }
    }

    /// A process is stopped for a while; `suspended` stops its monotonic clock too.
    fn pause(&mut self, server: ServerId, suspended: bool) {
        let lasts = duration(&mut self.scene.dice);
        let until = self.scene.now + lasts;
        let Some(machine) = self.machines.get_mut(&server) else {
            return;
        };
        machine.paused_until = machine.paused_until.max(until);
        if suspended {
            machine.clocks.behind += lasts;
            self.scene.see(&Seen::ClockStopped(server));
        }
        let clocks = machine.clocks;
        if let Some(process) = &mut machine.process {
            process.clocks = clocks;
        }
        self.scene.count("pauses");
        self.scene
            .tell(|| format!("server {server} stands still for {} ms", lasts / MS));
    }

    fn jump(&mut self, server: ServerId) {
        let by = self.scene.dice.between(-100_000, 100_000);
        if let Some(machine) = self.machines.get_mut(&server) {
            machine.clocks.wall += by;
            let clocks = machine.clocks;
            if let Some(process) = &mut machine.process {
                process.clocks = clocks;
            }
        }
        self.scene.count("clocks that jump");
    }

    fn fail_disk(&mut self, server: ServerId, fault: DiskFault) {
        let lasts = duration(&mut self.scene.dice);
        let Some(machine) = self.machines.get_mut(&server) else {
            return;
        };
        machine.disk_fault = true;
        machine.disk.fail_from(machine.disk.operations() + 1, fault);
        let what = match fault {
            DiskFault::Full => "full disks",
            DiskFault::Broken => "failed disks",
        };
        self.scene.count(what);
        self.scene
            .tell(|| format!("server {server}: {what} for {} ms", lasts / MS));
        self.scene.after(lasts, Event::Mend(Mend::Disk(server)));
    }

    fn slow_disks(&mut self) {
        let lasts = duration(&mut self.scene.dice);
        self.scene.plan.sync = (10 * MS, 250 * MS);
        self.scene.count("slow disks");
        self.scene.after(lasts, Event::Mend(Mend::Speed));
    }

    /// A member loses its disk, or a part: one at a time, and never while another has not come back with a history.
    fn wipe(&mut self, server: ServerId, how: Fall) {
        if self.machines.values().any(|machine| machine.wiped) {
            return;
        }
        self.fall(server, how);
    }

    /// Something works again.
    pub(crate) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Way(a, b) => {
                self.scene.network.clear(a, b);
                self.scene.network.clear(b, a);
            }
            Mend::Disk(server) => {
                if let Some(machine) = self.machines.get_mut(&server) {
                    machine.disk.heal();
                    machine.disk_fault = false;
                }
            }
            Mend::Speed => self.scene.plan.sync = self.usual_sync,
        }
    }

    /// Nothing fails any more.
    pub(crate) fn heal(&mut self) {
        self.scene.tell(|| "everything is mended".to_owned());
        self.scene.healed = true;
        self.scene.network.clear_all();
        self.scene.plan.sync = self.usual_sync;
        for machine in self.machines.values_mut() {
            machine.disk.heal();
            machine.disk.cut_at(0);
            machine.disk_fault = false;
        }
        // Who stands still goes on by itself.
        let pauses = self.machines.values().map(|it| it.paused_until).max();
        self.healed_at = self.scene.now.max(pauses.unwrap_or(0));
        self.scene.after(0, Event::Look);
    }
}

/// The end of a process on the network.
pub(crate) const fn end_of(who: Who) -> End {
    End::Server(who)
}
