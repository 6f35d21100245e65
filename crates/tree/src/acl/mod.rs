//! Access control lists: what a request may say, and what a stored list permits (client protocol 6.2, 6.4, 6.8, 6.9).
//!
//! What lives here: the fix-up of a requested ACL, which ids a scheme accepts, the check, and the masking of getACL. What does
//! not: which permission an operation needs on which znode ([`crate::prep`]), and how a connection got its identities
//! ([`crate::auth`]).
//!
//! Invariants:
//! - What the fix-up returns holds no scheme `auth`, no null, and no id that its provider would refuse.
//! - A scheme whose provider is not loaded matches nobody.

mod address;
mod distinguished_name;

use std::borrow::Cow;
use std::collections::BTreeSet;

use rookeeper_proto::acl::{Acl, AclRequest, Id};
use rookeeper_proto::code::ErrorCode;

pub use self::address::peer_address;
use crate::auth::{AuthConfig, DIGEST, Identities, Provider};

const WORLD: &str = "world";
const ANYONE: &str = "anyone";
const AUTH: &str = "auth";
/// The SASL user that matches every ACL entry of its scheme.
const SASL_SUPER: &str = "super";

/// Most entries of one ACL. A frame of 1 MiB holds fewer; only the expansion of `auth`, entries times identities, gets here.
pub const MAX_ENTRIES: usize = 100_000;

/// Turns the ACL of a request into the one that is stored (client protocol 6.8).
///
/// Errors: `InvalidAcl`, or `MarshallingError` for a null id where the scheme is known and wants one.
pub fn fix_up(
    config: &AuthConfig,
    requested: Option<&[AclRequest]>,
    identities: &Identities,
) -> Result<Vec<Acl>, ErrorCode> {
    let requested = requested.unwrap_or_default();
    if requested.is_empty() {
        return Err(ErrorCode::InvalidAcl);
    }
    let mut seen = BTreeSet::new();
    let mut fixed = Vec::with_capacity(requested.len());
    for entry in requested {
        if seen.insert((entry.perms, entry.scheme.as_deref(), entry.id.as_deref())) {
            fix_up_entry(config, entry, identities, &mut fixed)?;
        }
        if fixed.len() > MAX_ENTRIES {
            return Err(ErrorCode::InvalidAcl);
        }
    }
    Ok(fixed)
}

fn fix_up_entry(
    config: &AuthConfig,
    entry: &AclRequest,
    identities: &Identities,
    fixed: &mut Vec<Acl>,
) -> Result<(), ErrorCode> {
    let scheme = entry.scheme.as_deref().ok_or(ErrorCode::InvalidAcl)?;
    if scheme == AUTH {
        return expand_auth(config, entry.perms, identities, fixed);
    }
    let id = entry.id.as_deref();
    let valid = if scheme == WORLD {
        id.ok_or(ErrorCode::MarshallingError)? == ANYONE
    } else {
        let provider = config.provider(scheme).ok_or(ErrorCode::InvalidAcl)?;
        accepts(provider, id)?
    };
    if !valid {
        return Err(ErrorCode::InvalidAcl);
    }
    fixed.push(Acl::new(entry.perms, scheme, id.unwrap_or_default()));
    Ok(())
}

/// One entry per authenticated identity. Duplicates that arise here stay, as in Java.
fn expand_auth(
    config: &AuthConfig,
    perms: i32,
    identities: &Identities,
    fixed: &mut Vec<Acl>,
) -> Result<(), ErrorCode> {
    let before = fixed.len();
    let owners = identities.as_slice().iter().filter(|id| {
        let provider = config.provider(&id.scheme);
        provider.is_some_and(Provider::is_authenticating)
    });
    fixed.extend(owners.map(|id| Acl {
        perms,
        who: id.clone(),
    }));
    if fixed.len() == before {
        return Err(ErrorCode::InvalidAcl);
    }
    Ok(())
}

