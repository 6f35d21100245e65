//! Who a connection is: its identities, and how the `auth` request adds to them (client protocol 6.1 to 6.7).
//!
//! What lives here: the schemes a server knows, the digest of a password, what each scheme says to an authentication packet,
//! and enforced authentication. What does not: which ACL lets whom do what ([`crate::acl`]), SASL tokens, certificates, sockets.
//!
//! Invariants:
//! - An identity is never removed from a connection, and equal identities are stored once, in order of arrival.
//! - An unknown or refused scheme adds nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rookeeper_proto::acl::Id;

/// Scheme of the identity that passes every ACL.
pub const SUPER: &str = "super";
/// Scheme of user and password.
pub const DIGEST: &str = "digest";
/// Scheme of the peer's address.
pub const IP: &str = "ip";
/// Scheme of the TLS client certificate.
pub const X509: &str = "x509";
/// Scheme of SASL users.
pub const SASL: &str = "sasl";
/// Scheme of the ensemble's name; never an identity.
pub const ENSEMBLE: &str = "ensemble";

/// Most identities of one connection. Java has no limit; without one, a client could grow memory, and each of its writes that
/// is forwarded, with every password it makes up.
pub const MAX_IDENTITIES: usize = 1000;

/// The identities of one connection, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identities {
    ids: Vec<Id>,
}

impl Identities {
    /// A fresh connection from `peer`, the address in the text form of [`crate::acl::peer_address`].
    #[must_use]
    pub fn of_peer(peer: &str) -> Self {
        Self {
            ids: vec![Id::new(IP, peer)],
        }
    }

    /// Adds `id` unless it is there. False when there is no room ([`MAX_IDENTITIES`]).
    pub fn insert(&mut self, id: Id) -> bool {
        if self.ids.contains(&id) {
            return true;
        }
        let room = self.ids.len() < MAX_IDENTITIES;
        if room {
            self.ids.push(id);
        }
        room
    }

    /// All of them, in order of arrival.
    #[must_use]
    pub fn as_slice(&self) -> &[Id] {
        &self.ids
    }

    /// True when no ACL binds this connection.
    #[must_use]
    pub fn is_super(&self) -> bool {
        self.has_scheme(SUPER)
    }

    /// True when some identity is of `scheme`.
    #[must_use]
    pub fn has_scheme(&self, scheme: &str) -> bool {
        self.of_scheme(scheme).next().is_some()
    }

    /// The ids of one scheme.
    pub(crate) fn of_scheme<'a>(&'a self, scheme: &'a str) -> impl Iterator<Item = &'a str> {
        let same = self.ids.iter().filter(move |id| id.scheme == scheme);
        same.map(|id| id.id.as_str())
    }
}

/// The identities that travelled with a forwarded request. What exceeds [`MAX_IDENTITIES`] is left out.
impl FromIterator<Id> for Identities {
    fn from_iter<T: IntoIterator<Item = Id>>(ids: T) -> Self {
        let mut all = Self::default();
        ids.into_iter().for_each(|id| {
            all.insert(id);
        });
        all
    }
}

/// The hash of scheme `digest` (`DigestAuthenticationProvider.digestAlg`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigestAlgorithm {
    /// SHA-1, what every server uses unless told otherwise.
    #[default]
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// SHA3-256.
    Sha3_256,
}

impl DigestAlgorithm {
    /// The algorithm of a Java name, in any case; `None` is a configuration the server must refuse to start with.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" | "SHA" => Some(Self::Sha1),
            "SHA-256" => Some(Self::Sha256),
            "SHA-512" => Some(Self::Sha512),
            "SHA3-256" => Some(Self::Sha3_256),
            _ => None,
        }
    }

    /// The id of `user:password`: the user, a colon, the base64 of the hash of all bytes (client protocol 6.3).
    ///
    /// Bytes that are not UTF-8 become replacement characters first, as in Java.
    #[must_use]
    pub fn digest_id(self, user_and_password: &[u8]) -> String {
        let text = String::from_utf8_lossy(user_and_password);
        let hash = STANDARD.encode(self.hash(text.as_bytes()));
        format!("{}:{hash}", user_of(&text))
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => <sha1::Sha1 as sha1::Digest>::digest(bytes).to_vec(),
            Self::Sha256 => <sha2::Sha256 as sha2::Digest>::digest(bytes).to_vec(),
            Self::Sha512 => <sha2::Sha512 as sha2::Digest>::digest(bytes).to_vec(),
            Self::Sha3_256 => <sha3::Sha3_256 as sha3::Digest>::digest(bytes).to_vec(),
        }
    }
}

