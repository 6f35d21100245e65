//! Reading, with one-shot watches or without.

use bytes::Bytes;
use rookeeper_proto::acl::{Acl, Id};
use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::compose;
use rookeeper_proto::jute::{DecodeError, Reader};
use rookeeper_proto::reply;
use rookeeper_proto::stat::Stat;

use super::{Client, data_body, read_nothing};
use crate::call::{Call, Question, read_body};
use crate::error::Error;
use crate::multi::{self, MultiRead, ReadResult};
use crate::session::{Reply, WatchKind};
use crate::watch::Watch;
use crate::znode::{Children, Data};

/// Reading.
impl Client {
    /// Stat of a znode, `None` if it is not there.
    pub fn exists(&self, path: &str) -> Call<Option<Stat>> {
        self.path_call(
            path,
            |full| compose::path_watch(OpCode::Exists, full, false),
            OpCode::Exists,
            read_exists,
        )
    }

    /// The same with a watch, which also hears of the creation.
    pub fn exists_watched(&self, path: &str) -> Call<(Option<Stat>, Watch), Watch> {
        self.watched(path, OpCode::Exists, WatchKind::Exist, |reply, question| {
            let (stat, question) = exists_reply(reply, question)?;
            Ok((stat, question.extra))
        })
    }

    /// Data and stat.
    pub fn data(&self, path: &str) -> Call<Data> {
        self.path_call(
            path,
            |full| compose::path_watch(OpCode::GetData, full, false),
            OpCode::GetData,
            |reply, question| read_body(reply, question, data_body).map(|(data, _)| data),
        )
    }

    /// The same with a watch for the next change of data, or the deletion.
    ///
    /// Beside a persistent watch of this client on the same path it costs that one an interruption, with servers before 3.9; see
    /// [`Client::watch`]. So do the other one-shot watches.
    pub fn data_watched(&self, path: &str) -> Call<(Data, Watch), Watch> {
        self.watched(path, OpCode::GetData, WatchKind::Data, |reply, question| {
            let (data, question) = read_body(reply, question, data_body)?;
            Ok((data, question.extra))
        })
    }

    /// Names of the children, and the stat of their parent.
    pub fn children(&self, path: &str) -> Call<Children> {
        self.path_call(
            path,
            |full| compose::path_watch(OpCode::GetChildren2, full, false),
            OpCode::GetChildren2,
            |reply, question| read_body(reply, question, children_body).map(|(list, _)| list),
        )
    }

    /// The same with a watch for the next change of the list, or the deletion of the parent.
    pub fn children_watched(&self, path: &str) -> Call<(Children, Watch), Watch> {
        self.watched(
            path,
            OpCode::GetChildren2,
            WatchKind::Child,
            |reply, question| {
                let (children, question) = read_body(reply, question, children_body)?;
                Ok((children, question.extra))
            },
        )
    }

    /// ACL and stat. Without the right to change it, the passwords of digest entries are hidden.
    pub fn acl(&self, path: &str) -> Call<(Vec<Acl>, Stat)> {
        self.path_call(
            path,
            |full| compose::path(OpCode::GetAcl, full),
            OpCode::GetAcl,
            |reply, question| {
                let body = |r: &mut Reader<'_>, _: &Bytes| Ok((reply::acl(r)?, Stat::decode(r)?));
                read_body(reply, question, body).map(|(acl, _)| acl)
            },
        )
    }

    /// How many znodes are below `path`.
    pub fn descendants(&self, path: &str) -> Call<u32> {
        self.path_call(
            path,
            |full| compose::path(OpCode::GetAllChildrenNumber, full),
            OpCode::GetAllChildrenNumber,
            |reply, question| {
                let body = |r: &mut Reader<'_>, _: &Bytes| r.i32();
                let (count, _) = read_body(reply, question, body)?;
                Ok(u32::try_from(count).unwrap_or(0))
            },
        )
    }

    /// The ephemerals of this session whose paths begin with `prefix`: the server's paths, above this client's root too.
    pub fn ephemerals(&self, prefix: &str) -> Call<Vec<String>> {
        let frame = compose::path(OpCode::GetEphemerals, prefix);
        let question = self.question(prefix, ());
        self.ask(
            OpCode::GetEphemerals,
            frame,
            None,
            question,
            |reply, question| {
                read_body(reply, question, |r, _| reply::texts(r)).map(|(paths, _)| paths)
            },
        )
    }

    /// Waits until this server has everything that was committed when the leader heard of it: what is read next is not older.
    pub fn sync(&self, path: &str) -> Call<()> {
        self.path_call(
            path,
            |full| compose::path(OpCode::Sync, full),
            OpCode::Sync,
            read_nothing,
        )
    }

    /// Who the server thinks this connection is.
    pub fn who_am_i(&self) -> Call<Vec<Id>> {
        let frame = compose::bare(OpCode::WhoAmI);
        self.ask(
            OpCode::WhoAmI,
            frame,
            None,
            self.question("", ()),
            |reply, question| {
                read_body(reply, question, |r, _| reply::identities(r)).map(|(ids, _)| ids)
            },
        )
    }

    /// Several reads in one round trip.
    pub fn multi_read(
        &self,
        reads: MultiRead,
    ) -> Call<Vec<Result<ReadResult, Error>>, Vec<String>> {
        let frame = match reads.frame(&self.root) {
            Ok(frame) => frame,
            Err(error) => return Call::failed(error),
        };
        let question = self.question("", reads.into_paths());
        self.ask(
            OpCode::MultiRead,
            frame,
            None,
            question,
            |reply, question| {
                let (parts, question) = read_body(reply, question, reply::read_results)?;
                Ok(multi::read_results(parts, question.extra))
            },
        )
    }
}

fn children_body(reader: &mut Reader<'_>, _: &Bytes) -> Result<Children, DecodeError> {
    Ok(Children {
        names: reply::texts(reader)?,
        stat: Stat::decode(reader)?,
    })
}

fn exists_reply<X>(
    reply: Reply,
    question: Question<X>,
) -> Result<(Option<Stat>, Question<X>), Error> {
    if reply.err == ErrorCode::NoNode.code() {
        return Ok((None, question));
    }
    let (stat, question) = read_body(reply, question, |r, _| Stat::decode(r))?;
    Ok((Some(stat), question))
}

fn read_exists(reply: Reply, question: Question<()>) -> Result<Option<Stat>, Error> {
    exists_reply(reply, question).map(|(stat, _)| stat)
}
