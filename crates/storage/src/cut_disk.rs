//! A disk in memory whose power can be cut, whose space can end, and which can fail: for tests and the simulator.
//!
//! It keeps what programs see (*live*) apart from what would be there after a power cut (*durable*): content of a file is
//! durable after `sync_data`, names are durable after `sync_dir`. At a cut, what was not synced survives in part, as
//! [`Tear`] says. Names survive as a prefix of what happened to them, as on a journaling file system.
//!
//! Every call that changes something counts as one operation, from 1. Directories are durable at once.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, Entry, LockGuard, OpenMode};

mod image;

pub use image::Tear;
use image::{Change, Dice, Inode, Naming};

/// How operations fail, from a chosen one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What needs space (creating, allocating, writing beyond the end of a file) fails with ENOSPC, half done.
    Full,
    /// Every change fails with EIO, half done.
    Broken,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    renamings: Vec<Naming>,
    dirs: Vec<PathBuf>,
    locks: Vec<PathBuf>,
    operations: u64,
    cut_at: Option<u64>,
    fault: Option<(u64, Fault)>,
    off: bool,
    /// Handles of an earlier life are dead.
    life: u64,
}

/// A disk in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CutDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct CutFile {
    state: Arc<Mutex<State>>,
    inode: usize,
    life: u64,
    writable: bool,
}

#[derive(Debug)]
struct CutLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    life: u64,
}

impl LockGuard for CutLock {}

impl CutDisk {
    /// An empty disk that works.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock_state().operations
    }

    /// Cuts the power during operation `n`: it may happen in part, is not confirmed, and nothing works until a restart.
    pub fn cut_at(&self, n: u64) {
        self.lock_state().cut_at = Some(n);
    }

    /// Lets operations fail from the `n`-th on.
    pub fn fail_from(&self, n: u64, fault: Fault) {
        self.lock_state().fault = Some((n, fault));
    }

    /// Takes the fault away: space is there again.
    pub fn heal(&self) {
        self.lock_state().fault = None;
    }

    /// True after the cut, until a restart.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.lock_state().off
    }

    /// The power comes back (or goes and comes back, if it had not been cut): what programs see is now what survived.
    pub fn restart(&self, tear: Tear) {
        let mut state = self.lock_state();
        let mut dice = Dice::new(tear);
        for inode in &mut state.inodes {
            inode.settle(tear, &mut dice);
        }
        let kept = match tear {
            Tear::Nothing => 0,
            Tear::Everything => state.renamings.len(),
            Tear::Prefix(_) | Tear::Sectors(_) => dice.below(state.renamings.len() + 1),
        };
        let mut names = std::mem::take(&mut state.durable_names);
        for naming in state.renamings.drain(..).take(kept) {
            naming.apply(&mut names);
        }
        state.durable_names.clone_from(&names);
        state.names = names;
        state.begin_life();
    }

    /// The process dies, the power stays: nothing is lost, but nothing becomes durable either.
    pub fn kill(&self) {
        self.lock_state().begin_life();
    }

    /// Bits of a byte change by themselves, on the disk and for who reads it; false when there is no such byte.
    pub fn decay(&self, path: &Path, at: usize, bits: u8) -> bool {
        let mut state = self.lock_state();
        let inode = state.names.get(path).copied();
        let Some(inode) = inode.and_then(|inode| state.inodes.get_mut(inode)) else {
            return false;
        };
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte ^= bits;
        }
        inode.live.get_mut(at).is_some_and(|byte| {
            *byte ^= bits;
            true
        })
    }

    /// What programs see of a file.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock_state();
        let inode = state.names.get(path)?;
        state.inodes.get(*inode).map(|i| i.live.clone())
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> io::Error {
    io::Error::other("the power is off")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// What happens to the operation that was just begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Works,
    /// Takes effect, perhaps in part, but is not confirmed.
    Cut,
    /// Half done, then this error.
    Fails(i32),
}

impl Verdict {
    /// The part of `len` that happens.
    const fn share(self, len: usize) -> usize {
        match self {
            Self::Works | Self::Cut => len,
            Self::Fails(_) => len / 2,
        }
    }

