//! The system's UDP socket, asked no more often than there is something to do.
//!
//! quinn's own asks once more after it got all that was there, and is woken for each packet that left, since it
//! watches for room to send at all times. Beside a packet that wakes a sleeping relay these are two more system
//! calls. Here a receive that brought less than would have fitted ends the matter, and room is watched for only
//! while something did not fit.

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A socket of the system.
#[derive(Debug)]
pub(crate) struct Udp {
    io: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    room: Arc<Room>,
}

/// Whether there is room to send.
#[derive(Debug, Default)]
struct Room {
    /// Something did not fit since this began to watch.
    watch: Mutex<Option<Arc<Watch>>>,
}

/// Another descriptor of the same socket: one is watched once only. It is watched from the moment it is made,
/// so that it tells of room which was there already.
type Watch = AsyncFd<OwnedFd>;

/// One task that waits for room.
struct Waiter {
    room: Arc<Room>,
    waits: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl Udp {
    /// Takes over a socket.
    ///
    /// # Errors
    /// Those of the system, which may not know what QUIC needs of a socket.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Arc<Self>> {
        let state = UdpSocketState::new((&socket).into())?;
        socket.set_nonblocking(true)?;
        Ok(Arc::new(Self { io: watched(socket, Interest::READABLE)?, state, room: Arc::default() }))
    }
}

/// A descriptor that the runtime watches for one thing only.
#[expect(
    deprecated,
    reason = "what owns its descriptor keeps it open; the newer way asks for `unsafe` to say so"
)]
fn watched<T: AsRawFd + Into<OwnedFd>>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, interest)
}