/// May `id` stand in an ACL of this provider's scheme?
fn accepts(provider: Provider, id: Option<&str>) -> Result<bool, ErrorCode> {
    if provider == Provider::Ensemble {
        return Ok(false);
    }
    // The Java providers trip over a null id, and the client sees that as a request that cannot be handled.
    let id = id.ok_or(ErrorCode::MarshallingError)?;
    Ok(match provider {
        Provider::Digest => is_digest_id(id),
        Provider::Ip => address::Pattern::parse(id).is_some(),
        Provider::X509 => distinguished_name::is_valid(id),
        Provider::Sasl => is_kerberos_name(id),
        Provider::Ensemble => false,
    })
}

/// Two parts around a colon, where empty parts at the end do not count: `:h` and `a:b:` are fine, `a:` is not.
fn is_digest_id(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// Anything without `@`, or `name[/host]@realm` with each part possibly empty.
fn is_kerberos_name(id: &str) -> bool {
    let Some((user, realm)) = id.split_once('@') else {
        return true;
    };
    !realm.contains(['@', '/']) && user.matches('/').count() <= 1
}

/// True when `acl` gives `identities` one of the `needed` permission bits (client protocol 6.9).
#[must_use]
pub fn permits(config: &AuthConfig, acl: &[Acl], needed: i32, identities: &Identities) -> bool {
    let mut granting = acl.iter().filter(|entry| entry.perms & needed != 0);
    // Nearly every list starts with world:anyone, and nothing else need be looked at then.
    granting.clone().any(|entry| is_everybody(&entry.who))
        || acl.is_empty()
        || config.skip_acl
        || identities.is_super()
        || granting.any(|entry| is_one_of(config, &entry.who, identities))
}

fn is_everybody(who: &Id) -> bool {
    who.scheme == WORLD && who.id == ANYONE
}

fn is_one_of(config: &AuthConfig, who: &Id, identities: &Identities) -> bool {
    let Some(provider) = config.provider(&who.scheme) else {
        return false;
    };
    let mut same_scheme = identities.of_scheme(&who.scheme);
    match provider {
        Provider::Digest => same_scheme.any(|id| id == who.id),
        Provider::Ip => address::Pattern::parse(&who.id)
            .is_some_and(|pattern| same_scheme.any(|peer| pattern.matches(peer))),
        Provider::X509 => {
            let root = config.x509_super_user.as_deref();
            same_scheme.any(|id| id == who.id || root == Some(id))
        }
        Provider::Sasl => {
            let open = config.sasl_any_user.as_deref() == Some(&who.id);
            same_scheme.any(|id| open || id == who.id || id == SASL_SUPER)
        }
        Provider::Ensemble => false,
    }
}

/// The ACL as getACL shows it: without ADMIN the hash of every digest is an `x` (client protocol 4.8).
#[must_use]
pub fn masked<'a>(config: &AuthConfig, acl: &'a [Acl], identities: &Identities) -> Cow<'a, [Acl]> {
    let secret = |entry: &Acl| entry.who.scheme == DIGEST;
    if !acl.iter().any(secret)
        || permits(config, acl, rookeeper_proto::acl::perms::ADMIN, identities)
    {
        return Cow::Borrowed(acl);
    }
    acl.iter().map(masked_entry).collect::<Vec<_>>().into()
}

fn masked_entry(entry: &Acl) -> Acl {
    match entry.who.id.split_once(':') {
        Some((user, _)) if entry.who.scheme == DIGEST => {
            Acl::new(entry.perms, DIGEST, format!("{user}:x"))
        }
        _ => entry.clone(),
    }
}

#[cfg(test)]
mod tests {
    use rookeeper_proto::acl::perms;

    use super::*;
    use crate::auth::{self, AuthOutcome};

    const PEER: &str = "127.0.0.1";
    const BOB: &str = "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=";

    fn entry(perms: i32, scheme: &str, id: Option<&str>) -> AclRequest {
        AclRequest {
            perms,
            scheme: Some(scheme.to_owned().into()),
            id: id.map(|id| id.to_owned().into()),
        }
    }

    fn every_scheme() -> AuthConfig {
        AuthConfig {
            x509_loaded: true,
            sasl_loaded: true,
            ensemble_names: Some(Vec::new()),
            ..AuthConfig::default()
        }
    }

