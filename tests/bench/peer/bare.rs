//! Lets connections in and gives each datagram of the first one to all others.

use quinn::Connection;
use std::sync::{Arc, PoisonError, RwLock};
use subrosa_relay::listener::widen;

pub async fn run() -> anyhow::Result<()> {
    let endpoint = crate::listen()?;
    let others: Arc<RwLock<Vec<Connection>>> = Arc::default();
    let mut first = true;
    while let Some(incoming) = endpoint.accept().await {
        let (others, loops) = (others.clone(), std::mem::take(&mut first));
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            widen(&connection);
            if !loops {
                others.write().unwrap_or_else(PoisonError::into_inner).push(connection);
                return;
            }
            while let Ok(datagram) = connection.read_datagram().await {
                for other in others.read().unwrap_or_else(PoisonError::into_inner).iter() {
                    // What does not fit is lost, as on any network.
                    let _ = other.send_datagram(datagram.clone());
                }
            }
        });
    }
    Ok(())
}
