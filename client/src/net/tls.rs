//! TLS for the relay: its key is pinned by fingerprint, no authority is asked.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use subrosa_shared::protocol::{ACKED_AT_ONCE, ALPN};

/// A connection that says nothing for this long is gone.
const IDLE: Duration = Duration::from_secs(30);
/// How often an idle connection says something; also keeps a NAT's mapping open.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes of pictures that may wait for the network: more is only delay.
const DATAGRAM_BUFFER: usize = 32 * 1024;

/// Whether a relay showed another key than the pinned one.
#[derive(Clone, Default, Debug)]
pub struct Mismatch(Arc<AtomicBool>);

impl Mismatch {
    /// True after a handshake in which the key was another.
    pub fn seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The client's side of TLS 1.3 towards a relay with that fingerprint.
///
/// # Errors
/// When TLS 1.3 is not to be had from the provider, which its build settles.
pub fn pinned(fingerprint: [u8; 32]) -> Result<(rustls::ClientConfig, Mismatch), Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mismatch = Mismatch::default();
    let pinned = Pinned { fingerprint, provider: provider.clone(), mismatch: mismatch.clone() };
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    Ok((tls, mismatch))
}

/// QUIC settings for a relay with that fingerprint.
///
/// # Errors
/// When TLS 1.3 is not to be had from the provider, which its build settles.
pub fn config(fingerprint: [u8; 32]) -> Result<(quinn::ClientConfig, Mismatch), Error> {
    let (tls, mismatch) = pinned(fingerprint)?;
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls)
        .map_err(|_| Error::General("no TLS 1.3 cipher suite for QUIC".into()))?;
    let mut transport = quinn::TransportConfig::default();
    let mut acks = quinn::AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(ACKED_AT_ONCE.into());
    transport
        .ack_frequency_config(Some(acks))
        .max_idle_timeout(Some(IDLE.try_into().expect("30 s fits QUIC's 62-bit milliseconds")))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .congestion_controller_factory(Arc::new(quinn::congestion::BbrConfig::default()));
    let mut config = quinn::ClientConfig::new(Arc::new(quic));
    config.transport_config(Arc::new(transport));
    Ok((config, mismatch))
}

/// Accepts exactly one certificate.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
    mismatch: Mismatch,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Public values: there is nothing for a timing to tell.
        if Sha256::digest(end_entity.as_ref()).as_slice() == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            self.mismatch.0.store(true, Ordering::Relaxed);
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
