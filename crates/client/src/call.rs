//! The answer that is awaited.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use rookeeper_proto::jute::{DecodeError, Reader};
use rookeeper_proto::reply::error_code;
use tokio::sync::oneshot;

use crate::chroot::Root;
use crate::error::Error;
use crate::session::Reply;

/// What is needed to make sense of an answer.
#[derive(Debug)]
pub(crate) struct Question<X> {
    /// As the caller gave it.
    pub(crate) path: String,
    pub(crate) root: Root,
    /// What the answer is put together with.
    pub(crate) extra: X,
}

impl<X> Question<X> {
    /// The server's refusal as an error.
    pub(crate) fn refusal(self, err: i32) -> Error {
        Error::Refused {
            code: error_code(err),
            path: self.path,
        }
    }
}

/// Makes an answer of a reply.
type Read<T, X> = fn(Reply, Question<X>) -> Result<T, Error>;

/// A request that has its place in the order, and whose answer can be awaited.
///
/// Dropping it does not withdraw the request; it only leaves the answer unread.
#[derive(Debug)]
#[must_use = "the answer tells whether the request succeeded"]
pub struct Call<T, X = ()> {
    stage: Stage<T, X>,
}

#[derive(Debug)]
enum Stage<T, X> {
    Failed(Error),
    Waiting {
        reply: oneshot::Receiver<Result<Reply, Error>>,
        question: Question<X>,
        read: Read<T, X>,
    },
    Done,
}

impl<T, X> Call<T, X> {
    pub(crate) const fn failed(error: Error) -> Self {
        Self {
            stage: Stage::Failed(error),
        }
    }

    pub(crate) const fn waiting(
        reply: oneshot::Receiver<Result<Reply, Error>>,
        question: Question<X>,
        read: Read<T, X>,
    ) -> Self {
        Self {
            stage: Stage::Waiting {
                reply,
                question,
                read,
            },
        }
    }
}

// Nothing in it is pinned.
impl<T, X> Unpin for Call<T, X> {}

impl<T, X> Future for Call<T, X> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::Waiting { reply, .. } = &mut self.stage {
            let answer = std::task::ready!(Pin::new(reply).poll(context));
            let answer = answer.unwrap_or(Err(Error::Closed));
            if let Stage::Waiting { question, read, .. } =
                std::mem::replace(&mut self.stage, Stage::Done)
            {
                return Poll::Ready(answer.and_then(|reply| read(reply, question)));
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Failed(error) => Poll::Ready(Err(error)),
            // Asked again after its end: nobody will ever wake it.
            Stage::Waiting { .. } | Stage::Done => Poll::Pending,
        }
    }
}

/// The body of a reply without an error, read by `body`.
pub(crate) fn read_body<T, X>(
    reply: Reply,
    question: Question<X>,
    body: impl FnOnce(&mut Reader<'_>, &Bytes) -> Result<T, DecodeError>,
) -> Result<(T, Question<X>), Error> {
    if reply.err != 0 {
        return Err(question.refusal(reply.err));
    }
    let value = body(&mut Reader::new(&reply.body), &reply.body)?;
    Ok((value, question))
}
