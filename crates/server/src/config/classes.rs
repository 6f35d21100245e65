//! Java class names that stand in existing configurations, and what they mean here.

use super::settings::AuthScheme;

/// Client port of the Java server, default.
pub(super) const NIO_FACTORY: &str = "org.apache.zookeeper.server.NIOServerCnxnFactory";
/// Client port of the Java server, the other one. Both mean Rookeeper's own client port.
pub(super) const NETTY_FACTORY: &str = "org.apache.zookeeper.server.NettyServerCnxnFactory";

/// Metrics kept in memory, default.
pub(super) const DEFAULT_METRICS: &str = "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider";
/// Every class that may stand for a metrics provider.
pub(super) const METRICS_PROVIDERS: [&str; 3] = [
    DEFAULT_METRICS,
    "org.apache.zookeeper.metrics.impl.NullMetricsProvider",
    "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
];

/// Every class that may stand for an authentication provider, with the scheme it switches on.
pub(super) const AUTH_PROVIDERS: [(&str, AuthScheme); 5] = [
    (
        "org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
        AuthScheme::Digest,
    ),
    (
        "org.apache.zookeeper.server.auth.IPAuthenticationProvider",
        AuthScheme::Ip,
    ),
    (
        "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        AuthScheme::Sasl,
    ),
    (
        "org.apache.zookeeper.server.auth.X509AuthenticationProvider",
        AuthScheme::X509,
    ),
    (
        "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider",
        AuthScheme::Ensemble,
    ),
];
