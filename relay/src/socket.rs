//! The relay's UDP socket, which hands quinn fewer packets at once when it is crowded.
//!
//! Each connection keeps a buffer of as many packets as go out in one system call: 14 KiB for ten. For the
//! first connections, and for the transfers of files among them, that is well spent; ten thousand that are
//! idle would keep 140 MB for nothing.

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Connections from which on buffers are small.
const CROWD: usize = 1_000;

/// Packets of one system call from then on. The handshake's largest flight goes out in two.
const FEW: usize = 3;

/// A socket of the system that knows how many share it.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    connections: Arc<AtomicUsize>,
}

impl Socket {
    /// Around a socket; somebody else keeps count of the connections.
    pub(crate) fn new(inner: Arc<dyn AsyncUdpSocket>, connections: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { inner, connections })
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        let most = self.inner.max_transmit_segments();
        if self.connections.load(Ordering::Relaxed) < CROWD { most } else { most.min(FEW) }
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quinn::Runtime;
    use std::net::{Ipv4Addr, UdpSocket};

    #[tokio::test]
    async fn a_crowd_gets_small_buffers() {
        let bound = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let inner = quinn::TokioRuntime.wrap_udp_socket(bound).expect("a socket");
        let (most, connections) = (inner.max_transmit_segments(), Arc::new(AtomicUsize::new(CROWD - 1)));
        let socket = Socket::new(inner, connections.clone());
        assert_eq!(socket.max_transmit_segments(), most);
        connections.store(CROWD, Ordering::Relaxed);
        assert_eq!(socket.max_transmit_segments(), most.min(FEW));
    }
}
