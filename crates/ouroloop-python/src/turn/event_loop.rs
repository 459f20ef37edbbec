//! `Loop`: what a native loop has, and what everybody asks of it.
//!
//! The engine's loop lies in [`Loop::engine`], everything that is Python's (settings, hooks, executors) in
//! [`Loop::state`]. What Python sees of it are the chapters of `event_loop/`.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_ulong;
use std::os::fd::RawFd;
use std::ptr::NonNull;

use ouroloop::EventLoop;
use ouroloop::fork::Owner;
use ouroloop::interrupt::InterruptDescriptor;
use ouroloop::multiplex::Mechanism;
use ouroloop::net::Holder;
use ouroloop::net::datagram::Batch;
use ouroloop::ready::Place;
use ouroloop::waker::Waker;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::current::Current;
use super::entry::Entry;
use super::executor::{Bell, Executor};
use super::hooks::{self, Seen};
use super::signals::Signals;
use super::timekeeping::Timekeeping;
use crate::errors::os_error::os_error;
use crate::interpreter::fresh;
use crate::interpreter::room::no_memory;
use crate::native::cell::AttachedCell;

/// Where a loop stands between `run_forever` and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopPhase {
    Stopped,
    /// In the thread of this identifier.
    Running(c_ulong),
    Closed,
}

/// What belongs to Python, not to the engine.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) phase: LoopPhase,
    pub(crate) stopping: bool,
    pub(crate) debug: bool,
    pub(crate) slow_callback_seconds: f64,
    pub(crate) task_factory: Option<Py<PyAny>>,
    pub(crate) exception_handler: Option<Py<PyAny>>,
    pub(crate) default_executor: Option<Executor>,
    pub(crate) executor_shut_down: bool,
    pub(crate) asyncgens: Option<Py<PyAny>>,
    pub(crate) asyncgens_shut_down: bool,
    /// What debug mode runs now, for the default exception handler.
    pub(crate) current_source: Option<Py<PyAny>>,
    /// The depth of coroutine origin tracking from before debug mode.
    pub(crate) saved_origin_depth: Option<usize>,
    pub(crate) signals: Option<Signals>,
    /// The exception by which a forked child left this loop.
    pub(super) left_by: Option<Py<PyAny>>,
    /// The loop ran when this process was forked, and has been left here.
    pub(crate) was_left_in_a_run: bool,
}

/// A transport with something to send when the turn is over, or sooner.
#[derive(Debug)]
pub(crate) struct Unsent {
    pub(super) transport: Py<PyAny>,
    pub(super) send: Sending,
}

/// Sends what a transport has to send, unless that has left already; of errors only `SystemExit` and
/// `KeyboardInterrupt` are left.
pub(crate) type Sending = fn(&Bound<'_, Loop>, &Bound<'_, PyAny>) -> PyResult<()>;

/// The native part of `ouroloop.Loop`.
#[pyclass(frozen, subclass, weakref, module = "ouroloop._native")]
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) engine: AttachedCell<EventLoop<Entry>>,
    pub(crate) state: AttachedCell<State>,
    pub(super) owner: Owner,
    pub(crate) mechanism: Mechanism,
    waker: Waker<InterruptDescriptor>,
    /// The task of ours that runs, or ran last.
    pub(crate) current: Current,
    /// What callbacks have written and probably add to.
    pub(super) holder: Holder,
    /// Transports with something to send when the turn is over.
    pub(super) unsent: AttachedCell<VecDeque<Unsent>>,
    /// The transports by descriptor, not owned; each is removed before its memory goes.
    pub(crate) transports: AttachedCell<HashMap<RawFd, NonNull<ffi::PyObject>>>,
    /// File objects by which the user watches descriptors.
    pub(crate) files: AttachedCell<HashMap<RawFd, Py<PyAny>>>,
    pub(super) timekeeping: AttachedCell<Timekeeping>,
    /// The room into which transports and `sock_recv` read.
    pub(crate) scratch: AttachedCell<Vec<u8>>,
    /// The room in which TLS puts together what leaves. Empty until then, and whole from then on, so
    /// that no message has to fill it.
    pub(crate) outgoing: AttachedCell<Vec<u8>>,
    /// Of which a worker is to be called when the interpreter is let go of.
    pub(crate) owed_call: AttachedCell<Option<Bell>>,
    /// How much `sock_recv` last received at once: what the next call may expect.
    pub(crate) received: AttachedCell<usize>,
    /// The same for datagrams, while nobody uses it.
    pub(crate) datagrams: AttachedCell<Option<Box<Batch>>>,
}

