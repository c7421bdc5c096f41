//! TLS with the public roots that are part of this binary; fails closed.
//!
//! Nothing is kept from one connection to the next, and no certificate is asked of
//! us. Whether a certificate was revoked is not asked.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{SecureRandom, ring};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::socket::Socket;
use super::target::Host;

/// A client's side, set up before the walls.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
}

/// An encrypted connection.
pub(super) type Encrypted = StreamOwned<ClientConnection, Socket>;

impl Tls {
    /// With the roots of Mozilla's programme.
    pub(super) fn public() -> Result<Self, rustls::Error> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        Self::with(RootCertStore {
            roots: roots.collect(),
        })
    }

    /// With these roots.
    pub(super) fn with(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The provider's random numbers.
    pub(super) fn random(&self) -> &'static dyn SecureRandom {
        self.config.crypto_provider().secure_random
    }

    /// Shakes hands over a connection; the certificate must be that of `host`.
    pub(super) fn handshake(&self, host: &Host, socket: Socket) -> io::Result<Encrypted> {
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
            Host::Address(address) => ServerName::from(*address),
        };
        let client = ClientConnection::new(Arc::clone(&self.config), name);
        let mut stream = StreamOwned::new(client.map_err(io::Error::other)?, socket);
        while stream.conn.is_handshaking() {
            let (read, _) = stream.conn.complete_io(&mut stream.sock)?;
            if read == 0 && stream.conn.is_handshaking() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(stream)
    }
}
