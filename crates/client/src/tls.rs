//! TLS to servers, by rustls.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::VerifierBuilderError;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore,
    SignatureScheme,
};

/// Why these options cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A certificate or a key is not PEM, or is not there.
    #[error("the PEM text cannot be read: {0}")]
    Pem(#[from] pem::Error),
    /// No certificate that could vouch for a server.
    #[error("there is no root certificate")]
    NoRoot,
    /// The roots cannot be used.
    #[error("the root certificates cannot be used: {0}")]
    Roots(#[from] VerifierBuilderError),
    /// A certificate or a key is of no use.
    #[error("TLS: {0}")]
    Rustls(#[from] RustlsError),
}

/// How to encrypt, whom to believe, and how to prove who this is. Cheap to clone.
///
/// The name of a server, as the connect string has it, must be in its certificate, unless [`TlsOptions::any_name`] says otherwise.
#[derive(Clone)]
pub struct TlsOptions {
    config: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
    identity: Option<Identity>,
    any_name: bool,
}

impl TlsOptions {
    /// Believes servers whose certificates lead to one of these, as PEM text.
    pub fn trusting(roots: &[u8]) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots) {
            store.add(root?)?;
        }
        if store.is_empty() {
            return Err(TlsError::NoRoot);
        }
        let roots = Arc::new(store);
        let config = Arc::new(config(&roots, None, false)?);
        Ok(Self {
            config,
            roots,
            identity: None,
            any_name: false,
        })
    }

    /// Shows this certificate to servers that ask for one: the chain, its own first, and its key, as PEM text.
    pub fn client_certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key)?;
        self.identity = Some((chain, Arc::new(key)));
        self.rebuild()
    }

    /// Believes any server whose certificate leads to a root, whatever its name. Who holds any certificate of these roots can then
    /// stand between.
    pub fn any_name(mut self) -> Result<Self, TlsError> {
        self.any_name = true;
        self.rebuild()
    }

    fn rebuild(mut self) -> Result<Self, TlsError> {
        self.config = Arc::new(config(&self.roots, self.identity.as_ref(), self.any_name)?);
        Ok(self)
    }

    /// Shakes hands over `stream` with the server of this name, and listens for `patience` whether the server is content too: the
    /// refusal of a client comes after the handshake. For telling why there is no session; the connection ends with it.
    pub async fn try_out(
        &self,
        name: &str,
        stream: TcpStream,
        patience: Duration,
    ) -> io::Result<()> {
        let mut stream = self.encrypt(name, stream).await?;
        match timeout(patience, stream.read_u8()).await {
            Ok(Err(error)) => Err(error),
            // A server that is content waits for us.
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    /// Shakes hands over `stream` with the server of this name.
    pub(crate) async fn encrypt(
        &self,
        name: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await
    }
}

impl From<Arc<ClientConfig>> for TlsOptions {
    /// Everything as rustls is told; what else these options know is not used.
    fn from(config: Arc<ClientConfig>) -> Self {
        Self {
            config,
            roots: Arc::new(RootCertStore::empty()),
            identity: None,
            any_name: false,
        }
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("roots", &self.roots.len())
            .field("any_name", &self.any_name)
            .finish_non_exhaustive()
    }
}

type Identity = (Vec<CertificateDer<'static>>, Arc<PrivateKeyDer<'static>>);

fn config(
    roots: &Arc<RootCertStore>,
    identity: Option<&Identity>,
    any_name: bool,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = if any_name {
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider);
        let verifier = Arc::new(AnyName(chain.build()?));
        builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
    } else {
        builder.with_root_certificates(Arc::clone(roots))
    };
    Ok(match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        None => builder.with_no_client_auth(),
    })
}

/// Verifies all but the name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        match self.0.verify_server_cert(own, chain, name, ocsp, now) {
            // The name is the last that is looked at.
            Err(RustlsError::InvalidCertificate(
                NotValidForName | NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.0.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.0.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
