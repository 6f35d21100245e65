//! Encrypted connections, as properties of ZooKeeper's client ask for them. Stores are PEM files here.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rookeeper_client::{TlsError, TlsOptions};
use thiserror::Error;

/// How a PEM text begins, after comments.
const PEM: &str = "-----BEGIN ";
/// Where the certificates are that vouch for servers.
const TRUST: &str = "zookeeper.ssl.trustStore.location";

/// What properties say of encryption.
#[derive(Debug, Clone, Default)]
pub struct TlsProperties {
    is_wanted: bool,
    trust: Option<PathBuf>,
    key: Option<PathBuf>,
    any_name: bool,
}

/// Why no encrypted connection can be made.
#[derive(Debug, Error)]
pub enum TlsFault {
    /// Nobody vouches for servers.
    #[error("TLS needs {TRUST}, a PEM file with the certificates that vouch for servers")]
    NoTrust,
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why it cannot be read.
        error: io::Error,
    },
    /// A store of Java.
    #[error("{}: not a PEM file; keytool -exportcert -rfc and openssl pkcs12 make one of a Java store", .0.display())]
    NotPem(PathBuf),
    /// What is in the file with our own certificate.
    #[error("{}: {error}; it must hold our certificate, those above it, and the key", path.display())]
    Own {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: TlsError,
    },
    /// What is in a file.
    #[error("{}: {error}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: TlsError,
    },
}

impl TlsProperties {
    /// From now on connections are encrypted.
    pub const fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Notes a property, if it is about encryption.
    pub fn note(&mut self, name: &str, value: &str) {
        let is = |wanted: &str| value.eq_ignore_ascii_case(wanted);
        match name {
            "zookeeper.client.secure" => self.is_wanted = is("true"),
            TRUST => self.trust = Some(PathBuf::from(value)),
            "zookeeper.ssl.keyStore.location" => self.key = Some(PathBuf::from(value)),
            "zookeeper.ssl.hostnameVerification" => self.any_name = is("false"),
            _ => {}
        }
    }

    /// What the client is told; nothing if connections are plain.
    pub fn options(&self) -> Result<Option<TlsOptions>, TlsFault> {
        if !self.is_wanted {
            return Ok(None);
        }
        let trust = self.trust.as_deref().ok_or(TlsFault::NoTrust)?;
        let content = |path: &Path| {
            let path = path.to_owned();
            |error| TlsFault::Content { path, error }
        };
        let mut options = TlsOptions::trusting(&pem(trust)?).map_err(content(trust))?;
        if let Some(path) = &self.key {
            // Chain and key are in one file, as ZooKeeper has it.
            let text = pem(path)?;
            options = options
                .client_certificate(&text, &text)
                .map_err(|error| TlsFault::Own {
                    path: path.clone(),
                    error,
                })?;
        }
        if self.any_name {
            options = options.any_name().map_err(content(trust))?;
        }
        Ok(Some(options))
    }
}

fn pem(path: &Path) -> Result<Vec<u8>, TlsFault> {
    let text = fs::read(path).map_err(|error| TlsFault::File {
        path: path.to_owned(),
        error,
    })?;
    let is_pem = text
        .windows(PEM.len())
        .any(|window| window == PEM.as_bytes());
    match is_pem {
        true => Ok(text),
        false => Err(TlsFault::NotPem(path.to_owned())),
    }
}
