//! TLS, and names that only Java or clients read (second part of operations, 1.8).

use super::{
    GUARD_NOT_BUILT, Key,
    Kind::{Flag, List, Number, NumberOr, Path, Secret, Word},
    NO_EFFECT, NOT_BUILT, Place, bare, property,
};

pub(super) const KEYS: &[Key] = &[
    property(
        "ssl.authProvider",
        Word("x509"),
        NOT_BUILT,
        "Scheme of client certificates.",
    ),
    property("ssl.keyStore.location", Path, NOT_BUILT, "Key store."),
    property(
        "ssl.keyStore.password",
        Secret,
        NOT_BUILT,
        "Password of the key store.",
    ),
    property(
        "ssl.keyStore.passwordPath",
        Path,
        NOT_BUILT,
        "File with that password.",
    ),
    property(
        "ssl.keyStore.type",
        Word(""),
        NOT_BUILT,
        "`JKS`, `PKCS12`, `PEM`; by file ending when absent.",
    ),
    property("ssl.trustStore.location", Path, NOT_BUILT, "Trust store."),
    property(
        "ssl.trustStore.password",
        Secret,
        NOT_BUILT,
        "Password of the trust store.",
    ),
    property(
        "ssl.trustStore.passwordPath",
        Path,
        NOT_BUILT,
        "File with that password.",
    ),
    property(
        "ssl.trustStore.type",
        Word(""),
        NOT_BUILT,
        "`JKS`, `PKCS12`, `PEM`; by file ending when absent.",
    ),
    property(
        "ssl.protocol",
        Word("TLSv1.3"),
        NOT_BUILT,
        "Protocol version.",
    ),
    property(
        "ssl.enabledProtocols",
        List("TLSv1.3,TLSv1.2"),
        NOT_BUILT,
        "Protocol versions.",
    ),
    property(
        "ssl.ciphersuites",
        List(""),
        NOT_BUILT,
        "Cipher suites; built-in when absent.",
    ),
    property(
        "ssl.hostnameVerification",
        Flag(true),
        NOT_BUILT,
        "Check names of servers.",
    ),
    property(
        "ssl.clientHostnameVerification",
        Flag(false),
        NOT_BUILT,
        "Check names of clients.",
    ),
    property(
        "ssl.allowReverseDnsLookup",
        Flag(false),
        NOT_BUILT,
        "Ask the name service for the name of an address.",
    ),
    property(
        "ssl.clientAuth",
        Word("need"),
        NOT_BUILT,
        "`none`, `want` or `need`.",
    ),
    property("ssl.crl", Flag(false), GUARD_NOT_BUILT, "Revocation lists."),
    property(
        "ssl.ocsp",
        Flag(false),
        GUARD_NOT_BUILT,
        "Revocation by OCSP.",
    ),
    property(
        "ssl.handshakeDetectionTimeoutMillis",
        Number(5000),
        NOT_BUILT,
        "Milliseconds for the first byte on a unified port.",
    ),
    property(
        "ssl.context.supplier.class",
        Word(""),
        NO_EFFECT,
        "Java class.",
    ),
    property("ssl.sslProvider", Word("JDK"), NO_EFFECT, "Java class."),
    property(
        "fips-mode",
        Flag(true),
        NO_EFFECT,
        "Java security provider.",
    ),
    property(
        "client.portUnification",
        Flag(false),
        GUARD_NOT_BUILT,
        "Client port takes TLS and plain.",
    ),
    property(
        "client.certReload",
        Flag(false),
        NOT_BUILT,
        "Reload key and trust stores.",
    ),
];

pub(super) const FOREIGN_KEYS: &[Key] = &[
    property(
        "client.secure",
        Flag(false),
        NO_EFFECT,
        "Read by clients only.",
    ),
    property(
        "sasl.client",
        Flag(true),
        NO_EFFECT,
        "Read by clients only.",
    ),
    property(
        "sasl.client.username",
        Word("zookeeper"),
        NO_EFFECT,
        "Read by clients only.",
    ),
    property(
        "sasl.client.canonicalize.hostname",
        Flag(true),
        NO_EFFECT,
        "Read by clients only.",
    ),
    property(
        "server.principal",
        Word(""),
        NO_EFFECT,
        "Read by clients only.",
    )
    .at(Place::AnyForm),
    property("server.realm", Word(""), NO_EFFECT, "Read by clients only.").at(Place::AnyForm),
    property(
        "request.timeout",
        Number(0),
        NO_EFFECT,
        "Read by clients only.",
    ),
    property(
        "disableAutoWatchReset",
        Flag(false),
        NO_EFFECT,
        "Read by clients only.",
    ),
    property(
        "clientCnxnSocket",
        Word(""),
        NO_EFFECT,
        "Java class of clients.",
    ),
    property("kinit", Path, NO_EFFECT, "Path of a Kerberos tool.").at(Place::AnyForm),
    property(
        "kerberos.minReLoginTimeMs",
        NumberOr("60000"),
        NO_EFFECT,
        "Kerberos in Java.",
    )
    .at(Place::AnyForm),
    property(
        "requireKerberosConfig",
        Flag(false),
        NO_EFFECT,
        "Kerberos in Java.",
    )
    .at(Place::AnyForm),
    property(
        "jmx.log4j.disable",
        Flag(false),
        NO_EFFECT,
        "There is no JMX.",
    ),
    bare(
        "com.sun.management.*",
        Word(""),
        NO_EFFECT,
        "There is no JMX.",
    )
    .at(Place::BareOnly),
    bare("java.*", Word(""), NO_EFFECT, "Java machine.").at(Place::BareOnly),
    bare("sun.*", Word(""), NO_EFFECT, "Java machine.").at(Place::BareOnly),
];
