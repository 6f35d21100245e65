//! Reads on their way to the server and back, in the order in which they were sent.
//!
//! Invariant: what is handed out was sent before what is handed out later, so a list is known before what was read after it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;

use super::survey::{Aspect, Task};
use crate::{Children, Client, Data, Error, Stat, Watch};

/// What was read.
#[derive(Debug)]
pub(super) enum Found {
    Data(Data, Option<Watch>),
    List(Children, Option<Watch>),
    Presence(Option<Stat>, Watch),
}

type Answer = Pin<Box<dyn Future<Output = Result<Found, Error>> + Send>>;

/// Reads that were sent.
#[derive(Default)]
pub(super) struct Readings {
    flying: VecDeque<(Task, Answer)>,
}

impl Readings {
    pub(super) fn len(&self) -> usize {
        self.flying.len()
    }

    /// Sends the read of a task, and leaves a watch if that is wanted.
    pub(super) fn send(&mut self, client: &Client, task: Task, watched: bool) {
        let answer: Answer = match (task.aspect, watched) {
            (Aspect::Data, false) => {
                let call = client.data(&task.path);
                Box::pin(async { call.await.map(|data| Found::Data(data, None)) })
            }
            (Aspect::Data, true) => {
                let call = client.data_watched(&task.path);
                Box::pin(async { call.await.map(|(data, w)| Found::Data(data, Some(w))) })
            }
            (Aspect::List, false) => {
                let call = client.children(&task.path);
                Box::pin(async { call.await.map(|list| Found::List(list, None)) })
            }
            (Aspect::List, true) => {
                let call = client.children_watched(&task.path);
                Box::pin(async { call.await.map(|(list, w)| Found::List(list, Some(w))) })
            }
            (Aspect::Presence, _) => {
                let call = client.exists_watched(&task.path);
                Box::pin(async { call.await.map(|(stat, w)| Found::Presence(stat, w)) })
            }
        };
        self.flying.push_back((task, answer));
    }

    /// The answer to the oldest read; never while there is none. Safe to cancel.
    pub(super) async fn next(&mut self) -> (Task, Result<Found, Error>) {
        let found = match self.flying.front_mut() {
            Some((_, answer)) => poll_fn(|context| answer.as_mut().poll(context)).await,
            None => std::future::pending().await,
        };
        match self.flying.pop_front() {
            Some((task, _)) => (task, found),
            None => std::future::pending().await,
        }
    }
}
