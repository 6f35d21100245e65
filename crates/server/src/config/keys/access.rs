//! Who may do what (first part of operations, 1.8).

use super::{
    GUARD_NOT_BUILT, HONOURED, Key,
    Kind::{Flag, List, Path, Secret, Word},
    NOT_BUILT, bare, property,
};

pub(super) const KEYS: &[Key] = &[
    property(
        "DigestAuthenticationProvider.superDigest",
        Secret,
        HONOURED,
        "`super:` and the digest of the super user's password: passes every ACL.",
    ),
    property(
        "DigestAuthenticationProvider.enabled",
        Flag(true),
        HONOURED,
        "Scheme `digest`.",
    ),
    property(
        "DigestAuthenticationProvider.digestAlg",
        Word("SHA1"),
        HONOURED,
        "`SHA1`, `SHA-256`, `SHA-512` or `SHA3-256`.",
    ),
    property(
        "IPAuthenticationProvider.usexforwardedfor",
        Flag(false),
        NOT_BUILT,
        "AdminServer believes the header X-Forwarded-For.",
    ),
    property(
        "X509AuthenticationProvider.superUser",
        Word(""),
        HONOURED,
        "Certificate subject that is super user; needs TLS to matter.",
    ),
    property(
        "superUser",
        Word(""),
        HONOURED,
        "SASL user that is super user; needs SASL to matter.",
    ),
    property("superUser.*", Word(""), HONOURED, "More such users."),
    property(
        "authProvider",
        Word(""),
        HONOURED,
        "Java class that switches an authentication scheme on; unknown ones are refused.",
    ),
    property("authProvider.*", Word(""), HONOURED, "More such classes."),
    property(
        "sessionRequireClientSASLAuth",
        Flag(false),
        GUARD_NOT_BUILT,
        "Sessions need SASL.",
    ),
    property(
        "enforce.auth.enabled",
        Flag(false),
        HONOURED,
        "Sessions need one of `enforce.auth.schemes`.",
    ),
    property(
        "enforce.auth.schemes",
        List(""),
        HONOURED,
        "Schemes that count: `digest`, `ip`.",
    ),
    property(
        "allowSaslFailedClients",
        Flag(false),
        NOT_BUILT,
        "Keep clients whose SASL failed.",
    ),
    property(
        "ensembleAuthName",
        List(""),
        HONOURED,
        "Names that scheme `ensemble` accepts.",
    ),
    bare(
        "java.security.auth.login.config",
        Path,
        GUARD_NOT_BUILT,
        "Login file of SASL.",
    ),
    property(
        "sasl.serverconfig",
        Word("Server"),
        NOT_BUILT,
        "Section of the login file for the server.",
    ),
    property(
        "sasl.clientconfig",
        Word("Client"),
        NOT_BUILT,
        "Section of the login file for clients.",
    ),
    property(
        "SASLAuthenticationProvider.superPassword",
        Secret,
        NOT_BUILT,
        "Password of the SASL user `super`.",
    ),
    property(
        "kerberos.removeHostFromPrincipal",
        Flag(false),
        NOT_BUILT,
        "Form of principal names.",
    ),
    property(
        "kerberos.removeRealmFromPrincipal",
        Flag(false),
        NOT_BUILT,
        "Form of principal names.",
    ),
    property(
        "kerberos.canonicalizeHostNames",
        Flag(false),
        NOT_BUILT,
        "Form of principal names.",
    ),
    property(
        "security.auth_to_local",
        Word("DEFAULT"),
        NOT_BUILT,
        "Rules from principals to names.",
    ),
    property(
        "letAnySaslUserDoX",
        Word(""),
        HONOURED,
        "SASL user that passes every SASL entry of an ACL; needs SASL to matter.",
    ),
];
