//! Which callback wants which descriptor.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::event_loop::Callback;
use crate::multiplex::{Event, Interest, Multiplexer};
use crate::ready::ReadyQueue;

/// A descriptor's callbacks.
#[derive(Debug)]
struct Source<C> {
    reader: Option<C>,
    writer: Option<C>,
}

impl<C> Source<C> {
    const EMPTY: Self = Self { reader: None, writer: None };

    fn interest(&self) -> Interest {
        Interest { readable: self.reader.is_some(), writable: self.writer.is_some() }
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

    pub(crate) fn set_reader(&mut self, fd: RawFd, callback: C) -> io::Result<Option<C>> {
        let interest = self.prepare(fd, |old| Interest { readable: true, ..old })?;
        self.commit(fd, interest).map(|source| source.reader.replace(callback))
    }

    pub(crate) fn set_writer(&mut self, fd: RawFd, callback: C) -> io::Result<Option<C>> {
        let interest = self.prepare(fd, |old| Interest { writable: true, ..old })?;
        self.commit(fd, interest).map(|source| source.writer.replace(callback))
    }

    pub(crate) fn clear_reader(&mut self, fd: RawFd) -> Option<C> {
        self.clear(fd, |source| source.reader.take())
    }

    pub(crate) fn clear_writer(&mut self, fd: RawFd) -> Option<C> {
        self.clear(fd, |source| source.writer.take())
    }

    pub(crate) fn get(&self, fd: RawFd) -> (Option<&C>, Option<&C>) {
        let source = index(fd).and_then(|index| self.table.get(index));
        source.map_or((None, None), |source| (source.reader.as_ref(), source.writer.as_ref()))
    }

    #[inline]
    pub(crate) fn dispatch(&self, event: Event, ready: &mut ReadyQueue<C>) {
        let Some(source) = index(event.fd).and_then(|index| self.table.get(index)) else { return };
        if let (true, Some(reader)) = (event.readable, &source.reader) {
            ready.push(reader.again());
        }
        if let (true, Some(writer)) = (event.writable, &source.writer) {
            ready.push(writer.again());
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &C> {
        self.table.iter().flat_map(|source| source.reader.iter().chain(&source.writer))
    }

    /// Watches by another mechanism from now on; nothing may be watched at present.
    pub(crate) fn move_to(&mut self, multiplexer: Arc<dyn Multiplexer>) {
        self.multiplexer = multiplexer;
    }

    pub(crate) fn take_all(&mut self) -> Vec<C> {
        let mut callbacks = Vec::new();
        for (fd, source) in (0..).zip(std::mem::take(&mut self.table)) {
            // The descriptors belong to others and may be closed by now.
            let _ = self.multiplexer.set(fd, source.interest(), Interest::NONE);
            callbacks.extend(source.reader.into_iter().chain(source.writer));
        }
        callbacks
    }

    fn prepare(
        &self,
        fd: RawFd,
        change: impl FnOnce(Interest) -> Interest,
    ) -> io::Result<(Interest, Interest)> {
        let index = index(fd).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        let old = self.table.get(index).map_or(Interest::NONE, Source::interest);
        Ok((old, change(old)))
    }

    fn commit(
        &mut self,
        fd: RawFd,
        (old, new): (Interest, Interest),
    ) -> io::Result<&mut Source<C>> {
        if old != new {
            self.multiplexer.set(fd, old, new)?;
        }
        let index = index(fd).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        if self.table.len() <= index {
            self.table.resize_with(index + 1, || Source::EMPTY);
        }
        Ok(&mut self.table[index])
    }

    fn clear(&mut self, fd: RawFd, take: impl FnOnce(&mut Source<C>) -> Option<C>) -> Option<C> {
        let source = self.table.get_mut(index(fd)?)?;
        let old = source.interest();
        let callback = take(source)?;
        // Unwatching fails only for a descriptor that is gone already.
        let _ = self.multiplexer.set(fd, old, source.interest());
        Some(callback)
    }
}
