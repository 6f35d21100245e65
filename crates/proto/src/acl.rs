//! Access control entries as they travel and as they are stored.

use std::borrow::Cow;
use std::fmt;

use crate::jute::{DecodeError, Reader, Writer};

/// Permission bits. Higher bits are stored and returned unchanged.
pub mod perms {
    /// Read data, children, ACL.
    pub const READ: i32 = 1;
    /// Change data.
    pub const WRITE: i32 = 2;
    /// Create children.
    pub const CREATE: i32 = 4;
    /// Delete children.
    pub const DELETE: i32 = 8;
    /// Change the ACL.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// Who: a scheme and an id within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// `world`, `digest`, `ip`, `x509`, `sasl`, `super`.
    pub scheme: String,
    /// Meaning given by the scheme.
    pub id: String,
}

impl Id {
    /// An id of `scheme`.
    pub fn new(scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            scheme: scheme.into(),
            id: id.into(),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.id)
    }
}

/// One entry of a stored ACL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    /// Bits of [`perms`].
    pub perms: i32,
    /// Who has them.
    pub who: Id,
}

impl Acl {
    /// An entry that gives `perms` to `scheme:id`.
    pub fn new(perms: i32, scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            perms,
            who: Id::new(scheme, id),
        }
    }

    /// Everything to everybody: the ACL that is not stored.
    #[must_use]
    pub fn open() -> Vec<Self> {
        vec![Self::new(perms::ALL, "world", "anyone")]
    }

    /// Writes the entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.perms);
        out.put_string(&self.who.scheme);
        out.put_string(&self.who.id);
    }

    /// Reads a stored entry, where nothing is null.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let perms = reader.i32()?;
        let scheme = reader.string()?.unwrap_or_default().into_owned();
        let id = reader.string()?.unwrap_or_default().into_owned();
        Ok(Self {
            perms,
            who: Id { scheme, id },
        })
    }
}

/// Writes a whole ACL.
pub fn encode_list(acl: &[Acl], out: &mut Vec<u8>) {
    out.put_count(acl.len());
    acl.iter().for_each(|entry| entry.encode(out));
}

/// An entry of a request, before the fix-up: scheme and id may be null (kazoo sends a null id for `auth`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclRequest {
    /// Bits of [`perms`].
    pub perms: i32,
    /// Null is an invalid ACL.
    pub scheme: Option<Cow<'static, str>>,
    /// Null is fine for `auth` only.
    pub id: Option<Cow<'static, str>>,
}

/// The texts of nearly every request: they need no memory of their own.
const USUAL_TEXTS: [&str; 4] = ["world", "anyone", "auth", ""];

fn request_text(reader: &mut Reader<'_>) -> Result<Option<Cow<'static, str>>, DecodeError> {
    let usual = |text: &str| {
        USUAL_TEXTS
            .into_iter()
            .find(|usual| *usual == text)
            .map(Cow::Borrowed)
    };
    Ok(reader
        .string()?
        .map(|text| usual(&text).unwrap_or_else(|| Cow::Owned(text.into_owned()))))
}

impl AclRequest {
    /// Reads an entry of a request.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let perms = reader.i32()?;
        Ok(Self {
            perms,
            scheme: request_text(reader)?,
            id: request_text(reader)?,
        })
    }
}

impl From<Acl> for AclRequest {
    fn from(acl: Acl) -> Self {
        Self {
            perms: acl.perms,
            scheme: Some(acl.who.scheme.into()),
            id: Some(acl.who.id.into()),
        }
    }
}
