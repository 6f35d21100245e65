//! Encrypted connections: a server inside the test behind an end of TLS made with rustls.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets and files: a failure is its result"
)]
#![cfg(feature = "tls")]

mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rookeeper_client::{CreateOptions, Error, State, TlsError, TlsOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use world::services::{SERVICE, Services, target};
use world::{World, builder, reach, soon};

// Valid until 2126; made by `tests/tls/make`.
const ROOT: &[u8] = include_bytes!("tls/root.pem");
const OTHER_ROOT: &[u8] = include_bytes!("tls/other_root.pem");
const SERVER: (&[u8], &[u8]) = (
    include_bytes!("tls/server.pem"),
    include_bytes!("tls/server.key"),
);
const CLIENT: (&[u8], &[u8]) = (
    include_bytes!("tls/client.pem"),
    include_bytes!("tls/client.key"),
);

fn roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ROOT).unwrap())
        .unwrap();
    Arc::new(roots)
}

/// Decrypts for `server`; clients have to show a certificate.
async fn encrypted(server: SocketAddr) -> SocketAddr {
    let provider = Arc::new(ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(roots(), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(SERVER.0).unwrap()],
            PrivateKeyDer::from_pem_slice(SERVER.1).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}

fn options() -> TlsOptions {
    let options = TlsOptions::trusting(ROOT).unwrap();
    options.client_certificate(CLIENT.0, CLIENT.1).unwrap()
}

async fn refused(hosts: String, options: TlsOptions, reason: &str) {
    let patience = Duration::from_millis(1500);
    let attempt = builder().tls(options).connect_timeout(patience);
    match attempt.connect(&hosts).await {
        Err(Error::Unreachable { server, why }) => {
            assert_eq!(server, hosts);
            assert!(why.contains(reason), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everything_works_over_an_encrypted_connection() {
    let world = World::new();
    let address = encrypted(world.address()).await;
    let hosts = format!("localhost:{}", address.port());
    let client = soon(builder().tls(options()).connect(&hosts))
        .await
        .unwrap();
    let large = vec![7; 900_000];
    let mut creates = Vec::new();
    for n in 0..20 {
        let path = format!("/n{n}");
        creates.push(client.create(&path, &large, &CreateOptions::persistent()));
    }
    for create in creates {
        soon(create).await.unwrap();
    }
    let (data, watch) = soon(client.data_watched("/n7")).await.unwrap();
    assert_eq!(data.bytes, large);
    soon(client.set("/n7", "", -1)).await.unwrap();
    soon(watch).await.unwrap();
    soon(client.close()).await.unwrap();
    reach(&client, State::Closed).await;
}

#[tokio::test]
async fn a_server_is_believed_only_with_the_right_root_and_the_right_name() {
    let world = World::new();
    let address = encrypted(world.address()).await;
    let named = format!("localhost:{}", address.port());
    // The certificate is for localhost, not for the number.
    let numbered = address.to_string();
    let stranger = TlsOptions::trusting(OTHER_ROOT).unwrap();
    let stranger = stranger.client_certificate(CLIENT.0, CLIENT.1).unwrap();
    let strange = "UnknownIssuer";
    refused(named.clone(), stranger.clone(), strange).await;
    refused(named.clone(), stranger.any_name().unwrap(), strange).await;
    refused(numbered.clone(), options(), "not valid for name").await;
    // Without a certificate of its own the client is not let in.
    let nobody = TlsOptions::trusting(ROOT).unwrap();
    refused(named, nobody, "CertificateRequired").await;
    // Who speaks without TLS knows no greeting.
    refused(world.hosts(), options().any_name().unwrap(), "eof").await;
    let any = options().any_name().unwrap();
    soon(builder().tls(any).connect(&numbered)).await.unwrap();
}

#[tokio::test]
async fn a_server_of_a_service_proves_the_name_that_the_records_have() {
    let world = World::new();
    let address = encrypted(world.address()).await;
    let builder = builder().tls(options());
    let records = |list| Services::new([vec![list]]);
    let named = builder.clone().resolver(records(target(1, address)));
    soon(named.connect(SERVICE)).await.unwrap();
    let other = records((1, address.port(), "zk1.example.org."));
    let misnamed = builder.connect_timeout(Duration::from_millis(1500));
    match misnamed.resolver(other).connect(SERVICE).await {
        Err(Error::Unreachable { server, why }) => {
            assert_eq!(server, format!("zk1.example.org:{}", address.port()));
            assert!(why.contains("not valid for name"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rustls_can_be_told_everything() {
    let world = World::new();
    let address = encrypted(world.address()).await;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots())
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(CLIENT.0).unwrap()],
            PrivateKeyDer::from_pem_slice(CLIENT.1).unwrap(),
        )
        .unwrap();
    let options = TlsOptions::from(Arc::new(config));
    let hosts = format!("localhost:{}", address.port());
    soon(builder().tls(options).connect(&hosts)).await.unwrap();
}

#[test]
fn what_is_not_a_certificate_is_told() {
    assert!(matches!(
        TlsOptions::trusting(b"nonsense"),
        Err(TlsError::NoRoot)
    ));
    let options = TlsOptions::trusting(ROOT).unwrap();
    assert!(matches!(
        options.client_certificate(CLIENT.0, b""),
        Err(TlsError::Pem(_))
    ));
}
