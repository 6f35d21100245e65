//! What can be told of any write without judging it: which paths it names, and how much it weighs.

use std::borrow::Cow;

use bytes::Bytes;

use crate::acl::AclRequest;
use crate::multi;
use crate::request::{Create, Write};

impl Write {
    /// The paths it names, as they came.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let (one, several) = match self {
            Self::Create(c) => (c.path.as_deref(), &[][..]),
            Self::Delete(d) => (d.path.as_deref(), &[][..]),
            Self::SetData(s) => (s.path.as_deref(), &[][..]),
            Self::SetAcl(s) => (s.path.as_deref(), &[][..]),
            Self::DeleteContainer(path) => (Some(path.as_str()), &[][..]),
            Self::Multi(ops) => (None, ops.as_slice()),
            Self::BrokenMulti | Self::Reconfig(_) | Self::CloseSession => (None, &[][..]),
        };
        one.into_iter()
            .chain(several.iter().filter_map(multi::WriteOp::path))
    }

    /// About how many bytes of path, data and ACLs it carries.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let data = |data: &Option<Bytes>| data.as_ref().map_or(0, Bytes::len);
        let part = |text: &Option<Cow<'_, str>>| text.as_ref().map_or(0, |text| text.len());
        let acl = |acl: &Option<Vec<AclRequest>>| {
            acl.iter()
                .flatten()
                .map(|entry| 12 + part(&entry.scheme) + part(&entry.id))
                .sum::<usize>()
        };
        let create = |c: &Create| text(&c.path) + data(&c.data) + acl(&c.acl);
        match self {
            Self::Create(c) => create(c),
            Self::Delete(d) => text(&d.path),
            Self::SetData(s) => text(&s.path) + data(&s.data),
            Self::SetAcl(s) => text(&s.path) + acl(&s.acl),
            Self::Multi(ops) => ops
                .iter()
                .map(|op| match op {
                    multi::WriteOp::Create(c) => create(c) + 64,
                    multi::WriteOp::Delete(d) => text(&d.path) + 16,
                    multi::WriteOp::SetData(s) => text(&s.path) + data(&s.data) + 16,
                    multi::WriteOp::Check(c) => text(&c.path) + 16,
                })
                .sum(),
            Self::Reconfig(r) => text(&r.joining) + text(&r.leaving) + text(&r.members),
            Self::DeleteContainer(path) => path.len(),
            Self::BrokenMulti | Self::CloseSession => 0,
        }
    }
}
