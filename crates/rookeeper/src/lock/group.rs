//! The command under a lock with everything that it starts: a process group of its own, which is told to end as a whole, and is over
//! when nobody is left in it. A process that makes a session or group of its own leaves it, and the lock does not know of it.
//!
//! The group is not the terminal's at first, so that Ctrl-C comes to `rookeeper lock`, which passes it on, once. It gets the terminal when
//! it asks for it, by being stopped for that, and has Ctrl-C then by itself.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use nix::sys::signal::{SigSet, Signal as Number};
use nix::unistd::{Pid as GroupId, getpgrp, tcgetpgrp, tcsetpgrp};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process_group, test_kill_process_group, waitpgid,
};

/// What a shell adds to the number of the signal that ended a command.
pub(super) const KILLED: i32 = 128;
/// The terminal of this process, if it has one.
const TERMINAL: &str = "/dev/tty";

/// The processes of a command.
#[derive(Debug)]
pub(super) struct Group {
    id: Pid,
    /// How the command itself ended, if it did.
    code: Option<u8>,
    wants_terminal: bool,
    /// The terminal, while the group has it.
    lent: Option<File>,
}

impl Group {
    /// Starts a command.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        Ok(Self {
            id: Pid::from_child(&child),
            code: None,
            wants_terminal: false,
            lent: None,
        })
    }

    /// Whether somebody must look without being told that a child changed.
    pub(super) const fn is_restless(&self) -> bool {
        self.code.is_some() || self.wants_terminal
    }

    /// The exit code of the command, once nobody is left of the group.
    pub(super) fn look(&mut self) -> io::Result<Option<u8>> {
        loop {
            match waitpgid(self.id, WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Ok(Some((process, status))) => self.note(process, status),
                Err(Errno::INTR) => {}
                // There is no news, or what is left are not our children.
                Ok(None) | Err(Errno::CHILD) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.wants_terminal {
            self.lend_terminal();
        }
        Ok(self.code.filter(|_| !self.is_alive()))
    }

    /// The exit code of the command, whatever is left of the group.
    pub(super) const fn code(&self) -> Option<u8> {
        self.code
    }

    /// Sends a signal to all of the group, which hear it although they are stopped.
    pub(super) fn tell(&self, signal: Signal) {
        // Who is gone needs nothing.
        let _ = kill_process_group(self.id, signal);
        let _ = kill_process_group(self.id, Signal::CONT);
    }

    /// As terminals have it.
    fn group_id(&self) -> GroupId {
        GroupId::from_raw(self.id.as_raw_nonzero().get())
    }

    fn is_alive(&self) -> bool {
        test_kill_process_group(self.id) != Err(Errno::SRCH)
    }

    fn note(&mut self, process: Pid, status: WaitStatus) {
        match status.stopping_signal() {
            Some(signal) if signal == Signal::TSTP.as_raw() => {
                tell_not_suspended();
                self.tell(Signal::CONT);
            }
            Some(signal) => {
                let asks = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
                self.wants_terminal |= asks.contains(&signal);
            }
            None if process == self.id => self.code = Some(exit_code(status)),
            None => {}
        }
    }

    /// Gives the terminal to the group, if it is ours to give; else it may be ours later.
    fn lend_terminal(&mut self) {
        let Ok(terminal) = File::options().read(true).write(true).open(TERMINAL) else {
            return;
        };
        let is_ours = tcgetpgrp(&terminal) == Ok(getpgrp());
        if is_ours && tcsetpgrp(&terminal, self.group_id()).is_ok() {
            self.wants_terminal = false;
            self.lent = Some(terminal);
            self.tell(Signal::CONT);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(terminal) = self.lent.take() else {
            return;
        };
        let group = self.group_id();
        // Who is not in the foreground is stopped for taking it, unless that signal is blocked: on a thread that ends.
        let taken = thread::spawn(move || {
            let is_lent = tcgetpgrp(&terminal) == Ok(group);
            let stop = SigSet::from(Number::SIGTTOU);
            if is_lent && stop.thread_block().is_ok() {
                // A terminal that is gone cannot be had back.
                let _ = tcsetpgrp(&terminal, getpgrp());
            }
        });
        let _ = taken.join();
    }
}

/// Whoever is suspended loses the lock and does not know.
pub(super) fn tell_not_suspended() {
    eprintln!("rookeeper lock: not suspended: the lock would be lost");
}

fn exit_code(status: WaitStatus) -> u8 {
    let killed = status.terminating_signal().map(|number| KILLED + number);
    let code = status.exit_status().or(killed);
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}
