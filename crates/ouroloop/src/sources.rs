//! Which callback wants which descriptor.
//!
//! A callback is watched *for good*, until it is cleared, or *once*: then it leaves the table when
//! its descriptor is found ready. A descriptor of which every callback is watched once is
//! registered for one event ([`Interest::once`]), after which the mechanism keeps silent about it.
//! A reader can also be watched *by edges* ([`Interest::edge`]): for good, but by somebody who takes all that
//! is there or says that it did not ([`Sources::level_reader`]):
//!
//! | watched | told to the mechanism | after an event |
//! | --- | --- | --- |
//! | nobody | [`Interest::NONE`], or [`Interest::TOLD`] after a single event | – |
//! | once only | for one event, anew each time | `TOLD`; who was not meant is told to it again |
//! | for good, perhaps once too | level-triggered | the same, without who was watched once |
//! | a reader by edges, alone | edge-triggered | the same; level-triggered when more than bytes came |
//!
//! A descriptor that is waited for again and again thus costs one system call a wait instead of
//! two. What stays behind in between can do no harm: a silent registration wakes nobody, even when
//! a duplicate of a closed descriptor keeps its file open (see [`crate::multiplex::Epoll`]), and
//! interest of that kind is always set by a system call, so that one for another file of the same
//! number is never taken for it.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::callback::{Callback, Refused, Watched};
use crate::multiplex::{Event, Interest, Multiplexer};
use crate::ready::ReadyQueue;

/// A callback of a descriptor.
#[derive(Debug)]
struct Watch<C> {
    callback: C,
    manner: Manner,
}

/// How long a callback is watched, and how often told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Lasting,
    Once,
    Edge,
}

/// A descriptor's callbacks.
#[derive(Debug)]
pub(crate) struct Source<C> {
    reader: Option<Watch<C>>,
    writer: Option<Watch<C>>,
    /// What the mechanism has been told.
    told: Interest,
}

impl<C> Source<C> {
    const EMPTY: Self = Self { reader: None, writer: None, told: Interest::NONE };

    pub(crate) fn into_callbacks(self) -> impl Iterator<Item = C> {
        self.reader.into_iter().chain(self.writer).map(|watch| watch.callback)
    }

    /// What the mechanism ought to know.
    fn interest(&self) -> Interest {
        interest(
            self.reader.as_ref().map(|watch| watch.manner),
            self.writer.as_ref().map(|watch| watch.manner),
        )
    }

    /// What it ought to know with one more watch, or another one, in a direction.
    fn with(&self, direction: Direction, manner: Manner) -> Interest {
        let known = |watch: &Option<Watch<C>>| watch.as_ref().map(|watch| watch.manner);
        match direction {
            Direction::Read => interest(Some(manner), known(&self.writer)),
            Direction::Write => interest(known(&self.reader), Some(manner)),
        }
    }
}

/// The interest of a reader and a writer.
fn interest(reader: Option<Manner>, writer: Option<Manner>) -> Interest {
    let is_once = |watch: Option<Manner>| watch.is_none_or(|manner| manner == Manner::Once);
    Interest {
        readable: reader.is_some(),
        writable: writer.is_some(),
        once: (reader.is_some() || writer.is_some()) && is_once(reader) && is_once(writer),
        edge: reader == Some(Manner::Edge) && writer.is_none(),
    }
}

/// One of a descriptor's two callbacks.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Read,
    Write,
}

impl<C> Source<C> {
    fn watch(&mut self, direction: Direction) -> &mut Option<Watch<C>> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }
}

/// The watched descriptors, indexed by number: the kernel hands out the lowest free one, so the
/// table stays dense.
#[derive(Debug)]
pub(crate) struct Sources<C> {
    table: Vec<Source<C>>,
    multiplexer: Arc<dyn Multiplexer>,
}

fn index(fd: RawFd) -> Option<usize> {
    usize::try_from(fd).ok()
}

impl<C: Callback> Sources<C> {
    pub(crate) fn new(multiplexer: Arc<dyn Multiplexer>) -> Self {
        Self { table: Vec::new(), multiplexer }
    }

    pub(crate) fn set_reader(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.set(fd, Direction::Read, Watch { callback, manner: Manner::Lasting })
    }