impl AsyncUdpSocket for Udp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Waiter { room: self.room.clone(), waits: None })
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        let sent = self.state.send(self.io.get_ref().into(), transmit);
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // When it cannot be watched the packet is lost, as on any network.
                self.room.lacks(self.io.get_ref().as_fd()).map_or(Ok(()), |()| Err(error))
            }
            sent => sent,
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let fit = bufs.len().min(meta.len());
        loop {
            let mut ready = ready!(self.io.poll_read_ready(cx))?;
            match self.state.recv(self.io.get_ref().into(), bufs, meta) {
                Ok(count) => {
                    // The system found no more; it tells when there is.
                    if count < fit {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                // What the network said of a packet that went out. It is said once.
                Err(_) => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

impl Room {
    /// Something did not fit.
    fn lacks(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut watch = self.watch();
        if watch.is_none() {
            let descriptor = socket.try_clone_to_owned()?;
            *watch = Some(Arc::new(watched(descriptor, Interest::WRITABLE)?));
        }
        Ok(())
    }

    /// There is room again, if nothing else has been tried since.
    async fn comes(self: Arc<Self>, seen: Arc<Watch>) -> io::Result<()> {
        seen.writable().await?.retain_ready();
        let mut watch = self.watch();
        if watch.as_ref().is_some_and(|now| Arc::ptr_eq(now, &seen)) {
            *watch = None;
        }
        Ok(())
    }

    fn watch(&self) -> MutexGuard<'_, Option<Arc<Watch>>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UdpPoller for Waiter {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.waits.is_none() {
            let Some(watch) = this.room.watch().clone() else { return Poll::Ready(Ok(())) };
            this.waits = Some(Box::pin(this.room.clone().comes(watch)));
        }
        let came = this.waits.as_mut().map_or(Poll::Ready(Ok(())), |waits| waits.as_mut().poll(cx));
        if came.is_ready() {
            this.waits = None;
        }
        came
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("waits", &self.waits.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::os::unix::net::UnixDatagram;

    fn bound() -> Arc<Udp> {
        Udp::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")).expect("a socket")
    }

    fn send(from: &Udp, to: &Udp, contents: &[u8]) -> io::Result<()> {
        let destination = to.local_addr().expect("bound");
        from.try_send(&Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None })
    }

    /// What comes with one receive into so many buffers.
    async fn receive(socket: &Udp, buffers: usize) -> Vec<Vec<u8>> {
        let mut bytes = vec![[0; 2048]; buffers];
        let mut meta = vec![RecvMeta::default(); buffers];
        let count = poll_fn(|cx| {
            let mut slices: Vec<_> = bytes.iter_mut().map(|bytes| IoSliceMut::new(bytes)).collect();
            socket.poll_recv(cx, &mut slices, &mut meta)
        });
        let count = count.await.expect("receives");
        bytes.iter().zip(&meta).take(count).map(|(bytes, meta)| bytes[..meta.len].to_vec()).collect()
    }

    #[tokio::test]
    async fn all_that_comes_is_received_in_order_however_it_comes() {
        let (from, to) = (bound(), bound());
        let buffers = quinn::udp::BATCH_SIZE;
        let (mut next, mut wanted) = (0_u16, 0_u16);
        for burst in [1, 0, 2, buffers - 1, buffers, buffers + 1, 3 * buffers, 1, 1, 0, 1] {
            for _ in 0..burst {
                send(&from, &to, &next.to_be_bytes()).expect("room");
                next += 1;
            }
            while wanted < next {
                for packet in receive(&to, buffers).await {
                    assert_eq!(packet, wanted.to_be_bytes());
                    wanted += 1;
                }
            }
            assert!(receive(&to, buffers).now_or_never().is_none(), "nothing is left after {burst}");
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_packet_is_woken_by_it() {
        let (from, to) = (bound(), bound());
        for round in 0..100_u8 {
            let came = tokio::spawn({
                let to = to.clone();
                async move { receive(&to, 4).await }
            });
            tokio::task::yield_now().await;
            send(&from, &to, &[round]).expect("room");
            assert_eq!(came.await.expect("receives"), [[round]]);
        }
    }

    /// Sends until nothing fits any more; says so.
    fn fill(socket: &UnixDatagram, room: &Room) {
        while socket.send(&[7; 100]).is_ok() {}
        room.lacks(socket.as_fd()).expect("watched");
    }

    fn pair() -> (UnixDatagram, UnixDatagram) {
        let (from, to) = UnixDatagram::pair().expect("a pair");
        from.set_nonblocking(true).expect("set");
        to.set_nonblocking(true).expect("set");
        (from, to)
    }

    fn empty(socket: &UnixDatagram) {
        while socket.recv(&mut [0; 100]).is_ok() {}
    }

    fn waiter(room: &Arc<Room>) -> Pin<Box<Waiter>> {
        Box::pin(Waiter { room: room.clone(), waits: None })
    }

    async fn comes(waiter: &mut Pin<Box<Waiter>>) {
        poll_fn(|cx| waiter.as_mut().poll_writable(cx)).await.expect("watched");
    }

    #[tokio::test]
    async fn all_who_wait_for_room_hear_of_it_and_then_nobody_watches() {
        let ((from, to), room) = (pair(), Arc::<Room>::default());
        let mut waiters: Vec<_> = (0..5).map(|_| waiter(&room)).collect();
        comes(&mut waiters[0]).await;
        for _ in 0..3 {
            fill(&from, &room);
            for waiter in &mut waiters {
                assert!(comes(waiter).now_or_never().is_none(), "there is none");
            }
            empty(&to);
            for waiter in &mut waiters {
                comes(waiter).await;
            }
            assert!(room.watch().is_none());
        }
        fill(&from, &room);
        empty(&to);
        // Room that came before anybody waited.
        comes(&mut waiters[0]).await;
    }

    #[tokio::test]
    async fn who_hears_late_of_room_does_not_hide_that_it_is_gone_again() {
        let ((from, to), room) = (pair(), Arc::<Room>::default());
        let (mut one, mut late) = (waiter(&room), waiter(&room));
        fill(&from, &room);
        assert!(comes(&mut one).now_or_never().is_none() && comes(&mut late).now_or_never().is_none());
        empty(&to);
        comes(&mut one).await;
        fill(&from, &room);
        comes(&mut late).await;
        assert!(comes(&mut late).now_or_never().is_none() && comes(&mut one).now_or_never().is_none());
        empty(&to);
        comes(&mut one).await;
        comes(&mut late).await;
    }
}
