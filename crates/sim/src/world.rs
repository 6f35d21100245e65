//! A whole ensemble with its clients, from one seed: machines, the events between them, and virtual time.
//!
//! First there is trouble, then everything is mended, and then progress is demanded: everybody serves, clients are answered, and all
//! trees are equal.

mod demands;

use std::collections::BTreeMap;

use rookeeper_proto::ids::ServerId;
use rookeeper_storage::cut_disk::{CutDisk, Tear};

use crate::agenda::{Event, MS, Time, Who};
use crate::boundary::{Boundary, mutated};
use crate::checks::Seen;
use crate::coverage::Coverage;
use crate::decay::Spot;
use crate::dice::Dice;
use crate::faults::end_of;
use crate::network::{Arrival, Cargo, End, LinkId, Purpose, known_as};
use crate::plan::Plan;
use crate::process::{Clocks, Death, Process};
use crate::scene::Scene;
use crate::trace::Trace;
use crate::workload::client::{Client, Wish};

/// How soon two servers look after their connection again.
const REDIAL: Time = 60 * MS;
/// How soon a process comes back.
const DOWN: (Time, Time) = (20 * MS, 700 * MS);
/// More events than any sound history has in its time.
const MOST_EVENTS: u64 = 3_000_000;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fall {
    /// The process alone: the disk goes on.
    Killed,
    /// The machine: what was not synced is lost, or not.
    PowerCut,
    /// The machine, with its disk.
    Wiped,
    /// The machine, and some byte on its disk changed.
    Decayed,
}

/// A server's machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) disk: CutDisk,
    pub(crate) process: Option<Process>,
    lives: u32,
    pub(crate) clocks: Clocks,
    pub(crate) paused_until: Time,
    /// The disk is said to fail.
    pub(crate) disk_fault: bool,
    /// There never was anything on the disk.
    new: bool,
    /// It lost its disk and has not served since.
    pub(crate) wiped: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) machines: BTreeMap<ServerId, Machine>,
    clients: Vec<Client>,
    pub(crate) usual_sync: (Time, Time),
    pub(crate) healed_at: Time,
    over: bool,
}