    pub(crate) fn set_reader_by_edges(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.set(fd, Direction::Read, Watch { callback, manner: Manner::Edge })
    }

    pub(crate) fn set_writer(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.set(fd, Direction::Write, Watch { callback, manner: Manner::Lasting })
    }

    pub(crate) fn set_reader_once(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.set(fd, Direction::Read, Watch { callback, manner: Manner::Once })
    }

    pub(crate) fn set_writer_once(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.set(fd, Direction::Write, Watch { callback, manner: Manner::Once })
    }

    /// Has a reader that is watched by edges called as long as its descriptor is readable.
    pub(crate) fn level_reader(&mut self, fd: RawFd) {
        let Some(source) = index(fd).and_then(|index| self.table.get_mut(index)) else { return };
        if let Some(Watch { manner: manner @ Manner::Edge, .. }) = &mut source.reader {
            *manner = Manner::Lasting;
            let wanted = source.interest();
            // Fails only for a descriptor that is gone already.
            let _ = self.multiplexer.set(fd, source.told, wanted);
            source.told = wanted;
        }
    }

    pub(crate) fn clear_reader(&mut self, fd: RawFd) -> Option<C> {
        self.clear(fd, Direction::Read)
    }

    pub(crate) fn clear_writer(&mut self, fd: RawFd) -> Option<C> {
        self.clear(fd, Direction::Write)
    }

    /// Whether somebody waits once for `fd` to be writable.
    pub(crate) fn writes_once(&self, fd: RawFd) -> bool {
        let source = index(fd).and_then(|index| self.table.get(index));
        let watch = source.and_then(|source| source.writer.as_ref());
        watch.is_some_and(|watch| watch.manner == Manner::Once)
    }

    pub(crate) fn get(&self, fd: RawFd) -> (Option<&C>, Option<&C>) {
        let Some(source) = index(fd).and_then(|index| self.table.get(index)) else {
            return (None, None);
        };
        let (reader, writer) = (source.reader.as_ref(), source.writer.as_ref());
        (reader.map(|watch| &watch.callback), writer.map(|watch| &watch.callback))
    }

    #[inline]
    pub(crate) fn dispatch(&mut self, event: Event, ready: &mut ReadyQueue<C>) {
        let Some(source) = index(event.fd).and_then(|index| self.table.get_mut(index)) else {
            return;
        };
        let mut spent = false;
        for (is_ready, watch) in
            [(event.readable, &mut source.reader), (event.writable, &mut source.writer)]
        {
            match watch {
                Some(Watch { manner: Manner::Once, .. }) if is_ready => {
                    spent = true;
                    if let Some(watch) = watch.take() {
                        ready.push(watch.callback);
                    }
                }
                Some(Watch { callback, .. }) if is_ready => {
                    ready.push(callback.again());
                }
                _ => {}
            }
        }
        if event.beyond_bytes && source.told.edge {
            self.level_reader(event.fd);
            return;
        }
        if source.told.once {
            source.told = Interest::TOLD;
        }
        if spent || source.told.once {
            self.tell_again(event.fd, ready);
        }
    }

    /// Has the mechanism tell again what it has told of a descriptor: nobody could hear it.
    #[cold]
    pub(crate) fn put_off(&mut self, fd: RawFd) {
        let Some(source) = index(fd).and_then(|index| self.table.get_mut(index)) else { return };
        let wanted = source.interest();
        if wanted != Interest::NONE {
            // What is told anew, as of a descriptor that is not known, is told whatever was told before.
            // Fails only for a descriptor that is gone already.
            let _ = self.multiplexer.set(fd, Interest::NONE, wanted);
            source.told = wanted;
        }
    }