    fn confirm(self) -> io::Result<()> {
        match self {
            Self::Works => Ok(()),
            Self::Cut => Err(gone()),
            Self::Fails(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl State {
    fn begin_life(&mut self) {
        self.operations = 0;
        self.cut_at = None;
        self.fault = None;
        self.off = false;
        self.life += 1;
        self.locks.clear();
    }

    fn alive(&self) -> io::Result<()> {
        if self.off { Err(gone()) } else { Ok(()) }
    }

    /// Counts an operation and decides its fate.
    fn begin(&mut self, needs_space: bool) -> io::Result<Verdict> {
        self.alive()?;
        self.operations += 1;
        if self.cut_at == Some(self.operations) {
            self.off = true;
            return Ok(Verdict::Cut);
        }
        Ok(match self.fault {
            Some((from, fault)) if self.operations >= from => match fault {
                Fault::Full if needs_space => {
                    Verdict::Fails(rustix::io::Errno::NOSPC.raw_os_error())
                }
                Fault::Full => Verdict::Works,
                Fault::Broken => Verdict::Fails(rustix::io::Errno::IO.raw_os_error()),
            },
            _ => Verdict::Works,
        })
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.renamings.push(naming);
    }

    fn inode(&mut self, inode: usize, life: u64) -> io::Result<&mut Inode> {
        self.alive()?;
        if self.life != life {
            return Err(gone());
        }
        self.inodes.get_mut(inode).ok_or_else(not_found)
    }
}

impl Disk for CutDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock_state();
        state.alive()?;
        let parent = path.parent().map(Path::to_path_buf);
        if !parent.is_some_and(|dir| state.dirs.contains(&dir)) {
            return Err(not_found());
        }
        let verdict = state.begin(true)?;
        if matches!(verdict, Verdict::Fails(_)) {
            verdict.confirm()?;
        }
        let known = state.names.get(path).copied();
        let inode = match known {
            Some(inode) => {
                if let Some(old) = state.inodes.get_mut(inode) {
                    old.change(Change::Resize(0));
                }
                inode
            }
            None => {
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.name(Naming::Link(path.to_path_buf(), inode));
                inode
            }
        };
        verdict.confirm()?;
        Ok(self.handle(&state, inode, true))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let state = self.lock_state();
        state.alive()?;
        let inode = *state.names.get(path).ok_or_else(not_found)?;
        Ok(self.handle(&state, inode, mode == OpenMode::Write))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.lock_state();
        state.alive()?;
        let files = state.names.iter().filter(|(p, _)| p.parent() == Some(dir));
        Ok(files
            .filter_map(|(path, inode)| {
                let name = path.file_name()?.to_str()?.to_owned();
                let len = state.inodes.get(*inode)?.live.len() as u64;
                Some(Entry { name, len })
            })
            .collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.lock_state();
        state.alive()?;
        Ok(state.names.contains_key(path) || state.dirs.iter().any(|d| d == path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.alive()?;
        if !state.names.contains_key(from) {
            return Err(not_found());
        }
        let verdict = state.begin(false)?;
        if !matches!(verdict, Verdict::Fails(_)) {
            state.name(Naming::Rename(from.to_path_buf(), to.to_path_buf()));
        }
        verdict.confirm()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.alive()?;
        if !state.names.contains_key(path) {
            return Err(not_found());
        }
        let verdict = state.begin(false)?;
        if !matches!(verdict, Verdict::Fails(_)) {
            state.name(Naming::Remove(path.to_path_buf()));
        }
        verdict.confirm()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.begin(false)?.confirm()?;
        let State {
            renamings,
            durable_names,
            ..
        } = &mut *state;
        renamings.retain(|naming| {
            let here = naming.touches(dir);
            if here {
                naming.apply(durable_names);
            }
            !here
        });
        Ok(())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.begin(true)?.confirm()?;
        for dir in dir.ancestors() {
            if !state.dirs.iter().any(|d| d == dir) {
                state.dirs.push(dir.to_path_buf());
            }
        }
        Ok(())
    }

    fn free_space(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.lock_state();
        state.alive()?;
        let full = matches!(state.fault, Some((from, Fault::Full)) if state.operations + 1 >= from);
        Ok(if full { 0 } else { u64::MAX })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let mut state = self.lock_state();
        state.alive()?;
        if state.locks.iter().any(|held| held == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locks.push(path.to_path_buf());
        Ok(Box::new(CutLock {
            state: self.state.clone(),
            path: path.to_path_buf(),
            life: state.life,
        }))
    }
}

impl CutDisk {
    fn handle(&self, state: &State, inode: usize, writable: bool) -> Box<dyn DiskFile> {
        Box::new(CutFile {
            state: self.state.clone(),
            inode,
            life: state.life,
            writable,
        })
    }
}

impl Drop for CutLock {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if state.life == self.life {
            state.locks.retain(|held| *held != self.path);
        }
    }
}

impl CutFile {
    /// Runs one changing operation: `change` makes, from the length of the file and the operation's fate, what happens.
    fn change(
        &self,
        needs_space: impl Fn(usize) -> bool,
        change: impl FnOnce(usize, Verdict) -> Option<Change>,
    ) -> io::Result<()> {
        let mut state = lock(&self.state);
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let len = state.inode(self.inode, self.life)?.live.len();
        let verdict = state.begin(needs_space(len))?;
        if let Some(inode) = state.inodes.get_mut(self.inode)
            && let Some(change) = change(len, verdict)
        {
            inode.change(change);
        }
        verdict.confirm()
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl DiskFile for CutFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let live = &state.inode(self.inode, self.life)?.live;
        let from = live.get(place(offset)?..).unwrap_or_default();
        let got = from.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..got), from.get(..got)) {
            to.copy_from_slice(from);
        }
        Ok(got)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = place(offset)?;
        let end = offset + bytes.len();
        self.change(
            |len| end > len,
            |_, verdict| {
                let part = bytes.get(..verdict.share(bytes.len()))?;
                Some(Change::Write(offset, part.to_vec()))
            },
        )
    }

    fn allocate(&mut self, offset: u64, len: u64) -> io::Result<()> {
        let (offset, more) = (place(offset)?, place(len)?);
        self.change(
            |len| offset + more > len,
            |len, verdict| Some(Change::Resize(len.max(offset + verdict.share(more)))),
        )
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let wanted = place(len)?;
        self.change(
            |len| wanted > len,
            |_, verdict| (!matches!(verdict, Verdict::Fails(_))).then_some(Change::Resize(wanted)),
        )
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = lock(&self.state);
        Ok(state.inode(self.inode, self.life)?.live.len() as u64)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.inode(self.inode, self.life)?;
        state.begin(false)?.confirm()?;
        let inode = state.inode(self.inode, self.life)?;
        inode.unsynced.clear();
        inode.durable.clone_from(&inode.live);
        Ok(())
    }
}
