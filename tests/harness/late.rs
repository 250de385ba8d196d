//! Deliveries that come late.

use crate::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use subrosa_shared::protocol::envelope::Delivery;
use subrosa_shared::protocol::frame::ToDevice;

/// What comes to somebody and is such a delivery waits until [`Late::comes`], and then for one more of them.
#[must_use]
pub struct Late(Arc<AtomicBool>);

impl Late {
    /// From now on, in the order in which it was sent.
    pub fn new(world: &mut World, who: &'static str, such: impl Fn(&Delivery) -> bool + 'static) -> Self {
        Self::arranged(world, who, such, |_| {})
    }

    /// The same in another order.
    pub fn arranged(
        world: &mut World,
        who: &'static str,
        such: impl Fn(&Delivery) -> bool + 'static,
        arrange: fn(&mut [Delivery]),
    ) -> Self {
        let late = Arc::new(AtomicBool::new(true));
        let (waits, mut held) = (late.clone(), Vec::new());
        world.liar = Some(Box::new(move |to, frame| match frame {
            ToDevice::Deliver(delivery) if to == who && such(&delivery) => {
                held.push(delivery);
                if waits.load(Ordering::Relaxed) {
                    return Vec::new();
                }
                arrange(&mut held);
                held.drain(..).map(ToDevice::Deliver).collect()
            }
            frame => vec![frame],
        }));
        Self(late)
    }

    /// It waits no longer.
    pub fn comes(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