/// The error of whatever a closed loop cannot do any more.
pub(crate) fn closed() -> PyErr {
    fresh::error::<PyRuntimeError>("Event loop is closed")
}

/// The usual room for a read, and all that TLS reads or writes at a time.
pub(crate) const SCRATCH_BYTES: usize = 64 * 1024;

/// The identifier of the calling thread, as `threading.get_ident()` gives it.
pub(crate) fn thread_identifier() -> c_ulong {
    // SAFETY: needs no state of the interpreter.
    unsafe { ffi::PyThread_get_thread_ident() }
}

/// # Errors
/// `RuntimeError` in any other thread than the loop's.
pub(crate) fn check_thread(thread: c_ulong) -> PyResult<()> {
    if thread == thread_identifier() {
        return Ok(());
    }
    Err(fresh::error::<PyRuntimeError>(
        "Non-thread-safe operation invoked on an event loop other than the current one",
    ))
}

impl Unsent {
    pub(crate) fn new(transport: Py<PyAny>, send: Sending) -> Self {
        Self { transport, send }
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.transport)
    }
}

impl Loop {
    /// A loop that looks at its descriptors by this mechanism.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn by(py: Python<'_>, mechanism: Mechanism, debug: bool) -> PyResult<Self> {
        let engine = mechanism.create().and_then(EventLoop::new);
        let engine = engine.map_err(|error| os_error(py, &error))?;
        Ok(Self {
            owner: Owner::current()?,
            mechanism,
            waker: engine.waker(),
            engine: AttachedCell::new(engine),
            state: AttachedCell::new(State {
                phase: LoopPhase::Stopped,
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
        })
    }

    pub(crate) fn is_debug(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.debug)
    }

    pub(crate) fn is_running(&self, py: Python<'_>) -> bool {
        match self.state.with(py, |state| state.phase) {
            // The thread may be one that a fork has left behind.
            LoopPhase::Running(thread) => !self.is_inherited() || thread == thread_identifier(),
            LoopPhase::Stopped | LoopPhase::Closed => false,
        }
    }

    /// Whether the loop runs in the calling thread.
    pub(crate) fn runs_here(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.phase) == LoopPhase::Running(thread_identifier())
    }

    pub(crate) fn is_closed(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.phase == LoopPhase::Closed)
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
            LoopPhase::Closed => self.check_closed(py),
            LoopPhase::Running(thread) if debug => check_thread(thread),
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

    /// Queues a callback for the next turn, and wakes the loop should it be waiting: another
    /// thread is attached while the loop waits.
    ///
    /// Whoever can be refused asks for room first ([`Loop::reserve`]). The engine keeps some for the rest.
    #[inline]
    pub(crate) fn push(&self, py: Python<'_>, entry: Entry) -> Place {
        if hooks::are_on() {
            Seen::of(py, &entry).queued();
        }
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

    /// Shows the garbage collector what the loop holds.
    ///
    /// # Safety
    /// Called by `tp_traverse` alone.
    pub(crate) unsafe fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the caller's promise.
        unsafe {
            self.engine
                .traverse(|engine| engine.callbacks().try_for_each(|entry| entry.visit(visit)))?;
            self.unsent.traverse(|unsent| unsent.iter().try_for_each(|one| one.visit(visit)))?;
            self.files.traverse(|files| files.values().try_for_each(|file| visit.call(file)))?;
            self.timekeeping.traverse(|known| visit.call(&known.attributes))?;
            self.state.traverse(|state| {
                visit.call(&state.task_factory)?;
                visit.call(&state.exception_handler)?;
                if let Some(executor) = &state.default_executor {
                    executor.visit(visit)?;
                }
                visit.call(&state.asyncgens)?;
                visit.call(&state.current_source)?;
                visit.call(&state.left_by)?;
                state.signals.as_ref().map_or(Ok(()), |signals| signals.visit(visit))
            })
        }
    }

    /// Lets go of what the loop holds, for the garbage collector.
    pub(crate) fn clear(&self, py: Python<'_>) {
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