/// How a history ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::of(&mut dice);
        let clients = (0..plan.clients).map(Client::new).collect();
        let machine = |server| {
            let machine = Machine {
                disk: CutDisk::new(),
                process: None,
                lives: 0,
                clocks: Clocks::default(),
                paused_until: 0,
                disk_fault: false,
                new: true,
                wiped: false,
            };
            (server, machine)
        };
        let mut world = Self {
            machines: plan.servers().into_iter().map(machine).collect(),
            usual_sync: plan.sync,
            clients,
            healed_at: 0,
            over: false,
            scene: Scene::new(plan, dice, trace),
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        let plan = self.scene.plan.clone();
        self.scene.tell(|| format!("{plan:?}"));
        if plan.voters == 5 {
            self.scene.count("ensembles of five");
        }
        if plan.observers > 0 {
            self.scene.count("observers");
        }
        let servers = plan.servers();
        for server in &servers {
            let soon = self.scene.dice.between(0, 100 * MS);
            self.scene.after(soon, Event::Start(*server));
            for other in servers.iter().filter(|other| *other > server) {
                self.scene.after(soon, Event::Dial(*server, *other));
            }
        }
        for client in 0..plan.clients {
            self.scene.after(200 * MS, Event::Client(client));
        }
        self.scene.after(1_000 * MS, Event::Fault);
        self.scene.after(plan.heal, Event::Heal);
    }

    /// Lets everything happen.
    pub(crate) fn run(mut self) -> Outcome {
        let mut events = 0;
        while !self.over && self.scene.violation().is_none() {
            let Some((at, event)) = self.scene.agenda.take() else {
                break;
            };
            self.scene.now = at.max(self.scene.now);
            self.happen(event);
            events += 1;
            if events > MOST_EVENTS {
                self.scene.wrong("this history has no end".to_owned());
            }
        }
        Outcome {
            violation: self.scene.violation().map(str::to_owned),
            coverage: self.scene.coverage,
            trace: self.scene.trace.lines(),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { link, lane } => self.arrive(link, lane),
            Event::Turn(who) => self.act(who, Event::Turn, Process::turn),
            Event::Synced(who) => self.act(who, Event::Synced, Process::sync),
            Event::Tick(who) => self.act(who, Event::Tick, |process, scene| {
                process.tick(scene);
                Ok(())
            }),
            Event::Reach { who, attempt } => self.reach(who, attempt),
            Event::Dial(a, b) => self.dial(a, b),
            Event::Client(client) => self.step(client),
            Event::Fault => self.fault(),
            Event::Mend(mend) => self.mend(mend),
            Event::Start(server) => self.start(server),
            Event::Heal => self.heal(),
            Event::Look => self.look(),
        }
    }

    // Processes.

    /// The process, if it is still in that life.
    fn process(&mut self, who: Who) -> Option<&mut Process> {
        let process = self.machines.get_mut(&who.server)?.process.as_mut()?;
        (process.who() == who).then_some(process)
    }

    /// Until when a machine stands still, if it does.
    fn pause_of(&self, server: ServerId) -> Option<Time> {
        let until = self.machines.get(&server)?.paused_until;
        (until > self.scene.now).then_some(until)
    }

    fn act(
        &mut self,
        who: Who,
        again: fn(Who) -> Event,
        deed: impl FnOnce(&mut Process, &mut Scene) -> Result<(), Death>,
    ) {
        if let Some(until) = self.pause_of(who.server) {
            self.scene.agenda.put(until, again(who));
            return;
        }
        let Some(machine) = self.machines.get_mut(&who.server) else {
            return;
        };
        let Some(process) = machine.process.as_mut().filter(|it| it.who() == who) else {
            return;
        };
        let done = deed(process, &mut self.scene);
        if process.serves() {
            machine.wiped = false;
        }
        if let Err(death) = done {
            self.died(who.server, &death);
        }
    }

    /// The disk did not do what it should: that is a fault that was made here, or one that was found.
    fn died(&mut self, server: ServerId, death: &Death) {
        let Some(machine) = self.machines.get(&server) else {
            return;
        };
        let how = match (machine.disk.is_off(), machine.disk_fault) {
            (true, _) => Fall::PowerCut,
            (false, true) => Fall::Killed,
            (false, false) => {
                self.scene
                    .wrong(format!("server {server} cannot go on: {}", death.0));
                return;
            }
        };
        self.scene
            .tell(|| format!("server {server} dies: {}", death.0));
        self.fall(server, how);
    }

    /// A process ends, for whatever reason; it comes back later.
    pub(crate) fn fall(&mut self, server: ServerId, how: Fall) {
        let tear = self.tear();
        let back = self.scene.dice.between(DOWN.0, DOWN.1);
        let Some(machine) = self.machines.get_mut(&server) else {
            return;
        };
        let process = machine.process.take();
        if process.is_none() && how != Fall::Wiped && !machine.disk.is_off() && !machine.disk_fault
        {
            // It is down, and will come back as it is.
            return;
        }
        match how {
            Fall::Killed => machine.disk.kill(),
            Fall::PowerCut => machine.disk.restart(tear),
            Fall::Wiped => {
                machine.disk = CutDisk::new();
                machine.wiped = true;
            }
            // Below: what changes depends on what is there.
            Fall::Decayed => {}
        }
        if how == Fall::Decayed {
            self.decay(server, tear);
        }
        let what = match how {
            Fall::Killed => "crashes",
            Fall::PowerCut | Fall::Decayed => "power cuts",
            Fall::Wiped => "wiped disks",
        };
        self.scene.count(what);
        self.scene
            .tell(|| format!("server {server} falls: {how:?}"));
        if how == Fall::Wiped {
            self.scene.see(&Seen::Wiped(server));
        }
        if let Some(process) = process {
            self.leave_links(process.who(), how);
        }
        self.scene.after(back, Event::Start(server));
    }

    /// Power fails, and some byte of what is left changes.
    fn decay(&mut self, server: ServerId, tear: Tear) {
        let Some(machine) = self.machines.get_mut(&server) else {
            return;
        };
        machine.disk.restart(tear);
        let Some(spot) = Spot::choose(&machine.disk, &mut self.scene.dice) else {
            return;
        };
        machine.disk.decay(&spot.path, spot.at, spot.bits);
        machine.wiped = true;
        self.scene.count("decayed disks");
        self.scene.tell(|| format!("server {server}: {spot:?}"));
        self.scene.see(&Seen::Wiped(server));
    }

    fn tear(&mut self) -> Tear {
        let seed = self.scene.dice.any();
        match self.scene.dice.below(4) {
            0 => Tear::Nothing,
            1 => Tear::Everything,
            2 => Tear::Prefix(seed),
            _ => Tear::Sectors(seed),
        }
    }

    fn leave_links(&mut self, who: Who, how: Fall) {
        // A machine without power says nothing: others notice when somebody answers for it again.
        let longest = match how {
            Fall::Killed => 2 * MS,
            Fall::PowerCut | Fall::Wiped | Fall::Decayed => 800 * MS,
        };
        for link in self.scene.network.links_of(end_of(who)) {
            let after = self.scene.dice.between(0, longest);
            self.scene.abandon(link, end_of(who), after);
        }
    }

    fn start(&mut self, server: ServerId) {
        if let Some(until) = self.pause_of(server) {
            self.scene.agenda.put(until, Event::Start(server));
            return;
        }
        let Some(machine) = self.machines.get_mut(&server) else {
            return;
        };
        if machine.process.is_some() {
            return;
        }
        machine.lives += 1;
        let life = machine.lives;
        let new = machine.new || mutated(Boundary::EmptyMemberVotes);
        let who = Who { server, life };
        let begun = Process::start(who, &machine.disk, new, machine.clocks, &mut self.scene);
        match begun {
            Ok(process) => {
                machine.new = false;
                machine.process = Some(process);
            }
            Err(death) => self.died(server, &death),
        }
    }

    // The network.

    fn arrive(&mut self, link: LinkId, lane: usize) {
        let receiver = self.scene.network.receiver(link, lane);
        let server = receiver.and_then(End::server);
        if let Some(until) = server.and_then(|server| self.pause_of(server)) {
            self.scene.agenda.put(until, Event::Arrive { link, lane });
            return;
        }
        let now = self.scene.now;
        match self.scene.network.take(link, lane, now) {
            Arrival::Nothing => {}
            Arrival::Later(at) => self.scene.agenda.put(at, Event::Arrive { link, lane }),
            Arrival::Cargo {
                purpose,
                from,
                to: End::Client(client),
                cargo,
            } => self.arrive_at_client(known_as(link), purpose, from, client, cargo),
            Arrival::Cargo {
                purpose,
                from,
                to: End::Server(who),
                cargo,
            } => self.arrive_at_server(known_as(link), purpose, from, who, cargo),
        }
    }

    fn arrive_at_server(
        &mut self,
        link: LinkId,
        purpose: Purpose,
        from: End,
        who: Who,
        cargo: Cargo,
    ) {
        self.act(who, Event::Turn, |process, scene| {
            process.arrive(link, purpose, from, cargo, scene)
        });
    }

    fn arrive_at_client(
        &mut self,
        link: LinkId,
        _: Purpose,
        from: End,
        client: usize,
        cargo: Cargo,
    ) {
        let (Some(client), Some(server)) = (self.clients.get_mut(client), from.server()) else {
            return;
        };
        match cargo {
            Cargo::Hello => client.greet(link, &mut self.scene),
            Cargo::Bytes(bytes) => client.hear(link, server, &bytes, &mut self.scene),
            Cargo::Closed => client.lost(link, &mut self.scene),
            _ => {}
        }
    }

    /// Two servers look after the election connection between them.
    fn dial(&mut self, a: ServerId, b: ServerId) {
        let again = REDIAL + self.scene.dice.between(0, REDIAL);
        self.scene.after(again, Event::Dial(a, b));
        if !self.scene.network.connects(a, b) {
            return;
        }
        let who = |server| Some(self.machines.get(&server)?.process.as_ref()?.who());
        match (who(a), who(b)) {
            (Some(one), Some(other)) => {
                let ends = [End::Server(one), End::Server(other)];
                if !self.scene.network.is_linked(Purpose::Election, ends) {
                    self.scene.open(Purpose::Election, ends);
                }
            }
            (Some(one), None) => self.refuse(one, b),
            (None, Some(other)) => self.refuse(other, a),
            (None, None) => {}
        }
    }

    fn refuse(&mut self, who: Who, by: ServerId) {
        if self.pause_of(who.server).is_some() || self.pause_of(by).is_some() {
            return;
        }
        let Some(machine) = self.machines.get_mut(&who.server) else {
            return;
        };
        if let Some(process) = machine.process.as_mut().filter(|it| !it.has_peer(by)) {
            process.refused_by(by, &mut self.scene);
        }
    }

    /// A learner tries to reach its leader.
    fn reach(&mut self, who: Who, attempt: u64) {
        if let Some(until) = self.pause_of(who.server) {
            self.scene.agenda.put(until, Event::Reach { who, attempt });
            return;
        }
        let Some(leader) = self.process(who).and_then(|it| it.wants_leader(attempt)) else {
            return;
        };
        let open = self.scene.network.connects(who.server, leader);
        let machine = self.machines.get_mut(&leader).filter(|_| open);
        let listens = machine.and_then(|it| it.process.as_mut().filter(|it| it.leads()));
        let link = listens.map(|process| {
            let ends = [end_of(who), process.end()];
            let link = self.scene.open(Purpose::Quorum, ends);
            process.let_in(link);
            link
        });
        let Some(machine) = self.machines.get_mut(&who.server) else {
            return;
        };
        match (machine.process.as_mut(), link) {
            (Some(process), Some(link)) => process.reached(link),
            (Some(process), None) => process.not_reached(&mut self.scene),
            (None, _) => {}
        }
    }

    fn step(&mut self, number: usize) {
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        if client.step(&mut self.scene) == Wish::Nothing {
            return;
        }
        let servers = self.scene.plan.servers();
        let server = self.scene.dice.pick(&servers).copied();
        let machine = server.and_then(|server| self.machines.get(&server));
        // Who is refused tries another one at its next step.
        if let Some(process) = machine.and_then(|machine| machine.process.as_ref()) {
            let ends = [End::Client(number), process.end()];
            let link = self.scene.open(Purpose::Session, ends);
            client.connecting(link, self.scene.now);
        }
    }
}
