//! Writing.

use bytes::Bytes;
use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::OpCode;
use rookeeper_proto::compose;
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::Reader;
use rookeeper_proto::reply;
use rookeeper_proto::stat::Stat;

use super::{Client, data_body, read_nothing};
use crate::call::{Call, Question, read_body};
use crate::error::Error;
use crate::multi::{self, Multi, MultiResult};
use crate::session::Reply;
use crate::znode::{CreateOptions, Created, Data, Expected};

/// Writing.
impl Client {
    /// Creates a znode.
    pub fn create(
        &self,
        path: &str,
        data: impl AsRef<[u8]>,
        options: &CreateOptions,
    ) -> Call<Created> {
        let full = match self.root.full_new(path, options.mode.is_sequential()) {
            Ok(full) => full,
            Err(error) => return Call::failed(error),
        };
        let znode = multi::new_znode(&full, data.as_ref(), options);
        let op = znode.op();
        let frame = compose::frame(op, |out| znode.encode(out));
        self.ask(
            op,
            frame,
            None,
            self.question(path, ()),
            |reply, question| {
                let body = |r: &mut Reader<'_>, _: &Bytes| Ok((reply::path(r)?, Stat::decode(r)?));
                let ((path, stat), question) = read_body(reply, question, body)?;
                Ok(Created {
                    path: question.root.strip(path),
                    stat,
                })
            },
        )
    }

    /// Deletes a znode without children.
    pub fn delete(&self, path: &str, expected: impl Into<Expected>) -> Call<()> {
        let version = expected.into().number();
        self.path_call(
            path,
            |full| {
                compose::frame(OpCode::Delete, |out| {
                    compose::path_version(full, version, out)
                })
            },
            OpCode::Delete,
            read_nothing,
        )
    }

    /// Replaces the data.
    pub fn set(
        &self,
        path: &str,
        data: impl AsRef<[u8]>,
        expected: impl Into<Expected>,
    ) -> Call<Stat> {
        self.set_to(path, Some(data.as_ref()), expected.into())
    }

    /// Replaces the data with null, which differs from empty data.
    pub fn set_null(&self, path: &str, expected: impl Into<Expected>) -> Call<Stat> {
        self.set_to(path, None, expected.into())
    }

    fn set_to(&self, path: &str, data: Option<&[u8]>, expected: Expected) -> Call<Stat> {
        let version = expected.number();
        let compose = |full: &str| {
            compose::frame(OpCode::SetData, |out| {
                compose::set_data(full, data, version, out)
            })
        };
        self.path_call(path, compose, OpCode::SetData, read_stat)
    }

    /// Replaces the ACL. What is expected is the version of the ACL.
    pub fn set_acl(&self, path: &str, acl: &[Acl], expected: impl Into<Expected>) -> Call<Stat> {
        let version = expected.into().number();
        self.path_call(
            path,
            |full| compose::set_acl(full, acl, version),
            OpCode::SetAcl,
            read_stat,
        )
    }

    /// Writes that happen all or not at all.
    pub fn multi(&self, multi: Multi) -> Call<Vec<MultiResult>, Vec<String>> {
        let frame = match multi.frame(&self.root) {
            Ok(frame) => frame,
            Err(error) => return Call::failed(error),
        };
        let question = self.question("", multi.paths());
        self.ask(OpCode::Multi, frame, None, question, |reply, question| {
            let (parts, question) = read_body(reply, question, |r, _| reply::write_results(r))?;
            multi::results(parts, &question)
        })
    }

    /// Changes the members of the ensemble: servers to add, ids to remove, or all members at once. `config` is the expected version
    /// of the configuration. The answer is the new configuration.
    pub fn reconfig(
        &self,
        joining: Option<&str>,
        leaving: Option<&str>,
        members: Option<&str>,
        config: Option<Zxid>,
    ) -> Call<Data> {
        let version = config.map_or(-1, |zxid| zxid.0);
        let frame = compose::reconfig(joining, leaving, members, version);
        self.ask(
            OpCode::Reconfig,
            frame,
            None,
            self.question("", ()),
            |reply, question| read_body(reply, question, data_body).map(|(data, _)| data),
        )
    }
}

fn read_stat(reply: Reply, question: Question<()>) -> Result<Stat, Error> {
    read_body(reply, question, |r, _| Stat::decode(r)).map(|(stat, _)| stat)
}
