//! Small texts that clients write and the server judges: paths, quota texts, addresses and digests in ACLs.
//!
//! Holds: nothing panics; a valid path has a valid parent; a fixed-up ACL can be judged, and its fix-up by a super user's list is
//! not longer than the bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rookeeper_proto::acl::AclRequest;
use rookeeper_proto::jute::Reader;
use rookeeper_proto::path;
use rookeeper_tree::acl;
use rookeeper_tree::auth::{self, AuthConfig, Identities};
use rookeeper_tree::quota::{self, Limits, Usage};

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 4 {
        0 => paths(data),
        1 => quotas(data),
        2 => acls(data),
        _ => identities(data),
    }
});

fn paths(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parted = path::split(&text);
    if path::validate(&text).is_ok() {
        let (parent, name) = parted.expect("a valid path has a slash");
        assert!(
            path::validate(parent).is_ok(),
            "the parent of {text:?} is not valid"
        );
        assert!(path::is_at_or_below(&text, parent));
        assert!(!name.contains('/'));
        assert!(path::validate(&quota::stats_path(&text)).is_ok() || text == path::ROOT);
    }
    let _ = quota::subject(&text, quota::LIMITS);
}

fn quotas(data: &[u8]) {
    let _ = Limits::parse(data);
    if let Some(usage) = Usage::parse(data) {
        assert_eq!(Usage::parse(usage.text().as_bytes()), Some(usage));
    }
}

fn acls(data: &[u8]) {
    let config = all_schemes();
    let mut who = Identities::of_peer("127.0.0.1");
    let _ = auth::authenticate(
        &config,
        Some("digest"),
        Some(b"user:secret"),
        "127.0.0.1",
        &mut who,
    );
    let mut reader = Reader::new(data);
    let mut requested = Vec::new();
    while let Ok(entry) = AclRequest::decode(&mut reader) {
        requested.push(entry);
    }
    let Ok(fixed) = acl::fix_up(&config, Some(&requested), &who) else {
        return;
    };
    assert!(fixed.len() <= acl::MAX_ENTRIES);
    let _ = acl::permits(&config, &fixed, 31, &who);
    let _ = acl::masked(&config, &fixed, &who);
}

fn identities(data: &[u8]) {
    let config = all_schemes();
    let (scheme, rest) = data.split_at(data.len().min(8));
    let scheme = String::from_utf8_lossy(scheme);
    let scheme = scheme.trim_end_matches('\0');
    let peer = String::from_utf8_lossy(rest);
    let mut who = Identities::of_peer(&peer);
    let _ = auth::authenticate(&config, Some(scheme), Some(rest), &peer, &mut who);
    let _ = auth::admit_certificate(&config, &peer, &mut who);
    let _ = auth::admit_sasl_user(&config, &peer, &mut who);
    let _ = auth::who_am_i(&who);
}

fn all_schemes() -> AuthConfig {
    AuthConfig {
        x509_loaded: true,
        sasl_loaded: true,
        x509_super_user: Some("CN=super".to_owned()),
        ensemble_names: Some(vec!["ensemble".to_owned()]),
        ..AuthConfig::default()
    }
}
