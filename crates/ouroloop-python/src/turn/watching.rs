//! Descriptors that the loop watches, and the transports on them.

use std::collections::TryReserveError;
use std::os::fd::RawFd;
use std::ptr::NonNull;

use ouroloop::{EventLoop, Refused};
use pyo3::prelude::*;

use super::entry::Entry;
use super::event_loop::Loop;
use super::work::Watched;
use crate::errors::os_error::os_error;
use crate::interpreter::room::no_memory;

impl Loop {
    /// A transport begins to use a descriptor of this number.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn add_transport(
        &self,
        py: Python<'_>,
        fd: RawFd,
        transport: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let transport = NonNull::new(transport.as_ptr()).expect("a reference is not null");
        let added = self.transports.with(py, |transports| {
            transports.try_reserve(1)?;
            transports.insert(fd, transport);
            Ok::<_, TryReserveError>(())
        });
        added.map_err(|_| no_memory(py))
    }

    /// The transport on descriptor `fd` is about to close it.
    pub(crate) fn remove_transport(&self, py: Python<'_>, fd: RawFd) {
        self.transports.with(py, |transports| transports.remove(&fd));
    }

    /// Whoever waits, once, for a descriptor that is about to be closed is to look.
    pub(crate) fn end_write_wait(&self, py: Python<'_>, fd: RawFd) {
        let ended = self.engine.with(py, |engine| engine.clear_writer_once(fd));
        if let Some(ended) = ended {
            self.push(py, ended);
        }
    }

    /// Has the engine watch by `set`; answers the callback that this replaces.
    fn watch<W: Watched>(
        &self,
        py: Python<'_>,
        work: W,
        set: impl Fn(&mut EventLoop<Entry>, Entry) -> ouroloop::Watched<Entry>,
    ) -> PyResult<Option<Entry>> {
        assert!(W::kind().is_watched(), "KindOf::watched has made the kind");
        let watch = |entry| self.engine.with(py, |engine| set(engine, entry));
        watch(work.entry())
            .or_else(|refused| {
                if self.is_inherited() && self.take_over(py).is_ok() {
                    return watch(refused.callback);
                }
                Err(refused)
            })
            .map_err(|Refused { error, .. }| self.watch_error(py, &error))
    }

    /// Watches a descriptor for readability; answers the callback that this replaces.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(crate) fn watch_readable(
        &self,
        py: Python<'_>,
        fd: RawFd,
        work: impl Watched,
    ) -> PyResult<Option<Entry>> {
        self.watch(py, work, |engine, entry| engine.set_reader(fd, entry))
    }

    /// Watches a TCP socket for readability, told by edges (see [`EventLoop::set_reader_by_edges`]); answers the
    /// callback that this replaces.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(crate) fn watch_readable_by_edges(
        &self,
        py: Python<'_>,
        fd: RawFd,
        work: impl Watched,
    ) -> PyResult<Option<Entry>> {
        self.watch(py, work, |engine, entry| engine.set_reader_by_edges(fd, entry))
    }

    /// Stops watching a descriptor of the loop's own for readability.
    pub(crate) fn unwatch_readable(&self, py: Python<'_>, fd: RawFd) {
        let before = self.engine.with(py, |engine| engine.clear_reader(fd));
        drop(before);
    }

    /// Watches a descriptor for writability; answers the callback that this replaces.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(crate) fn watch_writable(
        &self,
        py: Python<'_>,
        fd: RawFd,
        work: impl Watched,
    ) -> PyResult<Option<Entry>> {
        self.watch(py, work, |engine, entry| engine.set_writer(fd, entry))
    }

    /// What to raise when the engine refuses to watch a descriptor.
    pub(crate) fn watch_error(&self, py: Python<'_>, error: &std::io::Error) -> PyErr {
        self.act_for(py).err().unwrap_or_else(|| os_error(py, error))
    }

    /// Stops watching a descriptor of the loop's own for writability.
    pub(crate) fn unwatch_writable(&self, py: Python<'_>, fd: RawFd) {
        let before = self.engine.with(py, |engine| engine.clear_writer(fd));
        drop(before);
    }
}