/// What is before the first colon, or all of it.
fn user_of(digest: &str) -> &str {
    digest.split_once(':').map_or(digest, |(user, _)| user)
}

/// What the configuration says about identities and ACLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Scheme `digest` is there (`DigestAuthenticationProvider.enabled`).
    pub digest_enabled: bool,
    /// Its hash.
    pub digest_algorithm: DigestAlgorithm,
    /// The digest id that is also super (`DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<String>,
    /// The certificate subject that is also super (`X509AuthenticationProvider.superUser`).
    pub x509_super_user: Option<String>,
    /// The SASL users that are also super (`zookeeper.superUser` and `zookeeper.superUser.*`).
    pub sasl_super_users: Vec<String>,
    /// The ACL id of scheme `sasl` that lets every SASL user pass (`letAnySaslUserDoX`).
    pub sasl_any_user: Option<String>,
    /// Scheme `x509` is there.
    pub x509_loaded: bool,
    /// Scheme `sasl` is there.
    pub sasl_loaded: bool,
    /// Scheme `ensemble` is there, with these names; without any name it accepts every name.
    pub ensemble_names: Option<Vec<String>>,
    /// No ACL is checked (`skipACL`); the fix-up of new ACLs stays.
    pub skip_acl: bool,
    /// Requests need an identity of one of these schemes; empty: no such demand.
    pub enforce_schemes: Vec<String>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            digest_enabled: true,
            digest_algorithm: DigestAlgorithm::Sha1,
            super_digest: None,
            x509_super_user: None,
            sasl_super_users: Vec::new(),
            sasl_any_user: None,
            x509_loaded: false,
            sasl_loaded: false,
            ensemble_names: None,
            skip_acl: false,
            enforce_schemes: Vec::new(),
        }
    }
}

/// A scheme that this server can judge. `world` and `auth` are words of the ACL language, `super` is a result: none of them
/// has a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Digest,
    Ip,
    X509,
    Sasl,
    Ensemble,
}

impl Provider {
    /// True when its identities may own what their connection creates with scheme `auth` (client protocol 6.8).
    pub(crate) const fn is_authenticating(self) -> bool {
        matches!(self, Self::Digest | Self::X509 | Self::Sasl)
    }
}

impl AuthConfig {
    /// The provider of `scheme`, when it is loaded.
    pub(crate) fn provider(&self, scheme: &str) -> Option<Provider> {
        let (provider, loaded) = match scheme {
            DIGEST => (Provider::Digest, self.digest_enabled),
            IP => (Provider::Ip, true),
            X509 => (Provider::X509, self.x509_loaded),
            SASL => (Provider::Sasl, self.sasl_loaded),
            ENSEMBLE => (Provider::Ensemble, self.ensemble_names.is_some()),
            _ => return None,
        };
        loaded.then_some(provider)
    }
}

/// What becomes of the connection after an `auth` request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthOutcome {
    /// Reply with error 0.
    Accepted,
    /// Reply with `AuthFailed` (-115), then close.
    Refused,
    /// Close without a reply, so that the client tries another server.
    CloseSilently,
}

/// Judges one `auth` request and adds what it proves to `identities` (client protocol 6.2, 6.3, 6.5).
///
/// `peer` is the address of the connection in the form of [`crate::acl::peer_address`]. Scheme `x509` repeats what the TLS
/// handshake said: it is accepted when the handshake left an identity ([`admit_certificate`]).
pub fn authenticate(
    config: &AuthConfig,
    scheme: Option<&str>,
    data: Option<&[u8]>,
    peer: &str,
    identities: &mut Identities,
) -> AuthOutcome {
    let accepted = match scheme.and_then(|scheme| config.provider(scheme)) {
        Some(Provider::Digest) => data.is_some_and(|data| admit_digest(config, data, identities)),
        Some(Provider::Ip) => identities.insert(Id::new(IP, peer)),
        Some(Provider::X509) => identities.has_scheme(X509),
        Some(Provider::Ensemble) => return greet_ensemble(config, data),
        // SASL users come by their own opcode.
        Some(Provider::Sasl) | None => false,
    };
    if accepted {
        AuthOutcome::Accepted
    } else {
        AuthOutcome::Refused
    }
}

/// Any password succeeds: a wrong one is simply somebody else.
fn admit_digest(config: &AuthConfig, data: &[u8], identities: &mut Identities) -> bool {
    let id = config.digest_algorithm.digest_id(data);
    let is_super = config.super_digest.as_deref() == Some(&id);
    (!is_super || identities.insert(Id::new(SUPER, ""))) && identities.insert(Id::new(DIGEST, id))
}