    fn identities(passwords: &[&str]) -> Identities {
        let mut ids = Identities::of_peer(PEER);
        let config = AuthConfig::default();
        for password in passwords {
            let data = Some(password.as_bytes());
            let outcome = auth::authenticate(&config, Some(DIGEST), data, PEER, &mut ids);
            assert_eq!(outcome, AuthOutcome::Accepted);
        }
        ids
    }

    #[track_caller]
    fn check_one(scheme: &str, id: Option<&str>, expected: Result<(), ErrorCode>) {
        let requested = [entry(perms::ALL, scheme, id)];
        let fixed = fix_up(&every_scheme(), Some(&requested), &identities(&[]));
        let stored = expected.map(|()| vec![Acl::new(perms::ALL, scheme, id.unwrap_or_default())]);
        assert_eq!(fixed, stored, "{scheme} {id:?}");
    }

    #[test]
    fn ids_are_judged_by_their_scheme() {
        for (scheme, id) in [
            ("world", "anyone"),
            ("digest", "a:b"),
            ("digest", "a:b:"),
            ("digest", ":h"),
            ("digest", "a:b::"),
            ("ip", "10.0.0.0/8"),
            ("x509", "CN=a"),
            ("sasl", "a"),
            ("sasl", "a/b"),
            ("sasl", "a@"),
            ("sasl", "@"),
            ("sasl", "a/b@c"),
            ("sasl", "a/b/c"),
            ("sasl", "/"),
        ] {
            check_one(scheme, Some(id), Ok(()));
        }
        for (scheme, id) in [
            ("world", "x"),
            ("world", "ANYONE"),
            ("digest", "a"),
            ("digest", "a:"),
            ("digest", "a::b"),
            ("digest", "::b"),
            ("digest", "a:b:c"),
            ("digest", ":"),
            ("digest", ""),
            ("ip", "1.2.3"),
            ("x509", "a"),
            ("sasl", "a/b/c@d"),
            ("sasl", "a@b@c"),
            ("sasl", "x@y/z"),
            ("sasl", "@@"),
            ("super", ""),
            ("ensemble", "red"),
            ("nope", "a"),
        ] {
            check_one(scheme, Some(id), Err(ErrorCode::InvalidAcl));
        }
    }

    #[test]
    fn a_null_id_is_a_malformed_request_where_an_id_is_wanted() {
        for scheme in ["world", "digest", "ip", "sasl", "x509"] {
            check_one(scheme, None, Err(ErrorCode::MarshallingError));
        }
        for scheme in ["ensemble", "super", "nope", "auth"] {
            check_one(scheme, None, Err(ErrorCode::InvalidAcl));
        }
    }

