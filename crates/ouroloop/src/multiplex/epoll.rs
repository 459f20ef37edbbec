//! `epoll(7)`, level-triggered, edge-triggered on request.
//!
//! A level costs a second look at the file, in the wait after the one that told of it. An edge saves
//! that, but does not tell that there is more than one read brings. After a read of a TCP socket that did not fill
//! its room the queue is empty, with two exceptions: a read stops before urgent data, and before the
//! end. Both are asked for with an edge (`EPOLLPRI`, `EPOLLRDHUP`) and told as
//! [`Event::beyond_bytes`]; what comes after the wait is an edge of its own.
//!
//! epoll registers the *open file* behind a descriptor and forgets it only when the last
//! descriptor of that file is closed. A program that closes a watched descriptor behind our back
//! therefore leaves one of two traces: the kernel forgot the registration (the number may since
//! name another file), or a duplicate keeps it alive under the old number. [`Epoll::set`] repairs
//! the first (`ENOENT` on a change becomes an addition, `EEXIST` on an addition a change); the
//! second is the caller's to avoid, as under asyncio.
//!
//! A forked child shares the instance with its parent: there it takes no change (see [`crate::fork`]).

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Nanos;
use crate::fork::{self, Process};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::multiplexer::{
    EVENTS_PER_WAIT, Event, Events, Interest, Multiplexer, Timeout, timespec,
};

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll {
    epoll: OwnedFd,
    process: Process,
}

impl Epoll {
    /// A new instance, closed on exec.
    ///
    /// # Errors
    /// The kernel's: `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        let process = Process::current()?;
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, process })
    }

    /// One wait, whose events follow those that are there.
    fn wait_for(&self, events: &mut Events, timeout: Timeout) -> Result<(), Errno> {
        events.kernel.try_reserve(EVENTS_PER_WAIT).map_err(|_| Errno::NOMEM)?;
        events.ready.try_reserve(events.most).map_err(|_| Errno::NOMEM)?;
        let room = &mut events.kernel.spare_capacity_mut()[..events.most];
        let told = match timeout {
            Timeout::After(nanos) => wait_precisely(&self.epoll, room, nanos)?,
            _ => epoll::wait(&self.epoll, room, timeout.timespec().as_ref())?.0,
        };
        events.ready.extend(told.iter().map(|event| {
            let (fd, flags) = (event.data.u64(), event.flags);
            Event {
                fd: u32::try_from(fd).unwrap_or(u32::MAX).cast_signed(),
                readable: flags.intersects(EventFlags::OUT.complement()),
                writable: flags.intersects(BEYOND_READING),
                beyond_bytes: flags.intersects(BEYOND_BYTES),
            }
        }));
        Ok(())
    }
}

/// What is told of a descriptor, unless it is about reading alone.
const BEYOND_READING: EventFlags = EDGE.union(EventFlags::IN).complement();
/// What is told of a descriptor, unless it is that bytes can be moved.
const BEYOND_BYTES: EventFlags = EventFlags::IN.union(EventFlags::OUT).complement();
const EDGE: EventFlags = EventFlags::ET.union(EventFlags::RDHUP).union(EventFlags::PRI);

fn flags(interest: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, interest.readable);
    flags.set(EventFlags::OUT, interest.writable);
    flags.set(EventFlags::ONESHOT, interest.once);
    flags.set(EDGE, interest.edge);
    flags
}

/// Waits to the nanosecond, or, where the kernel has no such call, to the millisecond.
fn wait_precisely<'events>(
    epoll: &OwnedFd,
    room: &'events mut [MaybeUninit<epoll::Event>],
    nanos: Nanos,
) -> Result<&'events mut [epoll::Event], Errno> {
    /// There is no `epoll_pwait2`: Linux before 5.11, or a sandbox.
    static REFUSED: AtomicBool = AtomicBool::new(false);
    if !REFUSED.load(Ordering::Relaxed) {
        let limit = timespec(nanos);
        // The kernel's own type: two 64-bit words where the C library's has 32-bit ones, too.
        let limit: [i64; 2] = [limit.tv_sec, limit.tv_nsec as _];
        let most = c_int::try_from(room.len()).unwrap_or(c_int::MAX);
        let mask = std::ptr::null::<libc::sigset_t>();
        // SAFETY: the kernel writes no more events than there is room for, and reads the time.
        let told = unsafe {
            let room = room.as_mut_ptr();
            libc::syscall(
                libc::SYS_epoll_pwait2,
                epoll.as_raw_fd(),
                room,
                most,
                &raw const limit,
                mask,
                0,
            )
        };
        if let Ok(told) = usize::try_from(told) {
            // SAFETY: so many events the kernel has written.
            return Ok(unsafe { &mut *(&raw mut room[..told] as *mut [epoll::Event]) });
        }
        match Errno::from_io_error(&io::Error::last_os_error()) {
            Some(Errno::NOSYS | Errno::PERM) => REFUSED.store(true, Ordering::Relaxed),
            error => return Err(error.unwrap_or(Errno::INVAL)),
        }
    }
    // Rounded up, so that a short wait does not turn into a busy loop.
    let rounded = timespec(nanos.div_ceil(1_000_000) * 1_000_000);
    Ok(epoll::wait(epoll, room, Some(&rounded))?.0)
}

impl Multiplexer for Epoll {
    fn set(&self, fd: RawFd, old: Interest, new: Interest) -> io::Result<()> {
        if !self.process.is_current() {
            // To watch nothing is what an instance that nobody waits on does anyway.
            return if new == Interest::NONE { Ok(()) } else { Err(fork::refusal()) };
        }
        // SAFETY: the number is only passed to `epoll_ctl`, which answers EBADF for a descriptor
        // that is not open; nothing dereferences or closes it.
        let source = unsafe { BorrowedFd::borrow_raw(fd) };
        let data = EventData::new_u64(u64::from(fd.cast_unsigned()));
        if new == Interest::NONE {
            return match epoll::delete(&self.epoll, source) {
                // Closed by its owner before it was unwatched: the kernel has forgotten it too.
                Ok(()) | Err(Errno::NOENT | Errno::BADF) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        let done = if old == Interest::NONE {
            match epoll::add(&self.epoll, source, data, flags(new)) {
                Err(Errno::EXIST) => epoll::modify(&self.epoll, source, data, flags(new)),
                done => done,
            }
        } else {
            match epoll::modify(&self.epoll, source, data, flags(new)) {
                Err(Errno::NOENT) => epoll::add(&self.epoll, source, data, flags(new)),
                done => done,
            }
        };
        Ok(done?)
    }

    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        if !self.process.is_current() {
            return Err(fork::refusal());
        }
        match self.wait_for(events, timeout) {
            Ok(()) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
