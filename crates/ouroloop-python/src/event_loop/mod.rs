//! `Loop`: the event loop as Python sees it, one file a chapter of `AbstractEventLoop`.
//!
//! The engine's loop lies in [`Loop::engine`]; everything that is Python's (settings, hooks,
//! executors) in [`Loop::state`]. `ouroloop.Loop` derives from this class and from
//! `asyncio.AbstractEventLoop`.

mod accepted;
mod asyncgens;
#[cfg(not(Py_3_14))]
mod child_watcher;
mod clock;
mod closing;
mod connect;
mod connection;
mod datagram;
mod debug;
mod dns;
pub(crate) mod errors;
mod executor;
mod fork;
mod keywords;
mod lifecycle;
mod multiplexer;
mod pipes;
mod run;
mod schedule;
mod selector_view;
pub(crate) mod sendfile;
mod serving;
mod signals;
pub(crate) mod sock;
mod staggered;
mod start_tls;
mod subprocesses;
mod tasks;
mod unix_connection;
mod unix_serving;
mod unix_target;
mod views;
mod wakeup;
mod watch;

use std::collections::{HashMap, TryReserveError, VecDeque};
use std::os::fd::RawFd;
use std::ptr::NonNull;

use ouroloop::blocking::Pool;
use ouroloop::fork::Owner;
use ouroloop::interrupt::InterruptDescriptor;
use ouroloop::multiplex::Mechanism;
use ouroloop::net::Holder;
use ouroloop::net::datagram::Batch;
use ouroloop::ready::Place;
use ouroloop::waker::Waker;
use ouroloop::{EventLoop, Refused};
use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::errors::os_error::os_error;
use crate::executor::{DefaultExecutor, Job};
use crate::future::Ready;
use crate::handle::confine;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::{Grow, no_memory, taken};
use crate::native::cell::AttachedCell;
use crate::standard::Standard;
use crate::task::current::Current;
use crate::transport::bytes::keep_read_memory;
use crate::transport::{Unsent, is_closing};
use crate::turn::{Entry, Watched};

use clock::Timekeeping;
pub(crate) use debug::log_debug;
pub(crate) use lifecycle::warn_resource;
use run::thread_identifier;
pub(crate) use serving::next_turn;
pub(crate) use signals::Signals;

/// Where a loop stands between `run_forever` and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Stopped,
    /// In the thread of this identifier.
    Running(std::ffi::c_ulong),
    Closed,
}

/// What belongs to Python, not to the engine.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) stopping: bool,
    pub(crate) debug: bool,
    pub(crate) slow_callback_seconds: f64,
    pub(crate) task_factory: Option<Py<PyAny>>,
    pub(crate) exception_handler: Option<Py<PyAny>>,
    pub(crate) default_executor: Option<DefaultExecutor>,
    pub(crate) executor_shut_down: bool,
    pub(crate) asyncgens: Option<Py<PyAny>>,
    pub(crate) asyncgens_shut_down: bool,
    /// What debug mode runs now, for the default exception handler.
    pub(crate) current_source: Option<Py<PyAny>>,
    /// The depth of coroutine origin tracking from before debug mode.
    pub(crate) saved_origin_depth: Option<usize>,
    pub(crate) signals: Option<Signals>,
    /// The exception by which a forked child left this loop.
    left_by: Option<Py<PyAny>>,
    /// The loop ran when this process was forked, and has been left here.
    was_left_in_a_run: bool,
}

/// The native part of `ouroloop.Loop`.
#[pyclass(frozen, subclass, weakref, module = "ouroloop._native")]
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) engine: AttachedCell<EventLoop<Entry>>,
    pub(crate) state: AttachedCell<State>,
    owner: Owner,
    mechanism: Mechanism,
    waker: Waker<InterruptDescriptor>,
    /// The task of ours that runs, or ran last.
    pub(crate) current: Current,
    /// What callbacks have written and probably add to.
    holder: Holder,
    /// Transports with something to send when the turn is over.
    unsent: AttachedCell<VecDeque<Unsent>>,
    /// The transports by descriptor, not owned; each is removed before its memory goes.
    transports: AttachedCell<HashMap<RawFd, NonNull<ffi::PyObject>>>,
    /// File objects by which the user watches descriptors.
    files: AttachedCell<HashMap<RawFd, Py<PyAny>>>,
    timekeeping: AttachedCell<Timekeeping>,
    /// The room into which transports and `sock_recv` read.
    pub(crate) scratch: AttachedCell<Vec<u8>>,
    /// The room in which TLS puts together what leaves. Empty until then, and whole from then on, so
    /// that no message has to fill it.
    pub(crate) outgoing: AttachedCell<Vec<u8>>,
    /// Of which a worker is to be called when the interpreter is let go of.
    owed_call: AttachedCell<Option<Pool<Job>>>,
    /// How much `sock_recv` last received at once: what the next call may expect.
    received: AttachedCell<usize>,
    /// The same for datagrams, while nobody uses it.
    pub(crate) datagrams: AttachedCell<Option<Box<Batch>>>,
}

