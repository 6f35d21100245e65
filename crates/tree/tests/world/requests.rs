//! Random writes: few paths, so that they meet; many ways to be wrong.

use bytes::Bytes;
use proptest::option;
use proptest::prelude::*;
use rookeeper_proto::acl::AclRequest;
use rookeeper_proto::code::OpCode;
use rookeeper_proto::multi::WriteOp;
use rookeeper_proto::request::{Check, Create, Delete, SetAcl, SetData, Write};
use rookeeper_tree::auth::{self, AuthConfig, Identities};

pub(crate) const ALICE: &str = "alice:pw";
const SUPER: &str = "super:pw";
const SUPER_ID: &str = "super:0bX78nEegDzJM3ju0iLBEJdWzjg=";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Nobody,
    Alice,
    Super,
}

impl Who {
    pub(crate) fn digest_ids(self) -> Vec<String> {
        let hash = |text: &str| auth::DigestAlgorithm::Sha1.digest_id(text.as_bytes());
        match self {
            Self::Nobody => Vec::new(),
            Self::Alice => vec![hash(ALICE)],
            Self::Super => vec![SUPER_ID.into()],
        }
    }

    pub(crate) fn identities(self) -> Identities {
        let mut ids = Identities::of_peer("10.0.0.1");
        let login = match self {
            Self::Nobody => return ids,
            Self::Alice => ALICE,
            Self::Super => SUPER,
        };
        let config = auth_config();
        auth::authenticate(
            &config,
            Some("digest"),
            Some(login.as_bytes()),
            "10.0.0.1",
            &mut ids,
        );
        ids
    }
}

pub(crate) fn auth_config() -> AuthConfig {
    AuthConfig {
        super_digest: Some(SUPER_ID.into()),
        ..AuthConfig::default()
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A session begins.
    Begin { session: i64 },
    /// A write is judged.
    Write {
        session: i64,
        who: Who,
        write: Write,
    },
    /// The disk has so many more of what is in flight.
    Commit(usize),
}

pub(crate) fn who() -> impl Strategy<Value = Who> {
    prop_oneof![3 => Just(Who::Nobody), 3 => Just(Who::Alice), 1 => Just(Who::Super)]
}

const GOOD: [&str; 12] = [
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/d",
    "/e",
    "/e/f",
    "/a/e",
    "/a/b/e",
    "/zoo",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
];
const ODD: [&str; 20] = [
    "/",
    "",
    "a",
    "/a/",
    "//a",
    "/a//b",
    "/a/.",
    "/../a",
    "/a/b\0",
    "/a/\u{7}",
    "/none/x",
    "/none/",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/config",
    "/zookeeper/x",
    "/zookeeper/quota/zookeeper_limits",
    "/zookeeper/quota/a/b/zookeeper_limits",
    "/zookeeper/quota/a/b/zookeeper_stats",
    "/zookeeper/quota/a/b",
];

fn path() -> impl Strategy<Value = Option<String>> {
    let some = |path: &'static str| Some(path.to_owned());
    prop_oneof![
        16 => prop::sample::select(&GOOD[..]).prop_map(some),
        3 => prop::sample::select(&ODD[..]).prop_map(some),
        1 => (0..4i32).prop_map(|n| Some(format!("/a/n{n:010}"))),
        1 => Just(None).boxed(),
    ]
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    let text = prop::sample::select(
        &[
            "",
            "x",
            "yyyyyyy",
            "count=3,bytes=9=;byteHardLimit=9;countHardLimit=4",
            "count=1,bytes=2",
            "count=x",
            "bytes=1,,countHardLimit=2",
            "countHardLimit==1",
            ",count=1",
            "bytes",
        ][..],
    );
    option::weighted(
        0.9,
        text.prop_map(|t: &str| Bytes::copy_from_slice(t.as_bytes())),
    )
}

fn entry() -> impl Strategy<Value = AclRequest> {
    let entry = |perms, scheme: Option<&str>, id: Option<&str>| AclRequest {
        perms,
        scheme: scheme.map(|text| text.to_owned().into()),
        id: id.map(|text| text.to_owned().into()),
    };
    let alice = Who::Alice.digest_ids();
    prop_oneof![
        6 => Just(entry(31, Some("world"), Some("anyone"))),
        2 => (0..32).prop_map(move |perms| entry(perms, Some("world"), Some("anyone"))),
        2 => (1..32).prop_map(move |perms| entry(perms, Some("digest"), Some(alice[0].as_str()))),
        2 => Just(entry(31, Some("auth"), None)),
        1 => prop::sample::select(vec![
            entry(1, Some("world"), Some("nobody")),
            entry(1, Some("world"), None),
            entry(1, None, None),
            entry(1, Some("nope"), Some("x")),
            entry(1, Some("digest"), Some("x")),
        ]),
    ]
}

fn acl() -> impl Strategy<Value = Option<Vec<AclRequest>>> {
    let open = vec![AclRequest {
        perms: 31,
        scheme: Some("world".into()),
        id: Some("anyone".into()),
    }];
    prop_oneof![
        8 => Just(Some(open)),
        4 => prop::collection::vec(entry(), 1..4).prop_map(Some),
        1 => prop::sample::select(vec![None, Some(Vec::new())]),
    ]
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(-1), 3 => 0..3i32, 1 => any::<i32>()]
}

