//! The threads that serve connections: each runs its own connections from the first byte to the last, so a read never changes
//! threads. One core is left to the driver.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A running thread; dropping it ends it and every task on it.
#[derive(Debug)]
pub struct IoThread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// All of them. Dropping ends them.
#[derive(Debug)]
pub struct IoThreads {
    spawner: Spawner,
    _threads: Vec<IoThread>,
}

/// Starts tasks on the threads, in turn; owns none of them.
#[derive(Debug, Clone)]
pub struct Spawner {
    handles: Arc<[Handle]>,
    next: Arc<AtomicUsize>,
}

impl IoThreads {
    /// Starts as many as this machine has cores, less one, and at least one.
    pub fn start() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<IoThread> = (0..cores.saturating_sub(1).max(1))
            .map(|_| IoThread::start("rookeeper-io"))
            .collect::<io::Result<_>>()?;
        let handles = threads.iter().map(|thread| thread.handle.clone()).collect();
        Ok(Self {
            spawner: Spawner {
                handles,
                next: Arc::default(),
            },
            _threads: threads,
        })
    }

    /// A way to start tasks.
    #[must_use]
    pub const fn spawner(&self) -> &Spawner {
        &self.spawner
    }
}

impl Spawner {
    /// Runs a task on the next thread in turn, for all its life.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len().max(1);
        if let Some(next) = self.handles.get(turn) {
            next.spawn(task);
        }
    }
}

impl IoThread {
    /// A thread for what shall not wait for clients.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Ends when told to, or when nobody can tell any more.
                let _ = runtime.block_on(stopped);
            })?;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl IoThread {
    /// Where tasks are started.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}