    #[test]
    fn a_scheme_that_is_not_loaded_is_refused_and_matches_nobody() {
        let off = AuthConfig {
            digest_enabled: false,
            ..AuthConfig::default()
        };
        let requested = [entry(perms::READ, "digest", Some(BOB))];
        let bob = identities(&["bob:pw"]);
        assert_eq!(
            fix_up(&off, Some(&requested), &bob),
            Err(ErrorCode::InvalidAcl)
        );
        let stored = [Acl::new(perms::READ, DIGEST, BOB)];
        assert!(!permits(&off, &stored, perms::READ, &bob));
        assert!(permits(&AuthConfig::default(), &stored, perms::READ, &bob));
        let auth = [entry(perms::READ, "auth", None)];
        assert_eq!(fix_up(&off, Some(&auth), &bob), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn no_list_no_entry_and_no_scheme_are_invalid() {
        let ids = identities(&[]);
        let config = AuthConfig::default();
        let nameless = AclRequest {
            perms: 1,
            scheme: None,
            id: None,
        };
        for requested in [None, Some([].as_slice()), Some(&[nameless])] {
            assert_eq!(fix_up(&config, requested, &ids), Err(ErrorCode::InvalidAcl));
        }
    }

    #[test]
    fn duplicates_go_before_auth_is_expanded_and_not_after() {
        let requested = [
            entry(31, "auth", Some("")),
            entry(1, "world", Some("anyone")),
            entry(31, "auth", Some("x")),
            entry(31, "auth", Some("")),
            entry(1, "world", Some("anyone")),
        ];
        let ids = identities(&["bob:pw", "super:pw", "alone"]);
        let fixed = fix_up(&AuthConfig::default(), Some(&requested), &ids).unwrap();
        assert_eq!(fixed.len(), 7);
        assert_eq!(fixed[0], Acl::new(31, DIGEST, BOB));
        assert_eq!(fixed[3], Acl::new(1, "world", "anyone"));
        assert_eq!(fixed[4..], fixed[..3]);
    }

    #[test]
    fn auth_gives_to_neither_ip_nor_super() {
        let mut ids = identities(&["bob:pw"]);
        ids.insert(Id::new("super", ""));
        let requested = [entry(31, "auth", None)];
        let fixed = fix_up(&AuthConfig::default(), Some(&requested), &ids);
        assert_eq!(fixed, Ok(vec![Acl::new(31, DIGEST, BOB)]));
    }

    #[test]
    fn an_expansion_has_an_end() {
        let many: Identities = (0..auth::MAX_IDENTITIES)
            .map(|n| Id::new(DIGEST, format!("u{n}:h")))
            .collect();
        let requested: Vec<_> = (0..200).map(|perms| entry(perms, "auth", None)).collect();
        let fixed = fix_up(&AuthConfig::default(), Some(&requested), &many);
        assert_eq!(fixed, Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn a_check_needs_the_bit_and_the_identity_in_one_entry() {
        let config = AuthConfig::default();
        let bob = identities(&["bob:pw"]);
        let acl = [
            Acl::new(perms::READ, "world", "anyone"),
            Acl::new(perms::WRITE, DIGEST, BOB),
            Acl::new(perms::ADMIN, "ip", "10.0.0.0/8"),
        ];
        assert!(permits(&config, &acl, perms::READ, &identities(&[])));
        assert!(permits(&config, &acl, perms::WRITE, &bob));
        assert!(!permits(
            &config,
            &acl,
            perms::WRITE,
            &identities(&["bob:no"])
        ));
        assert!(!permits(&config, &acl, perms::ADMIN, &bob));
        assert!(permits(
            &config,
            &acl,
            perms::ADMIN,
            &Identities::of_peer("10.2.3.4")
        ));
        assert!(permits(&config, &[], perms::ADMIN, &bob));
        let mut root = identities(&[]);
        root.insert(Id::new("super", ""));
        assert!(permits(&config, &acl, perms::DELETE, &root));
        let skip = AuthConfig {
            skip_acl: true,
            ..AuthConfig::default()
        };
        assert!(permits(&skip, &acl, perms::DELETE, &bob));
    }

    #[test]
    fn sasl_and_x509_have_their_masters() {
        let config = AuthConfig {
            x509_super_user: Some("CN=root".into()),
            sasl_any_user: Some("guests".into()),
            ..every_scheme()
        };
        let who = |scheme: &str, id: &str| Identities::from_iter([Id::new(scheme, id)]);
        let check = |scheme: &str, id: &str, client: &str, expected| {
            let acl = [Acl::new(perms::READ, scheme, id)];
            assert_eq!(
                permits(&config, &acl, perms::READ, &who(scheme, client)),
                expected
            );
        };
        check("sasl", "ann", "ann", true);
        check("sasl", "ann", "eve", false);
        check("sasl", "ann", "super", true);
        check("sasl", "guests", "eve", true);
        check("x509", "CN=a", "CN=b", false);
        check("x509", "CN=a", "CN=root", true);
        check("x509", "CN=a", "CN=a", true);
    }

    #[test]
    fn hashes_are_shown_to_admins_only() {
        let config = AuthConfig::default();
        let acl = [
            Acl::new(perms::ALL, DIGEST, BOB),
            Acl::new(perms::READ, "ip", "127.0.0.1"),
        ];
        let shown = masked(&config, &acl, &identities(&[]));
        assert_eq!(shown[0], Acl::new(perms::ALL, DIGEST, "bob:x"));
        assert_eq!(shown[1], acl[1]);
        assert_eq!(*masked(&config, &acl, &identities(&["bob:pw"])), acl);
    }
}
