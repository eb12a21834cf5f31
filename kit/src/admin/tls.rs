//! A listener that speaks TLS with a mounted certificate.
//!
//! Reads the certificate's files, again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::clock::{Clock, Mono};

/// File with the certificate and its chain, as a Secret of type `kubernetes.io/tls` has it.
pub const FILE_CERTIFICATE: &str = "tls.crt";
/// File with its key.
pub const FILE_KEY: &str = "tls.key";
/// How long what was read is believed; bounds how long a new certificate takes to be used.
const FRESH: Duration = Duration::from_secs(10);
/// Largest file that is read, bytes.
const MAX_FILE: u64 = 64 << 10;
/// Time from the first byte to the end of the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to use the certificate in {folder}: {message}; mount a Secret of type kubernetes.io/tls there", folder = folder.display())]
pub struct TlsError {
    /// Where.
    pub folder: PathBuf,
    /// What is wrong; never what is in the key's file.
    pub message: String,
}

/// A certificate in a folder.
pub(super) struct Tls {
    folder: PathBuf,
    clock: Clock,
    last: Mutex<Loaded>,
}

struct Loaded {
    read: Mono,
    files: [Vec<u8>; 2],
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the certificate.
    pub(super) fn open(folder: PathBuf, clock: Clock) -> Result<Self, TlsError> {
        let refuse = |message| TlsError { folder: folder.clone(), message };
        let files = read(&folder).map_err(refuse)?;
        let config = Arc::new(config_of(&files).map_err(refuse)?);
        let last = Mutex::new(Loaded { read: clock.mono(), files, config });
        Ok(Self { folder, clock, last })
    }

    /// The certificate as it is now, or was [`FRESH`] ago at most; the last good one while the files cannot be used.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let now = self.clock.mono();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(last.read) >= FRESH {
            last.read = now;
            let new = read(&self.folder).and_then(|files| {
                if files == last.files { Ok(None) } else { config_of(&files).map(|config| Some((files, config))) }
            });
            match new {
                Ok(None) => {}
                Ok(Some((files, config))) => {
                    tracing::info!(folder = %self.folder.display(), "a listener has a new certificate");
                    (last.files, last.config) = (files, Arc::new(config));
                }
                Err(error) => tracing::warn!(error, "failed to read a listener's certificate: the last one is used"),
            }
        }
        Arc::clone(&last.config)
    }
}

fn read(folder: &Path) -> Result<[Vec<u8>; 2], String> {
    Ok([read_file(&folder.join(FILE_CERTIFICATE))?, read_file(&folder.join(FILE_KEY))?])
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| format!("file {}: {error}", path.display());
    if std::fs::metadata(path).map_err(wrong)?.len() > MAX_FILE {
        return Err(format!("file {} is larger than {MAX_FILE} bytes", path.display()));
    }
    std::fs::read(path).map_err(wrong)
}

fn config_of([certificate, key]: &[Vec<u8>; 2]) -> Result<ServerConfig, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|error| format!("{FILE_CERTIFICATE} is no PEM: {error}"))?;
    if chain.is_empty() {
        return Err(format!("{FILE_CERTIFICATE} holds no certificate"));
    }
    // What the parser says of a key could hold a part of it.
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| format!("{FILE_KEY} holds no private key in PEM"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("{FILE_CERTIFICATE} and {FILE_KEY} do not fit: {error}"))?;
    Ok(config)
}

/// Serves `router` to `most` connections at once, until `stop`.
pub(super) async fn serve(
    name: &'static str,
    listener: TcpListener,
    tls: Tls,
    most: usize,
    router: Router,
    stop: CancellationToken,
) {
    let connection = |stream| {
        let (acceptor, router) = (TlsAcceptor::from(tls.current()), router.clone());
        async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                serve::answer(stream, router).await;
            }
        }
    };
    serve::serve(name, listener, most, stop, connection).await;
}
