//! A kqueue and its descriptor.
//!
//! A forked child does not inherit the queue: the kernel has closed its descriptor there, and the
//! number may be another file's by the time that the child drops its copy of the loop. So a child
//! does nothing with it at all, closing included (see [`crate::fork`]).

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{OwnedFd, RawFd};
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::event::kqueue::{Event as Record, EventFilter, EventFlags, kevent_timespec, kqueue};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use super::changes::{Change, Direction, MOST_CHANGES, changes};
use crate::fork::{self, Process};
use crate::multiplex::multiplexer::{Event, Events, Interest, Multiplexer, Timeout};

/// Readiness of at most this many filters is collected by one wait.
const RECORDS_PER_WAIT: usize = 1024;

/// A kqueue.
pub struct Kqueue {
    queue: ManuallyDrop<OwnedFd>,
    process: Process,
    /// The room for a wait's answer.
    records: Mutex<Vec<Record>>,
}

// SAFETY: a record could carry a pointer of its owner's; ours carry none.
unsafe impl Send for Kqueue {}
// SAFETY: as above; the records are behind a lock.
unsafe impl Sync for Kqueue {}

impl Kqueue {
    /// A new queue, closed on exec.
    ///
    /// # Errors
    /// The kernel's: `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        let process = Process::current()?;
        let queue = kqueue()?;
        fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        Ok(Self { queue: ManuallyDrop::new(queue), process, records: Mutex::default() })
    }

    fn change(&self, fd: RawFd, old: Interest, new: Interest) -> Result<(), Errno> {
        let list: Vec<Change> = changes(old, new).collect();
        let records: Vec<Record> = list.iter().map(|&change| record(fd, change)).collect();
        let mut receipts: Vec<Record> = Vec::with_capacity(MOST_CHANGES);
        // SAFETY: a filter of a descriptor that is not open is refused with EBADF, and deleted
        // when its descriptor is closed; nothing dereferences or closes the number.
        let answer = unsafe {
            kevent_timespec(
                &*self.queue,
                &records,
                spare_capacity(&mut receipts),
                Timeout::Zero.timespec().as_ref(),
            )
        };
        match answer {
            // Interrupted after the changes were made.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        list.iter().zip(&receipts).try_for_each(|(change, receipt)| {
            let number = i32::try_from(receipt.data()).unwrap_or(libc::EINVAL);
            match (number, change) {
                // What is to be deleted may be gone with its event or with its descriptor.
                (0, _) | (libc::ENOENT | libc::EBADF, Change::Delete(_)) => Ok(()),
                (number, _) => Err(Errno::from_raw_os_error(number)),
            }
        })
    }
}

/// Each change is answered by a receipt, so that one that is refused does not end the list.
fn record(fd: RawFd, change: Change) -> Record {
    let (direction, flags) = match change {
        Change::Add { direction, once: true } => (direction, EventFlags::ADD | EventFlags::ONESHOT),
        Change::Add { direction, once: false } => (direction, EventFlags::ADD),
        Change::Delete(direction) => (direction, EventFlags::DELETE),
    };
    let filter = match direction {
        Direction::Read => EventFilter::Read(fd),
        Direction::Write => EventFilter::Write(fd),
    };
    Record::new(filter, flags | EventFlags::RECEIPT, null_mut())
}

fn event(record: &Record) -> Option<Event> {
    // An error ends waiting in both directions, as a hang-up does for its own.
    let failed = record.flags().contains(EventFlags::ERROR);
    match record.filter() {
        EventFilter::Read(fd) => {
            Some(Event { fd, readable: true, writable: failed, beyond_bytes: false })
        }
        EventFilter::Write(fd) => {
            Some(Event { fd, readable: failed, writable: true, beyond_bytes: false })
        }
        _ => None,
    }
}

impl Multiplexer for Kqueue {
    fn set(&self, fd: RawFd, old: Interest, new: Interest) -> io::Result<()> {
        if !self.process.is_current() {
            return if new == Interest::NONE { Ok(()) } else { Err(fork::refusal()) };
        }
        self.change(fd, old, new).map_err(|error| {
            // One direction may have been accepted before the other was refused.
            let _ = self.change(fd, new, old);
            error.into()
        })
    }

    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        if !self.process.is_current() {
            return Err(fork::refusal());
        }
        // A panic leaves the room as it is at any other time: with records that nobody reads.
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.clear();
        records.reserve(RECORDS_PER_WAIT);
        // SAFETY: as for changes.
        let answer = unsafe {
            kevent_timespec(
                &*self.queue,
                &[],
                spare_capacity(&mut records),
                timeout.timespec().as_ref(),
            )
        };
        match answer {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = &mut events.ready;
        ready.extend(records.iter().filter_map(event));
        // The two filters of a descriptor report by themselves. Told one after the other, the first
        // report would make the loop ask for the second again when both are watched once.
        ready.sort_by_key(|event| event.fd);
        ready.dedup_by(|later, kept| {
            let same = later.fd == kept.fd;
            if same {
                kept.readable |= later.readable;
                kept.writable |= later.writable;
            }
            same
        });
        Ok(())
    }
}

impl fmt::Debug for Kqueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, process, .. } = self;
        f.debug_struct("Kqueue").field("queue", queue).field("process", process).finish()
    }
}

impl Drop for Kqueue {
    fn drop(&mut self) {
        if self.process.is_current() {
            // SAFETY: this is the only place that drops it, and nothing uses it afterwards.
            unsafe { ManuallyDrop::drop(&mut self.queue) };
        }
    }
}
