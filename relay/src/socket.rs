//! The relay's UDP socket: its porch stands before quinn, and when it is crowded quinn gets fewer packets
//! at once.
//!
//! Each connection keeps a buffer of as many packets as go out in one system call: 14 KiB for ten. For the
//! first connections, and for the transfers of files among them, that is well spent; ten thousand that are
//! idle would keep 140 MB for nothing.

use crate::metrics::{Count, Metrics};
use crate::porch::{Fate, Porch};
use crate::server::now;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use rand_core::OsRng;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;
use subrosa_shared::time::Now;

/// Connections from which on buffers are small.
const CROWD: usize = 1_000;

/// Packets of one system call from then on. The handshake's largest flight goes out in two.
const FEW: usize = 2;

/// A socket of the system that knows how many share it, and whom it lets in.
pub(crate) struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    connections: Arc<AtomicUsize>,
    /// Only the endpoint's own task receives, so nobody waits for it.
    porch: Mutex<Porch>,
    metrics: Arc<Metrics>,
    started: Instant,
}

impl Socket {
    /// Around a socket; somebody else keeps count of the connections.
    pub(crate) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        connections: Arc<AtomicUsize>,
        porch: Porch,
        metrics: Arc<Metrics>,
        started: Instant,
    ) -> Arc<Self> {
        Arc::new(Self { inner, connections, porch: Mutex::new(porch), metrics, started })
    }

    /// Leaves in the buffer what may pass; says how many bytes that is.
    fn sift(&self, porch: &mut Porch, bytes: &mut [u8], meta: &RecvMeta, now: Now) -> usize {
        // The system hands over several datagrams of one sender as one, all as long as the first but the last.
        let stride = meta.stride.max(1);
        let mut passed = 0;
        for at in (0..bytes.len()).step_by(stride) {
            let end = (at + stride).min(bytes.len());
            match porch.fate(&bytes[at..end], meta.addr, now, &mut OsRng) {
                Fate::Pass => {
                    bytes.copy_within(at..end, passed);
                    passed += end - at;
                }
                Fate::Drop => self.metrics.count(Count::Dropped),
                Fate::Retry(retry) => {
                    self.metrics.count(Count::Retries);
                    let transmit = Transmit {
                        destination: meta.addr,
                        ecn: None,
                        contents: &retry,
                        segment_size: None,
                        src_ip: meta.dst_ip,
                    };
                    // Lost when the socket is full; who wants to come in asks again.
                    let _ = self.inner.try_send(&transmit);
                }
            }
        }
        passed
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("inner", &self.inner).finish_non_exhaustive()
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
        let count = ready!(self.inner.poll_recv(cx, bufs, meta))?;
        let mut porch = self.porch.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now(self.started);
        for (meta, bytes) in meta.iter_mut().zip(bufs).take(count) {
            // Nothing is left of one that is dropped, and quinn passes over it.
            meta.len = self.sift(&mut porch, &mut bytes[..meta.len], meta, now);
        }
        Poll::Ready(Ok(count))
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
    use crate::config::Link;
    use crate::listener::{Key, server_config};
    use quinn::Runtime;
    use std::net::{Ipv4Addr, UdpSocket};

    fn around(bound: UdpSocket, connections: Arc<AtomicUsize>) -> Arc<Socket> {
        let inner = quinn::TokioRuntime.wrap_udp_socket(bound).expect("a socket");
        let (key, link, started) = (Key::new().expect("made"), Link::default(), Instant::now());
        let crypto = server_config(&key, &link).expect("usable").crypto;
        let porch = Porch::new(key.tokens(), crypto, &link, now(started).mono);
        Socket::new(inner, connections, porch, Arc::default(), started)
    }

    #[tokio::test]
    async fn a_crowd_gets_small_buffers() {
        let bound = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let connections = Arc::new(AtomicUsize::new(CROWD - 1));
        let socket = around(bound, connections.clone());
        let most = socket.max_transmit_segments();
        connections.store(CROWD, Ordering::Relaxed);
        assert_eq!(socket.max_transmit_segments(), most.min(FEW));
    }

    #[tokio::test]
    async fn what_is_dropped_leaves_no_gap_in_what_came_together() {
        let bound = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let socket = around(bound, Arc::default());
        let mut porch = socket.porch.lock().expect("nobody panicked");
        let meta = RecvMeta {
            addr: SocketAddr::from(([192, 0, 2, 1], 7)),
            len: 50,
            stride: 20,
            ecn: None,
            dst_ip: None,
        };
        let together = |firsts: [u8; 3]| {
            let [a, b, c] = firsts.map(|first| [first; 20]);
            [&a[..], &b[..], &c[..10]].concat()
        };
        let (pass, drop) = (0x41, 0xF1);
        for (came, left) in [
            ([pass, pass + 1, pass + 2], 50),
            ([drop, pass + 1, pass + 2], 30),
            ([pass, drop, pass + 2], 30),
            ([pass, pass + 1, drop], 40),
            ([drop, drop, drop], 0),
        ] {
            let mut bytes = together(came);
            let passed = socket.sift(&mut porch, &mut bytes, &meta, now(socket.started));
            let wanted: Vec<u8> = together(came).into_iter().filter(|byte| *byte != drop).collect();
            assert_eq!((passed, &bytes[..passed]), (left, wanted.as_slice()));
        }
    }
}