/// The error of whatever a closed loop cannot do any more.
fn closed() -> PyErr {
    fresh::error::<PyRuntimeError>("Event loop is closed")
}

/// The usual room for a read, and all that TLS reads or writes at a time.
pub(crate) const SCRATCH_BYTES: usize = 64 * 1024;

impl Loop {
    pub(crate) fn is_debug(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.debug)
    }

    pub(crate) fn is_running(&self, py: Python<'_>) -> bool {
        match self.state.with(py, |state| state.phase) {
            // The thread may be one that a fork has left behind.
            Phase::Running(thread) => !self.is_inherited() || thread == thread_identifier(),
            Phase::Stopped | Phase::Closed => false,
        }
    }

    pub(crate) fn is_closed(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.phase == Phase::Closed)
    }

    /// # Errors
    /// `RuntimeError` on a closed loop.
    #[inline]
    pub(crate) fn check_closed(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_closed(py) {
            return Err(closed());
        }
        Ok(())
    }

    /// What must hold before something is scheduled without a handle.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop and, in debug mode, in another thread than the loop's.
    #[inline]
    pub(crate) fn check_schedulable(&self, py: Python<'_>) -> PyResult<()> {
        let (phase, debug) = self.state.with(py, |state| (state.phase, state.debug));
        match phase {
            Phase::Closed => self.check_closed(py),
            Phase::Running(thread) if debug => debug::check_thread(thread),
            _ => Ok(()),
        }
    }

    /// Makes sure that there is room for `count` callbacks more: for what a program can do without.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(crate) fn reserve(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        self.engine.with(py, |engine| engine.reserve(count)).map_err(|_| no_memory(py))
    }

    /// Makes sure that there is room for one more timer.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(crate) fn reserve_timer(&self, py: Python<'_>) -> PyResult<()> {
        self.engine.with(py, EventLoop::reserve_timer).map_err(|_| no_memory(py))
    }

    /// Queues a callback for the next turn, and wakes the loop should it be waiting: another
    /// thread is attached while the loop waits.
    ///
    /// Whoever can be refused asks for room first ([`Loop::reserve`]). The engine keeps some for the rest.
    #[inline]
    pub(crate) fn push(&self, py: Python<'_>, entry: Entry) -> Place {
        self.engine.with(py, |engine| engine.push(entry))
    }

    /// Makes the loop notice what another thread has queued.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// By which another thread wakes the loop when it is detached.
    pub(crate) fn waker(&self) -> Waker<InterruptDescriptor> {
        self.waker.clone()
    }

    /// No task of ours runs from here on.
    ///
    /// Whatever else may ask who runs (a handle, a standard task, a signal handler, the world
    /// outside the loop) is preceded by this: see [`Current`].
    #[inline]
    pub(crate) fn leave_task(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().current.leave(slf.as_any())
    }

    /// Remembers a transport whose writes leave when the turn is over, or sooner.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(crate) fn send_later(&self, py: Python<'_>, transport: Unsent) -> PyResult<()> {
        let answer = self.unsent.with(py, |unsent| unsent.grow(transport));
        taken(py, answer)
    }

    /// What holds back writes of this loop's callbacks.
    #[inline]
    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Sends what the callbacks of this turn have written.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of a protocol that was paused or resumed.
    #[inline]
    pub(crate) fn send_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut answer = Ok(());
        while let Some(transport) = slf.get().unsent.with(py, VecDeque::pop_front) {
            let sent = confine(slf, transport.object(py), |_| transport.send(py));
            answer = answer.and(sent);
        }
        answer
    }

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

    /// The transport that uses descriptor `fd` and is not closing.
    pub(crate) fn transport_on(&self, py: Python<'_>, fd: RawFd) -> Option<Py<PyAny>> {
        let transport = self.transports.with(py, |transports| {
            let transport = transports.get(&fd)?.as_ptr();
            // SAFETY: a transport is removed before its memory goes; one whose count is zero is
            // being deallocated and must not be revived.
            if unsafe { ffi::Py_REFCNT(transport) } == 0 {
                return None;
            }
            // SAFETY: as above.
            Some(unsafe { Bound::from_borrowed_ptr(py, transport) })
        })?;
        (!is_closing(&transport)).then(|| transport.unbind())
    }

    /// Whoever waits for a descriptor that is about to be closed is to look.
    pub(crate) fn end_write_wait(&self, py: Python<'_>, fd: RawFd) {
        let ended = self.engine.with(py, |engine| match engine.watched(fd).1 {
            Some(entry) if entry.get::<Ready>().is_some() => engine.clear_writer(fd),
            _ => None,
        });
        if let Some(ended) = ended {
            self.push(py, ended);
        }
    }

    /// Has the engine watch by `set`; answers the callback that this replaces.
    fn watch(
        &self,
        py: Python<'_>,
        work: impl Watched,
        set: impl Fn(&mut EventLoop<Entry>, Entry) -> ouroloop::Watched<Entry>,
    ) -> PyResult<Option<Entry>> {
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

#[pymethods]
impl Loop {
    #[new]
    #[pyo3(signature = (*, multiplexer=None))]
    fn new(py: Python<'_>, multiplexer: Option<&str>) -> PyResult<Self> {
        // Looked up while the interpreter is whole: a loop's last words may come after that.
        Standard::get(py)?;
        let mechanism = multiplexer::choose(multiplexer)?;
        let engine = mechanism.create().and_then(EventLoop::new);
        let engine = engine.map_err(|error| os_error(py, &error))?;
        let coroutines =
            crate::interpreter::modules::module(py, intern!(py, "asyncio.coroutines"))?;
        let debug = coroutines.call_method0(intern!(py, "_is_debug_mode"))?.is_truthy()?;
        keep_read_memory();
        let event_loop = Self {
            owner: Owner::current()?,
            mechanism,
            waker: engine.waker(),
            engine: AttachedCell::new(engine),
            state: AttachedCell::new(State {
                phase: Phase::Stopped,
                stopping: false,
                debug,
                slow_callback_seconds: 0.1,
                task_factory: None,
                exception_handler: None,
                default_executor: None,
                executor_shut_down: false,
                asyncgens: None,
                asyncgens_shut_down: false,
                current_source: None,
                left_by: None,
                was_left_in_a_run: false,
                saved_origin_depth: None,
                signals: None,
            }),
            current: Current::new(),
            holder: Holder::new(),
            unsent: AttachedCell::new(VecDeque::new()),
            transports: AttachedCell::new(HashMap::new()),
            files: AttachedCell::new(HashMap::new()),
            timekeeping: AttachedCell::new(Timekeeping::default()),
            scratch: AttachedCell::new(Vec::new()),
            outgoing: AttachedCell::new(Vec::new()),
            owed_call: AttachedCell::new(None),
            received: AttachedCell::new(0),
            datagrams: AttachedCell::new(None),
        };
        Ok(event_loop)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let (phase, debug) = slf.get().state.with(slf.py(), |state| (state.phase, state.debug));
        let word = |value| if value { "True" } else { "False" };
        Ok(Text(format!(
            "<{} running={} closed={} debug={}>",
            slf.get_type().name()?,
            word(matches!(phase, Phase::Running(_))),
            word(phase == Phase::Closed),
            word(debug),
        )))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.engine
                .traverse(|engine| engine.callbacks().try_for_each(|entry| entry.visit(&visit)))?;
            self.unsent.traverse(|unsent| unsent.iter().try_for_each(|one| one.visit(&visit)))?;
            self.files.traverse(|files| files.values().try_for_each(|file| visit.call(file)))?;
            self.timekeeping.traverse(|known| visit.call(&known.attributes))?;
            self.state.traverse(|state| {
                visit.call(&state.task_factory)?;
                visit.call(&state.exception_handler)?;
                if let Some(executor) = &state.default_executor {
                    executor.visit(&visit)?;
                }
                visit.call(&state.asyncgens)?;
                visit.call(&state.current_source)?;
                visit.call(&state.left_by)?;
                state.signals.as_ref().map_or(Ok(()), |signals| signals.visit(&visit))
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.engine.with(py, EventLoop::close));
        drop(self.unsent.with(py, std::mem::take));
        drop(self.files.with(py, std::mem::take));
        drop(self.timekeeping.with(py, std::mem::take));
        drop(self.state.with(py, |state| state.default_executor.take()));
        drop(self.state.with(py, |state| {
            [
                state.task_factory.take(),
                state.exception_handler.take(),
                state.asyncgens.take(),
                state.current_source.take(),
                state.left_by.take(),
            ]
        }));
    }
}

/// Makes the class complete.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    crate::native::slots::install_deallocate::<Loop>(py);
    #[cfg(not(Py_3_12))]
    wakeup::install(py)?;
    views::install(py)?;
    schedule::install(py)
}
