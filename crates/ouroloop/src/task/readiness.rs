//! Waiting for a descriptor, by [`watch`](super::watch)'s rules.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::task::entry::Entry;
use crate::task::runtime::Runtime;
use crate::task::watch::{Direction, Reported, Side, State, Waiter, Watch};

impl Runtime {
    /// The last look has found a watched descriptor ready.
    pub(super) fn report(&self, key: u64, side: Side) {
        let mut due = {
            let mut watches = self.watches.borrow_mut();
            let Some(watch) = watches.get_mut(key) else { return };
            let fd = watch.fd;
            let direction = watch.side(side);
            match direction.reported(self.looks.get()) {
                Reported::Ignored => return,
                Reported::UselessWatch => return self.unwatch(fd, side),
                Reported::Due(due) => {
                    if side == Side::Write && direction.waiters.is_empty() {
                        direction.state = State::Unwatched;
                        self.unwatch(fd, side);
                    }
                    due
                }
            }
        };
        for waiter in due.drain(..) {
            waiter.waker.wake();
        }
        if let Some(watch) = self.watches.borrow_mut().get_mut(key) {
            watch.side(side).keep_room(due);
        }
    }

    /// Adds a waiter; the first one has the descriptor watched.
    fn wait(&self, key: u64, side: Side, waker: Waker) -> io::Result<u64> {
        let mut watches = self.watches.borrow_mut();
        let Some(watch) = watches.get_mut(key).filter(|_| !self.has_ended()) else {
            return Err(io::Error::other("the loop that watched this socket has ended"));
        };
        let (fd, waiter) = (watch.fd, watch.next_waiter);
        let direction = watch.side(side);
        if direction.state == State::Unwatched {
            match side {
                Side::Read => self.turns.borrow_mut().set_reader(fd, Entry::Readable(key))?,
                Side::Write => self.turns.borrow_mut().set_writer(fd, Entry::Writable(key))?,
            };
        }
        direction.state = State::Watched;
        direction.waiters.push(Waiter { key: waiter, since: self.looks.get(), waker });
        watch.next_waiter += 1;
        Ok(waiter)
    }

    /// Exchanges a waiter's waker; `false` when it has been woken already.
    fn wait_on(&self, key: u64, side: Side, waiter: u64, waker: &Waker) -> bool {
        let waker = waker.clone();
        let replaced = {
            let mut watches = self.watches.borrow_mut();
            let direction = watches.get_mut(key).map(|watch| watch.side(side));
            direction.and_then(|direction| {
                let place = direction.place(waiter)?;
                Some(std::mem::replace(&mut direction.waiters[place].waker, waker))
            })
        };
        replaced.is_some()
    }

    /// Takes a waiter back; the last one ends the watch.
    fn wait_no_more(&self, key: u64, side: Side, waiter: u64) {
        let removed = {
            let mut watches = self.watches.borrow_mut();
            let Some(watch) = watches.get_mut(key) else { return };
            let fd = watch.fd;
            let direction = watch.side(side);
            let Some(place) = direction.place(waiter) else { return };
            let removed = direction.waiters.remove(place);
            if direction.waiters.is_empty() {
                direction.state = State::Unwatched;
                self.unwatch(fd, side);
            }
            removed
        };
        drop(removed);
    }

    fn unwatch(&self, fd: RawFd, side: Side) {
        let mut turns = self.turns.borrow_mut();
        match side {
            Side::Read => turns.clear_reader(fd),
            Side::Write => turns.clear_writer(fd),
        };
    }
}

/// A socket's place among the loop's watches. It is dropped before the socket's descriptor is
/// closed.
pub(super) struct Registration {
    runtime: Rc<Runtime>,
    key: u64,
}

impl Registration {
    pub(super) fn new(runtime: Rc<Runtime>, fd: BorrowedFd<'_>) -> Self {
        let (read, write) = (Direction::new(), Direction::new());
        let watch = Watch { fd: fd.as_raw_fd(), next_waiter: 0, read, write };
        let key = runtime.watches.borrow_mut().insert(watch);
        Self { runtime, key }
    }

    pub(super) fn runtime(&self) -> &Rc<Runtime> {
        &self.runtime
    }

    /// Completes once the descriptor has been reported ready, or with the kernel's refusal to
    /// watch it. A report may be out of date by then: try, and wait again.
    pub(super) fn ready(&self, side: Side) -> Ready<'_> {
        Ready { registration: self, side, waiter: None }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let watch = self.runtime.watches.borrow_mut().remove(self.key);
        let Some(watch) = watch else { return };
        for (side, direction) in [(Side::Read, &watch.read), (Side::Write, &watch.write)] {
            if direction.state != State::Unwatched {
                self.runtime.unwatch(watch.fd, side);
            }
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The future of [`Registration::ready`].
#[must_use = "a future does nothing unless it is awaited"]
pub(super) struct Ready<'registration> {
    registration: &'registration Registration,
    side: Side,
    waiter: Option<u64>,
}

impl Future for Ready<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Registration { runtime, key } = self.registration;
        if let Some(waiter) = self.waiter {
            if runtime.wait_on(*key, self.side, waiter, context.waker()) {
                return Poll::Pending;
            }
            self.waiter = None;
            return Poll::Ready(Ok(()));
        }
        match runtime.wait(*key, self.side, context.waker().clone()) {
            Ok(waiter) => {
                self.waiter = Some(waiter);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.registration.runtime.wait_no_more(self.registration.key, self.side, waiter);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::task::{TcpListener, TcpStream, run, sleep, spawn};

    fn watched(stream: &TcpStream) -> (bool, bool) {
        let fd = stream.number();
        let runtime = Runtime::current("run");
        let turns = runtime.turns.borrow();
        let (reader, writer) = turns.watched(fd);
        (reader.is_some(), writer.is_some())
    }

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0)).expect("a listener");
        let address = listener.local_addr().expect("a bound address");
        let near = TcpStream::connect(address).await.expect("a connection");
        (near, listener.accept().await.expect("a connection").0)
    }

    #[test]
    fn a_watch_outlasts_a_read_but_not_two_reports_in_vain() {
        run(async {
            let (near, far) = connected().await;
            let writing = spawn(async move {
                sleep(Duration::ZERO).await;
                far.write_all(b"ab").await.expect("room");
                far
            });
            near.read(&mut [0]).await.expect("a byte");
            assert_eq!(watched(&near), (true, false));
            // Each zero sleep has the loop look; a byte is left, and nobody waits for it.
            for _ in 0..4 {
                sleep(Duration::ZERO).await;
            }
            assert_eq!(watched(&near), (false, false));
            assert_eq!(near.read(&mut [0; 8]).await.expect("the other byte"), 1);
            drop(writing.await);
        });
    }

    #[test]
    fn a_cancelled_wait_ends_its_watch() {
        run(async {
            let (near, _far) = connected().await;
            let near = Rc::new(near);
            let reader = Rc::clone(&near);
            let reading = spawn(async move { reader.read(&mut [0]).await });
            sleep(Duration::ZERO).await;
            assert_eq!(watched(&near), (true, false));
            reading.abort();
            drop(reading.await);
            assert_eq!(watched(&near), (false, false));
        });
    }
}
