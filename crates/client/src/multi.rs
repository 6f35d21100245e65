//! Several writes that happen all or not at all, and several reads in one round trip.

use bytes::Bytes;
use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::compose::{self, NewZnode};
use rookeeper_proto::multi::{MultiHeader, OpResult};
use rookeeper_proto::reply::ReadOutcome;
use rookeeper_proto::stat::Stat;

use crate::call::Question;
use crate::chroot::Root;
use crate::error::Error;
use crate::znode::{CreateOptions, Created, Expected};

/// Writes that happen together, in the order in which they were added, or not at all.
#[derive(Debug, Clone, Default)]
pub struct Multi {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Create(String, Vec<u8>, CreateOptions),
    Delete(String, Expected),
    Set(String, Option<Vec<u8>>, Expected),
    Check(String, Expected),
}

/// What one part of a multi did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiResult {
    /// A create.
    Created(Created),
    /// A delete.
    Deleted,
    /// A set; the stat after it.
    Set(Stat),
    /// A check that held.
    Checked,
}

impl Multi {
    /// Without any part: it succeeds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a create.
    #[must_use]
    pub fn create(
        mut self,
        path: impl Into<String>,
        data: impl Into<Vec<u8>>,
        options: &CreateOptions,
    ) -> Self {
        self.parts
            .push(Part::Create(path.into(), data.into(), options.clone()));
        self
    }

    /// Adds a delete.
    #[must_use]
    pub fn delete(mut self, path: impl Into<String>, expected: impl Into<Expected>) -> Self {
        self.parts.push(Part::Delete(path.into(), expected.into()));
        self
    }

    /// Adds a change of data.
    #[must_use]
    pub fn set(
        mut self,
        path: impl Into<String>,
        data: impl Into<Vec<u8>>,
        expected: impl Into<Expected>,
    ) -> Self {
        self.parts
            .push(Part::Set(path.into(), Some(data.into()), expected.into()));
        self
    }

    /// Adds the replacement of the data of a znode with null.
    #[must_use]
    pub fn set_null(mut self, path: impl Into<String>, expected: impl Into<Expected>) -> Self {
        self.parts
            .push(Part::Set(path.into(), None, expected.into()));
        self
    }

    /// Adds the condition that a znode is there and has this version.
    #[must_use]
    pub fn check(mut self, path: impl Into<String>, expected: impl Into<Expected>) -> Self {
        self.parts.push(Part::Check(path.into(), expected.into()));
        self
    }

    /// How many parts it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// True without any part.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn frame(&self, root: &Root) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        for part in &self.parts {
            part.encode(root, &mut body)?;
        }
        MultiHeader::END.encode(&mut body);
        Ok(compose::frame(OpCode::Multi, |out| out.append(&mut body)))
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        let path = |part: &Part| match part {
            Part::Create(path, ..)
            | Part::Delete(path, _)
            | Part::Set(path, ..)
            | Part::Check(path, _) => path.clone(),
        };
        self.parts.iter().map(path).collect()
    }
}

impl Part {
    fn encode(&self, root: &Root, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Create(path, data, options) => {
                let full = root.full_new(path, options.mode.is_sequential())?;
                let znode = new_znode(&full, data, options);
                compose::part(znode.op(), out, |out| znode.encode(out));
            }
            Self::Delete(path, expected) => {
                let full = root.full(path)?;
                compose::part(OpCode::Delete, out, |out| {
                    compose::path_version(&full, expected.number(), out);
                });
            }
            Self::Set(path, data, expected) => {
                let full = root.full(path)?;
                compose::part(OpCode::SetData, out, |out| {
                    compose::set_data(&full, data.as_deref(), expected.number(), out);
                });
            }
            Self::Check(path, expected) => {
                let full = root.full(path)?;
                compose::part(OpCode::Check, out, |out| {
                    compose::path_version(&full, expected.number(), out);
                });
            }
        }
        Ok(())
    }
}

/// A create as it travels.
pub(crate) fn new_znode<'a>(
    full: &'a str,
    data: &'a [u8],
    options: &'a CreateOptions,
) -> NewZnode<'a> {
    NewZnode {
        path: full,
        data: (!options.is_null).then_some(data),
        acl: &options.acl,
        mode: options.mode,
        ttl_ms: i64::try_from(options.ttl.as_millis()).unwrap_or(i64::MAX),
    }
}

/// The results of a multi that was answered: all of them, or the first real failure. The paths are those of the parts.
pub(crate) fn results(
    parts: Vec<OpResult>,
    question: &Question<Vec<String>>,
) -> Result<Vec<MultiResult>, Error> {
    // Parts after the failing one say so, those before it say nothing.
    let failure = parts
        .iter()
        .enumerate()
        .find_map(|(index, part)| match part {
            OpResult::Failed(ErrorCode::Ok | ErrorCode::RuntimeInconsistency) => None,
            OpResult::Failed(code) => Some((index, *code)),
            _ => None,
        });
    if let Some((index, code)) = failure {
        let path = question.extra.get(index).cloned().unwrap_or_default();
        return Err(Error::PartRefused { index, code, path });
    }
    let created = |path: String, stat| {
        MultiResult::Created(Created {
            path: question.root.strip(path),
            stat,
        })
    };
    let result = |part| match part {
        OpResult::Created(path) => created(path, Stat::default()),
        OpResult::Created2(path, stat) => created(path, stat),
        OpResult::Deleted => MultiResult::Deleted,
        OpResult::Set(stat) => MultiResult::Set(stat),
        OpResult::Checked | OpResult::Failed(_) => MultiResult::Checked,
    };
    Ok(parts.into_iter().map(result).collect())
}

/// Reads in one round trip. Each succeeds or fails by itself.
#[derive(Debug, Clone, Default)]
pub struct MultiRead {
    parts: Vec<(OpCode, String)>,
}

/// What one part of a [`MultiRead`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadResult {
    /// Data; `None` is null.
    Data(Option<Bytes>, Stat),
    /// Names of the children.
    Children(Vec<String>),
}

impl MultiRead {
    /// Without any part.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a read of data.
    #[must_use]
    pub fn data(mut self, path: impl Into<String>) -> Self {
        self.parts.push((OpCode::GetData, path.into()));
        self
    }

    /// Adds a read of children.
    #[must_use]
    pub fn children(mut self, path: impl Into<String>) -> Self {
        self.parts.push((OpCode::GetChildren, path.into()));
        self
    }

    pub(crate) fn frame(&self, root: &Root) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        for (op, path) in &self.parts {
            let full = root.full(path)?;
            compose::part(*op, &mut body, |out| compose::path_unwatched(&full, out));
        }
        MultiHeader::END.encode(&mut body);
        Ok(compose::frame(OpCode::MultiRead, |out| {
            out.append(&mut body)
        }))
    }

    pub(crate) fn into_paths(self) -> Vec<String> {
        self.parts.into_iter().map(|(_, path)| path).collect()
    }
}

/// Each read's result, with the path that it was for.
pub(crate) fn read_results(
    parts: Vec<ReadOutcome>,
    paths: Vec<String>,
) -> Vec<Result<ReadResult, Error>> {
    let paths = paths.into_iter().chain(std::iter::repeat(String::new()));
    let result = |(part, path)| match part {
        ReadOutcome::Data(data, stat) => Ok(ReadResult::Data(data, stat)),
        ReadOutcome::Children(names) => Ok(ReadResult::Children(names)),
        ReadOutcome::Failed(code) => Err(Error::Refused { code, path }),
    };
    parts.into_iter().zip(paths).map(result).collect()
}