fn greet_ensemble(config: &AuthConfig, data: Option<&[u8]>) -> AuthOutcome {
    let names = config.ensemble_names.as_deref().unwrap_or_default();
    let said = data.unwrap_or_default();
    if said.is_empty() || names.is_empty() || names.iter().any(|name| name.as_bytes() == said) {
        AuthOutcome::Accepted
    } else {
        AuthOutcome::CloseSilently
    }
}

/// Adds the subject of a client certificate that the TLS handshake trusted, in RFC 2253 form (client protocol 6.6).
///
/// False when there is no room.
pub fn admit_certificate(config: &AuthConfig, subject: &str, identities: &mut Identities) -> bool {
    let is_super = config.x509_super_user.as_deref() == Some(subject);
    identities.insert(Id::new(X509, subject))
        && (!is_super || identities.insert(Id::new(SUPER, subject)))
}

/// Adds the user of a completed SASL exchange (client protocol 6.5). False when there is no room.
pub fn admit_sasl_user(config: &AuthConfig, user: &str, identities: &mut Identities) -> bool {
    let is_super = config.sasl_super_users.iter().any(|name| name == user);
    identities.insert(Id::new(SASL, user)) && (!is_super || identities.insert(Id::new(SUPER, "")))
}

/// True when the connection has what enforced authentication asks for (client protocol 6.7).
#[must_use]
pub fn satisfies_enforced(config: &AuthConfig, identities: &Identities) -> bool {
    let demanded = &config.enforce_schemes;
    demanded.is_empty() || demanded.iter().any(|scheme| identities.has_scheme(scheme))
}