pub(crate) fn create() -> impl Strategy<Value = Create> {
    let ops = [
        OpCode::Create,
        OpCode::Create2,
        OpCode::CreateContainer,
        OpCode::CreateTtl,
    ];
    let flags = prop_oneof![12 => 0..4i32, 2 => 4..7i32, 1 => -1..9i32];
    let ttl = prop::sample::select(&[0, 1, 25, 0xff_ffff_ffff, 0x100_0000_0000, -1][..]);
    let sequential = prop_oneof![
        Just(path().boxed()),
        Just(Just(Some("/a/n".to_owned())).boxed())
    ];
    let op =
        prop_oneof![4 => Just(ops[0]), 2 => Just(ops[1]), 2 => Just(ops[2]), 2 => Just(ops[3])];
    (
        op,
        sequential.prop_flat_map(|p| p),
        data(),
        acl(),
        flags,
        ttl,
    )
        .prop_map(|(op, path, data, acl, flags, ttl)| {
            let is_ttl = op == OpCode::CreateTtl;
            // Most createTTLs should have a chance.
            let flags = if is_ttl && flags < 2 {
                flags + 5
            } else {
                flags
            };
            Create {
                op,
                path,
                data,
                acl,
                flags,
                ttl: if is_ttl { ttl } else { 0 },
            }
        })
}

fn delete() -> impl Strategy<Value = Delete> {
    (path(), version()).prop_map(|(path, version)| Delete { path, version })
}

fn set_data() -> impl Strategy<Value = SetData> {
    (path(), data(), version()).prop_map(|(path, data, version)| SetData {
        path,
        data,
        version,
    })
}

fn set_acl() -> impl Strategy<Value = SetAcl> {
    (path(), acl(), version()).prop_map(|(path, acl, version)| SetAcl { path, acl, version })
}

fn check() -> impl Strategy<Value = Check> {
    (path(), version()).prop_map(|(path, version)| Check { path, version })
}

fn multi() -> impl Strategy<Value = Write> {
    let op = prop_oneof![
        5 => create().prop_map(WriteOp::Create),
        2 => delete().prop_map(WriteOp::Delete),
        2 => set_data().prop_map(WriteOp::SetData),
        1 => check().prop_map(WriteOp::Check),
    ];
    prop::collection::vec(op, 0..4).prop_map(Write::Multi)
}

pub(crate) fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        10 => create().prop_map(Write::Create),
        4 => delete().prop_map(Write::Delete),
        3 => set_data().prop_map(Write::SetData),
        2 => set_acl().prop_map(Write::SetAcl),
        5 => multi(),
        1 => Just(Write::CloseSession),
        3 => path().prop_map(|p| Write::DeleteContainer(p.unwrap_or_default())),
        1 => prop::sample::select(&[Write::BrokenMulti][..]),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1..5i64, who(), write()).prop_map(|(session, who, write)| Step::Write { session, who, write }),
        4 => (1..6usize).prop_map(Step::Commit),
        1 => (1..5i64).prop_map(|session| Step::Begin { session }),
    ]
}

/// A quota on `/a`, and a few znodes to meet.
fn prelude() -> Vec<Step> {
    let open = vec![AclRequest {
        perms: 31,
        scheme: Some("world".into()),
        id: Some("anyone".into()),
    }];
    let limits = "count=3,bytes=9=;byteHardLimit=9;countHardLimit=4";
    let paths = [
        ("/a", ""),
        ("/a/b", "x"),
        ("/e", ""),
        ("/zookeeper/quota/a", ""),
        ("/zookeeper/quota/a/zookeeper_limits", limits),
        ("/zookeeper/quota/a/zookeeper_stats", ""),
        ("/zookeeper/quota/a/b", ""),
    ];
    let make = |(path, data): &(&str, &'static str)| {
        let data = Some(Bytes::from_static(data.as_bytes()));
        let (path, acl) = (Some((*path).to_owned()), Some(open.clone()));
        let create = Create {
            op: OpCode::Create,
            path,
            data,
            acl,
            flags: 0,
            ttl: 0,
        };
        Step::Write {
            session: 1,
            who: Who::Nobody,
            write: Write::Create(create),
        }
    };
    paths.iter().map(make).collect()
}

/// Steps of one run.
pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let begin = prop_oneof![Just(Vec::new()), Just(prelude())];
    (begin, prop::collection::vec(step(), 1..most)).prop_map(|(mut begin, rest)| {
        begin.extend(rest);
        begin
    })
}
