//! Datagrams that wait to be sent, each with its destination.
//!
//! Pure data: no descriptor, no system call.
//!
//! 1. A datagram is whole or gone: nothing is ever sent in part.
//! 2. Its weight is its length and a constant, so that even empty ones cannot pile up unseen;
//!    the queue's weight is the sum, at all times.
//! 3. A payload answers the same bytes each time it is asked.

use std::collections::{TryReserveError, VecDeque};

use rustix::net::SocketAddrAny;

/// A queue of this capacity is kept once it has drained.
const KEPT_CAPACITY: usize = 64;

/// Where a datagram goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination<A> {
    /// To the peer that the socket is connected to.
    Peer,
    /// To an address.
    Address(SocketAddrAny),
    /// To a place that only the owner of the socket knows how to reach.
    Foreign(A),
}

/// A datagram that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing<B, A> {
    /// Its content.
    pub data: B,
    /// Where it goes.
    pub to: Destination<A>,
}

/// Datagrams in the order in which they are to be sent.
///
/// ```
/// use std::convert::Infallible;
/// use ouroloop::net::datagram::{DatagramQueue, Destination, Outgoing};
///
/// let mut queue: DatagramQueue<&str, Infallible> = DatagramQueue::new(8);
/// queue.push(Outgoing { data: "hello", to: Destination::Peer });
/// queue.push(Outgoing { data: "", to: Destination::Peer });
/// assert_eq!((queue.len(), queue.weight()), (2, 21));
/// assert_eq!(queue.pop().map(|datagram| datagram.data), Some("hello"));
/// ```
#[derive(Debug)]
pub struct DatagramQueue<B, A> {
    datagrams: VecDeque<Outgoing<B, A>>,
    weight: usize,
    header: usize,
}

impl<B: AsRef<[u8]>, A> DatagramQueue<B, A> {
    /// An empty queue, in which each datagram weighs `header` bytes more than it has.
    #[must_use]
    pub const fn new(header: usize) -> Self {
        Self { datagrams: VecDeque::new(), weight: 0, header }
    }

    /// Makes sure that there is room for one more datagram.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    #[inline]
    pub fn reserve(&mut self) -> Result<(), TryReserveError> {
        self.datagrams.try_reserve(1)
    }

    /// Adds a datagram behind all others.
    #[inline]
    pub fn push(&mut self, datagram: Outgoing<B, A>) {
        self.weight += self.weight_of(&datagram);
        self.datagrams.push_back(datagram);
    }

    /// Puts a datagram before all others, where it was taken from.
    pub fn put_back(&mut self, datagram: Outgoing<B, A>) {
        self.weight += self.weight_of(&datagram);
        self.datagrams.push_front(datagram);
    }

    /// Takes out the first.
    #[inline]
    pub fn pop(&mut self) -> Option<Outgoing<B, A>> {
        let first = self.datagrams.pop_front()?;
        self.weight -= self.weight_of(&first);
        if self.datagrams.is_empty() && self.datagrams.capacity() > KEPT_CAPACITY {
            self.datagrams = VecDeque::new();
        }
        Some(first)
    }

    /// The one that was added last.
    #[inline]
    #[must_use]
    pub fn last(&self) -> Option<&Outgoing<B, A>> {
        self.datagrams.back()
    }

    /// What all datagrams weigh.
    #[inline]
    #[must_use]
    pub const fn weight(&self) -> usize {
        self.weight
    }

    /// How many wait.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether none waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Those that wait, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Outgoing<B, A>> {
        self.datagrams.iter()
    }

    /// Empties the queue and hands its datagrams to the caller, who decides when they are dropped.
    pub fn take_all(&mut self) -> VecDeque<Outgoing<B, A>> {
        self.weight = 0;
        std::mem::take(&mut self.datagrams)
    }

    fn weight_of(&self, datagram: &Outgoing<B, A>) -> usize {
        datagram.data.as_ref().len() + self.header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    type Queue = DatagramQueue<Vec<u8>, u8>;

    #[test]
    fn a_burst_is_given_back() {
        let mut queue = Queue::new(8);
        for _ in 0..10_000 {
            queue.push(Outgoing { data: Vec::new(), to: Destination::Peer });
        }
        assert_eq!(queue.weight(), 80_000);
        while queue.pop().is_some() {}
        assert!(queue.datagrams.capacity() <= KEPT_CAPACITY);
        assert_eq!(queue.weight(), 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(Outgoing<Vec<u8>, u8>),
        Pop,
        PutBack(Outgoing<Vec<u8>, u8>),
        TakeAll,
    }

    fn destination() -> impl Strategy<Value = Destination<u8>> {
        prop_oneof![
            Just(Destination::Peer),
            any::<u16>().prop_map(|port| Destination::Address(
                SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()
            )),
            any::<u8>().prop_map(Destination::Foreign),
        ]
    }

    fn outgoing() -> impl Strategy<Value = Outgoing<Vec<u8>, u8>> {
        let data = proptest::collection::vec(any::<u8>(), 0..20);
        (data, destination()).prop_map(|(data, to)| Outgoing { data, to })
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => outgoing().prop_map(Step::Push),
            1 => outgoing().prop_map(Step::PutBack),
            5 => Just(Step::Pop),
            1 => Just(Step::TakeAll),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_vector(
            header in 0_usize..16,
            steps in proptest::collection::vec(step(), 0..100),
        ) {
            let mut queue = Queue::new(header);
            let mut model: Vec<Outgoing<Vec<u8>, u8>> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(datagram) => {
                        model.push(datagram.clone());
                        queue.push(datagram);
                    }
                    Step::Pop => {
                        let first = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(queue.pop(), first);
                    }
                    Step::PutBack(datagram) => {
                        model.insert(0, datagram.clone());
                        queue.put_back(datagram);
                    }
                    Step::TakeAll => {
                        prop_assert_eq!(Vec::from(queue.take_all()), std::mem::take(&mut model));
                    }
                }
                let weight: usize = model.iter().map(|datagram| datagram.data.len() + header).sum();
                prop_assert_eq!(queue.weight(), weight);
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
                prop_assert!(queue.iter().eq(model.iter()));
            }
        }
    }
}