/// The answer to whoAmI: scheme and user of each identity (client protocol 4.8).
#[must_use]
pub fn who_am_i(identities: &Identities) -> Vec<(String, String)> {
    let shown = identities.ids.iter().map(|id| {
        let user = match id.scheme.as_str() {
            DIGEST => user_of(&id.id),
            SUPER => "",
            _ => &id.id,
        };
        (id.scheme.clone(), user.to_owned())
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "127.0.0.1";

    fn auth(config: &AuthConfig, scheme: &str, data: Option<&str>) -> (AuthOutcome, Identities) {
        let mut ids = Identities::of_peer(PEER);
        let outcome = authenticate(
            config,
            Some(scheme),
            data.map(str::as_bytes),
            PEER,
            &mut ids,
        );
        (outcome, ids)
    }

    #[test]
    fn digests_equal_those_of_the_java_server() {
        let cases = [
            (
                DigestAlgorithm::Sha1,
                "bob:pw",
                "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=",
            ),
            (
                DigestAlgorithm::Sha1,
                "super:pw",
                "super:0bX78nEegDzJM3ju0iLBEJdWzjg=",
            ),
            (
                DigestAlgorithm::Sha1,
                "alone",
                "alone:GwXWN/BAnMmbTdC1Aj5CHFLZt2Q=",
            ),
            (
                DigestAlgorithm::Sha256,
                "bob:pw",
                "bob:lXdkgIa9O1CDDWAryQ0pe9wUYi2LkG6M7Uocn/Vyn2g=",
            ),
        ];
        for (algorithm, text, id) in cases {
            assert_eq!(algorithm.digest_id(text.as_bytes()), id);
        }
    }

    #[test]
    fn the_longer_hashes_have_their_length_and_java_names_are_known() {
        // 64 and 32 bytes in base64, behind "a:".
        assert_eq!(DigestAlgorithm::Sha512.digest_id(b"a:b").len(), 2 + 88);
        assert_eq!(DigestAlgorithm::Sha3_256.digest_id(b"a:b").len(), 2 + 44);
        assert_eq!(
            DigestAlgorithm::from_name("SHA-1"),
            Some(DigestAlgorithm::Sha1)
        );
        assert_eq!(
            DigestAlgorithm::from_name("sha3-256"),
            Some(DigestAlgorithm::Sha3_256)
        );
        assert_eq!(DigestAlgorithm::from_name("CRC"), None);
    }

    #[test]
    fn a_digest_adds_its_identity_once() {
        let (outcome, mut ids) = auth(&AuthConfig::default(), "digest", Some("bob:pw"));
        assert_eq!(outcome, AuthOutcome::Accepted);
        let config = AuthConfig::default();
        authenticate(&config, Some("digest"), Some(b"bob:pw"), PEER, &mut ids);
        assert_eq!(ids.as_slice().len(), 2);
        assert_eq!(ids.as_slice()[0], Id::new("ip", PEER));
        assert!(!ids.is_super());
    }

    #[test]
    fn the_super_digest_is_super_too_and_shows_no_name() {
        let config = AuthConfig {
            super_digest: Some("super:0bX78nEegDzJM3ju0iLBEJdWzjg=".into()),
            ..AuthConfig::default()
        };
        let (_, ids) = auth(&config, "digest", Some("super:pw"));
        assert!(ids.is_super());
        let shown = who_am_i(&ids);
        assert!(shown.contains(&("super".into(), String::new())));
        assert!(shown.contains(&("digest".into(), "super".into())));
        assert!(shown.contains(&("ip".into(), PEER.into())));
        assert!(!auth(&config, "digest", Some("super:wrong")).1.is_super());
    }

    #[test]
    fn schemes_without_a_say_are_refused() {
        let all = AuthConfig {
            x509_loaded: true,
            sasl_loaded: true,
            ..AuthConfig::default()
        };
        for scheme in [
            "world", "auth", "super", "sasl", "x509", "ensemble", "foo", "",
        ] {
            let (outcome, ids) = auth(&all, scheme, Some("a:b"));
            assert_eq!(outcome, AuthOutcome::Refused, "{scheme}");
            assert_eq!(ids, Identities::of_peer(PEER));
        }
        let mut ids = Identities::of_peer(PEER);
        assert_eq!(
            authenticate(&all, None, None, PEER, &mut ids),
            AuthOutcome::Refused
        );
        assert_eq!(auth(&all, "digest", None).0, AuthOutcome::Refused);
        let off = AuthConfig {
            digest_enabled: false,
            ..AuthConfig::default()
        };
        assert_eq!(auth(&off, "digest", Some("a:b")).0, AuthOutcome::Refused);
    }

    #[test]
    fn ip_is_accepted_and_adds_nothing() {
        let expected = (AuthOutcome::Accepted, Identities::of_peer(PEER));
        assert_eq!(auth(&AuthConfig::default(), "ip", None), expected);
    }

    #[test]
    fn a_certificate_makes_x509_pass_and_may_be_super() {
        let config = AuthConfig {
            x509_loaded: true,
            x509_super_user: Some("CN=root".into()),
            ..AuthConfig::default()
        };
        let mut ids = Identities::of_peer(PEER);
        assert!(admit_certificate(&config, "CN=a", &mut ids));
        assert_eq!(
            authenticate(&config, Some("x509"), None, PEER, &mut ids),
            AuthOutcome::Accepted
        );
        assert!(!ids.is_super());
        assert!(admit_certificate(&config, "CN=root", &mut ids) && ids.is_super());
        assert_eq!(
            who_am_i(&ids).last(),
            Some(&("super".into(), String::new()))
        );
    }

    #[test]
    fn another_ensemble_is_left_silently() {
        let config = AuthConfig {
            ensemble_names: Some(vec!["red".into(), "blue".into()]),
            ..AuthConfig::default()
        };
        assert_eq!(
            auth(&config, "ensemble", Some("blue")).0,
            AuthOutcome::Accepted
        );
        assert_eq!(auth(&config, "ensemble", Some("")).0, AuthOutcome::Accepted);
        assert_eq!(auth(&config, "ensemble", None).0, AuthOutcome::Accepted);
        assert_eq!(
            auth(&config, "ensemble", Some("green")).0,
            AuthOutcome::CloseSilently
        );
    }

    #[test]
    fn enforcement_asks_for_one_of_the_schemes() {
        let config = AuthConfig {
            enforce_schemes: vec!["sasl".into(), "digest".into()],
            sasl_super_users: vec!["root".into()],
            ..AuthConfig::default()
        };
        let mut ids = Identities::of_peer(PEER);
        assert!(!satisfies_enforced(&config, &ids));
        assert!(satisfies_enforced(&AuthConfig::default(), &ids));
        assert!(admit_sasl_user(&config, "root", &mut ids));
        assert!(satisfies_enforced(&config, &ids) && ids.is_super());
    }

    #[test]
    fn a_client_cannot_collect_identities_without_end() {
        let config = AuthConfig::default();
        let mut ids = Identities::of_peer(PEER);
        for n in 1..MAX_IDENTITIES {
            assert!(ids.insert(Id::new(DIGEST, n.to_string())));
        }
        let refused = authenticate(&config, Some("digest"), Some(b"one:more"), PEER, &mut ids);
        assert_eq!(refused, AuthOutcome::Refused);
        let again: Identities = ids.as_slice().iter().cloned().collect();
        assert_eq!(again, ids);
    }
}
