//! One connection without a device, for a login by password: frames one after another, no retries.

use super::link::{dial, read};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use std::time::Duration;
use subrosa_shared::protocol::auth::EXPORTER_LABEL;
use subrosa_shared::protocol::codec;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// The connection.
pub struct Visit {
    /// The TLS exporter's value on it.
    pub exporter: [u8; 32],
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    /// Its task carries the connection.
    _endpoint: Endpoint,
}

impl Visit {
    /// Connects; the relay's key must be the link's.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub async fn connect(relay: &RelayLink) -> Result<Self, String> {
        let (endpoint, connection) = dial(relay).await?;
        let mut exporter = [0; 32];
        connection
            .export_keying_material(&mut exporter, EXPORTER_LABEL, &[])
            .map_err(|_| "TLS gave no login value; try again".to_string())?;
        let (send, receive) = connection.open_bi().await.map_err(lost)?;
        Ok(Self { exporter, connection, send, receive, _endpoint: endpoint })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// A sentence, when the connection is gone.
    pub async fn send(&mut self, frame: &ToRelay) -> Result<(), String> {
        let bytes = codec::encode(frame).map_err(|error| error.to_string())?;
        self.send.write_all(&bytes).await.map_err(lost)
    }

    /// The next frame.
    ///
    /// # Errors
    /// A sentence, when the connection is gone or nothing comes.
    pub async fn receive(&mut self) -> Result<ToDevice, String> {
        match tokio::time::timeout(ANSWER, self.whenever()).await {
            Ok(received) => received,
            Err(_) => Err("the relay does not answer; try again".into()),
        }
    }

    /// The next frame, however long it takes.
    ///
    /// # Errors
    /// A sentence, when the connection is gone.
    pub async fn whenever(&mut self) -> Result<ToDevice, String> {
        match read(&mut self.receive).await {
            Ok(frame) => Ok(frame),
            Err(Some(error)) => Err(format!("the relay sent something that is no frame ({error})")),
            Err(None) => Err("the relay closed the connection; try again".into()),
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.connection.close(0u32.into(), b"bye");
    }
}

fn lost(error: impl std::fmt::Display) -> String {
    format!("the connection to the relay broke: {error}; try again")
}