    /// Tells the mechanism who is still watched after an event that ended a watch, or might have.
    fn tell_again(&mut self, fd: RawFd, ready: &mut ReadyQueue<C>) {
        let Some(source) = index(fd).and_then(|index| self.table.get_mut(index)) else { return };
        let wanted = source.interest();
        if wanted == source.told || (wanted == Interest::NONE && source.told == Interest::TOLD) {
            return;
        }
        if self.multiplexer.set(fd, source.told, wanted).is_ok() {
            source.told = wanted;
            return;
        }
        // The descriptor was closed behind our back: whoever waits once finds that out by itself.
        for watch in [&mut source.reader, &mut source.writer] {
            if let Some(watch) = watch.take_if(|watch| watch.manner == Manner::Once) {
                ready.push(watch.callback);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &C> {
        let watches =
            self.table.iter().flat_map(|source| source.reader.iter().chain(&source.writer));
        watches.map(|watch| &watch.callback)
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (RawFd, Option<&C>, Option<&C>)> {
        (0..).zip(&self.table).filter_map(|(fd, source)| {
            let (reader, writer) = (source.reader.as_ref(), source.writer.as_ref());
            (reader.is_some() || writer.is_some()).then(|| {
                (fd, reader.map(|watch| &watch.callback), writer.map(|watch| &watch.callback))
            })
        })
    }

    /// Watches by another mechanism from now on; nothing may be watched at present.
    pub(crate) fn move_to(&mut self, multiplexer: Arc<dyn Multiplexer>) {
        self.multiplexer = multiplexer;
    }

    /// Watches what is watched by another mechanism from now on.
    ///
    /// # Errors
    /// The kernel's, and then nothing has changed. A descriptor that has been closed meanwhile is no error; nothing
    /// comes of it.
    pub(crate) fn carry_to(&mut self, multiplexer: Arc<dyn Multiplexer>) -> io::Result<()> {
        let mut told = Vec::new();
        told.try_reserve_exact(self.table.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        for (fd, source) in (0..).zip(&self.table) {
            let mut wanted = source.interest();
            if wanted != Interest::NONE
                && let Err(error) = multiplexer.set(fd, Interest::NONE, wanted)
            {
                if error.raw_os_error() != Some(libc::EBADF) {
                    return Err(error);
                }
                wanted = Interest::NONE;
            }
            told.push(wanted);
        }
        for (source, told) in self.table.iter_mut().zip(told) {
            source.told = told;
        }
        self.multiplexer = multiplexer;
        Ok(())
    }

    /// Ends all watches, and answers them.
    pub(crate) fn take_all(&mut self) -> Vec<Source<C>> {
        let sources = std::mem::take(&mut self.table);
        for (fd, source) in (0..).zip(&sources) {
            if source.told != Interest::NONE {
                // The descriptors belong to others and may be closed by now.
                let _ = self.multiplexer.set(fd, source.told, Interest::NONE);
            }
        }
        sources
    }

    fn set(&mut self, fd: RawFd, direction: Direction, watch: Watch<C>) -> Watched<C> {
        let (index, wanted) = match self.tell(fd, direction, watch.manner) {
            Ok(told) => told,
            Err(error) => return Err(Refused { error, callback: watch.callback }),
        };
        if self.table.len() <= index {
            self.table.resize_with(index + 1, || Source::EMPTY);
        }
        let source = &mut self.table[index];
        source.told = wanted;
        Ok(source.watch(direction).replace(watch).map(|watch| watch.callback))
    }

    /// Tells the mechanism of a watch that is to come: where it belongs, and what was told.
    fn tell(
        &mut self,
        fd: RawFd,
        direction: Direction,
        manner: Manner,
    ) -> io::Result<(usize, Interest)> {
        let index = index(fd).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        let wanted = self.table.get(index).unwrap_or(&Source::EMPTY).with(direction, manner);
        let told = self.table.get(index).map_or(Interest::NONE, |source| source.told);
        if let Some(missing) = (index + 1).checked_sub(self.table.len()) {
            let reserved = self.table.try_reserve(missing);
            reserved.map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        }
        // What is told for one event may have been told already, or be gone with its file.
        if wanted.once || wanted != told {
            self.multiplexer.set(fd, told, wanted)?;
        }
        Ok((index, wanted))
    }

    fn clear(&mut self, fd: RawFd, direction: Direction) -> Option<C> {
        let source = self.table.get_mut(index(fd)?)?;
        let watch = source.watch(direction).take()?;
        let wanted = source.interest();
        // Unwatching fails only for a descriptor that is gone already.
        let _ = self.multiplexer.set(fd, source.told, wanted);
        source.told = wanted;
        Some(watch.callback)
    }
}
