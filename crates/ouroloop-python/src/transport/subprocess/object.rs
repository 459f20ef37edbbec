//! A child's transport and the protocols of its pipes: they hold each other.

use std::collections::VecDeque;

use ouroloop::process::{Exit, Pid};
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyPermissionError, PyProcessLookupError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::context::copy_current;
use crate::errors::leaving::leaves_loop;
use crate::future::{Future, Outcome};
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::ValueOffset;
use crate::standard::{Standard, exception_of};
use crate::transport::failure::Step;
use crate::transport::notice::{Notice, Notified};
use crate::transport::pipe::{ReadPipeTransport, WritePipeTransport};
use crate::turn::{KindOf, Loop, Work as _};

const MODULE: &str = "asyncio.base_subprocess";
const CLASS: &str = "BaseSubprocessTransport";

/// Where asyncio tells a protocol of what.
pub(super) const EXITED: Step = Step(MODULE, CLASS, "_process_exited");
pub(super) const LOST: Step = Step(MODULE, CLASS, "_call_connection_lost");

/// What is called.
#[derive(Debug)]
pub(super) enum ProtocolCall {
    /// A method of the protocol, looked up when the call was scheduled, with its arguments.
    Method(Py<PyAny>, Py<PyTuple>),
    /// The protocol's `connection_lost`; afterwards everything is let go.
    Lost,
}

impl ProtocolCall {
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Method(method, args) => {
                visit.call(method)?;
                visit.call(args)
            }
            Self::Lost => Ok(()),
        }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    /// The pipes are connected.
    Connected,
    /// The next of the waiting calls is due.
    Call,
    /// The child's descriptor says that it has ended.
    Ended,
    /// The child has ended and been reaped; it is time to say so.
    Exited(i32),
}

/// What a pipe's protocol has.
#[derive(Debug)]
pub(super) struct Connection {
    /// Gone when the connection is lost.
    pub(super) process: Option<Py<SubprocessTransport>>,
    pub(super) pipe: Option<Py<PyAny>>,
    pub(super) disconnected: bool,
}

/// The protocol of one of a child's pipes.
#[pyclass(frozen, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct PipeProtocol {
    pub(super) stream: usize,
    pub(super) state: AttachedCell<Connection>,
}

/// One of the child's standard streams.
#[derive(Debug)]
pub(super) enum Stream {
    /// Not a pipe of this transport's.
    Other,
    /// A pipe that is yet to be connected.
    Expected,
    Connected(Py<PipeProtocol>),
}

#[derive(Debug)]
pub(super) struct State {
    /// Gone, as the protocol, when the connection is lost.
    pub(super) event_loop: Option<Py<Loop>>,
    pub(super) protocol: Option<Py<PyAny>>,
    /// In which protocol methods run.
    pub(super) context: Py<PyAny>,
    /// The `Popen` object; there until the garbage collector clears it.
    pub(super) process: Option<Py<PyAny>>,
    pub(super) pid: Pid,
    pub(super) returncode: Option<i32>,
    pub(super) streams: [Stream; 3],
    pub(super) calls: VecDeque<ProtocolCall>,
    pub(super) waiter: Option<Py<Future>>,
    pub(super) exit_waiters: Vec<Py<Future>>,
    pub(super) exit: Option<Exit>,
    pub(super) connected: bool,
    pub(super) closed: bool,
    pub(super) finished: bool,
    pub(super) lost: bool,
}

/// A native transport; `isinstance(transport, asyncio.SubprocessTransport)` holds.
#[pyclass(frozen, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct SubprocessTransport {
    pub(super) state: AttachedCell<State>,
}

pub(super) static VALUE_OFFSET: ValueOffset = ValueOffset::new();

/// The names under which `Popen` has the child's pipes.
pub(super) const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];

impl Notified for SubprocessTransport {
    type Happening = Happening;

    fn notices() -> &'static KindOf<Notice<Self>> {
        static KIND: KindOf<Notice<SubprocessTransport>> =
            KindOf::new("subprocess.notice").watched();
        &KIND
    }

    fn on(slf: &Bound<'_, Self>, happening: Happening) -> PyResult<()> {
        match happening {
            Happening::Connected => Self::on_connected(slf),
            Happening::Call => Self::next_call(slf),
            Happening::Ended => Self::on_ended(slf),
            Happening::Exited(returncode) => Self::note_exit(slf, returncode),
        }
    }
}

impl SubprocessTransport {
    /// A transport for the running child `process`, a `Popen` object; its pipes are not connected
    /// yet, and nobody watches for its end.
    ///
    /// # Errors
    /// What the attributes of `process` raise.
    pub(crate) fn of<'py>(
        event_loop: &Bound<'py, Loop>,
        process: &Bound<'py, PyAny>,
        protocol: Py<PyAny>,
        waiter: Py<Future>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let pid: i32 = process.getattr(intern!(py, "pid"))?.extract()?;
        let pid = Pid::from_raw(pid).ok_or_else(|| PyProcessLookupError::new_err(()))?;
        let mut streams = [Stream::Other, Stream::Other, Stream::Other];
        for (stream, name) in streams.iter_mut().zip(STREAMS) {
            if !process.getattr(fresh::interned(py, name)?)?.is_none() {
                *stream = Stream::Expected;
            }
        }
        let state = State {
            event_loop: Some(event_loop.clone().unbind()),
            protocol: Some(protocol),
            context: copy_current(py)?,
            process: Some(process.clone().unbind()),
            pid,
            returncode: None,
            streams,
            calls: VecDeque::new(),
            waiter: Some(waiter),
            exit_waiters: Vec::new(),
            exit: None,
            connected: false,
            closed: false,
            finished: false,
            lost: false,
        };
        let transport = Bound::new(py, Self { state: AttachedCell::new(state) })?;
        VALUE_OFFSET.learn(&transport);
        Ok(transport)
    }

    /// The child's standard streams that have a pipe, by number.
    pub(crate) fn expected_streams(&self, py: Python<'_>) -> Vec<usize> {
        self.state.with(py, |state| {
            let expected = |place: &usize| matches!(state.streams[*place], Stream::Expected);
            (0..state.streams.len()).filter(expected).collect()
        })
    }

    /// The file object of one of the child's pipes.
    pub(crate) fn file<'py>(slf: &Bound<'py, Self>, stream: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match slf.get().process(py) {
            Some(process) => process.getattr(fresh::interned(py, STREAMS[stream])?),
            None => Ok(py.None().into_bound(py)),
        }
    }

    /// A protocol for one of the child's pipes, which tells this transport.
    pub(crate) fn pipe_protocol<'py>(
        slf: &Bound<'py, Self>,
        stream: usize,
    ) -> PyResult<Bound<'py, PipeProtocol>> {
        PipeProtocol::of(slf, stream)
    }

    /// A pipe of the child's has got its transport.
    pub(crate) fn connect(
        slf: &Bound<'_, Self>,
        stream: usize,
        protocol: &Bound<'_, PipeProtocol>,
    ) {
        let protocol = protocol.clone().unbind();
        let before = slf.get().state.with(slf.py(), |state| {
            std::mem::replace(&mut state.streams[stream], Stream::Connected(protocol))
        });
        drop(before);
    }

    /// Gives all of the child's pipes native transports and schedules `connection_made`.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn connect_natively(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        for stream in slf.get().expected_streams(py) {
            let file = Self::file(slf, stream)?;
            let protocol = Self::pipe_protocol(slf, stream)?;
            let object = protocol.clone().into_any().unbind();
            let transport = if stream == 0 {
                WritePipeTransport::open(&event_loop, &file, object, None)?.into_any()
            } else {
                ReadPipeTransport::open(&event_loop, &file, object, None)?.into_any()
            };
            PipeProtocol::connected(&protocol, &transport);
            Self::connect(slf, stream, &protocol);
        }
        Self::all_connected(slf);
        Ok(())
    }

    /// Schedules `connection_made`, behind the first events of the pipes.
    pub(crate) fn all_connected(slf: &Bound<'_, Self>) {
        Self::push(slf, Happening::Connected);
    }

    /// The pipes cannot be connected: those that are not are closed, and no longer waited for.
    ///
    /// # Errors
    /// What the file objects raise.
    pub(crate) fn give_up_pipes(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut answer = Ok(());
        for stream in slf.get().expected_streams(py) {
            let closed = Self::file(slf, stream)
                .and_then(|file| file.call_method0(intern!(py, "close")).map(drop));
            answer = answer.and(closed);
            drop(
                slf.get()
                    .state
                    .with(py, |state| std::mem::replace(&mut state.streams[stream], Stream::Other)),
            );
        }
        Self::all_connected(slf);
        answer
    }

    /// `close()`: closes the pipes and kills the child if it runs.
    ///
    /// # Errors
    /// What pipes that are not native, and the `Popen` object, raise.
    pub(crate) fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (was_closed, protocols) = slf.get().state.with(py, |state| {
            let protocols = state.streams.iter().filter_map(|stream| match stream {
                Stream::Connected(protocol) => Some(protocol.clone_ref(py)),
                Stream::Other | Stream::Expected => None,
            });
            let protocols: Vec<_> = protocols.collect();
            (std::mem::replace(&mut state.closed, true), protocols)
        });
        if was_closed {
            return Ok(());
        }
        let event_loop = slf.get().event_loop(py);
        let debug = event_loop.as_ref().is_some_and(|event_loop| event_loop.get().is_debug(py));
        // On a closed loop a pipe's own last words close it.
        if event_loop.is_some_and(|event_loop| !event_loop.get().is_closed(py)) {
            for protocol in &protocols {
                if let Some(pipe) = protocol.bind(py).get().pipe(py) {
                    pipe.bind(py).call_method0(intern!(py, "close"))?;
                }
            }
        }
        let returncode = slf.get().state.with(py, |state| state.returncode);
        let Some(process) = slf.get().process(py).filter(|_| returncode.is_none()) else {
            return Ok(());
        };
        if slf.get().is_inherited(py) {
            // Neither to reap nor to kill: it is the parent's child.
            return Self::say_ended(&process, 0);
        }
        // It may have ended without the loop having noticed.
        if !process.call_method0(intern!(py, "poll"))?.is_none() {
            return Ok(());
        }
        if debug {
            let logger = Standard::get(py)?.logger.bind(py);
            let format = "Close running child process: kill %r";
            logger.call_method1(intern!(py, "warning"), (format, slf))?;
        }
        match process.call_method0(intern!(py, "kill")) {
            Err(error) if is_too_late(py, &error) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// `Popen` objects of a transport that is not lost.
    pub(super) fn process<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let process = self.state.with(py, |state| {
            let process = state.process.as_ref().filter(|_| !state.lost)?;
            Some(process.clone_ref(py))
        });
        process.map(|process| process.into_bound(py))
    }

    pub(super) fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.state
            .with(py, |state| state.event_loop.clone_ref(py))
            .map(|event_loop| event_loop.into_bound(py))
    }

    /// Whether its loop is the parent's, which this process was forked from.
    pub(super) fn is_inherited(&self, py: Python<'_>) -> bool {
        self.event_loop(py).is_some_and(|event_loop| event_loop.get().is_inherited())
    }

    pub(super) fn push(slf: &Bound<'_, Self>, happening: Happening) {
        let py = slf.py();
        if let Some(event_loop) = slf.get().event_loop(py) {
            event_loop.get().push(py, Notice::to(slf, happening).entry());
        }
    }

    pub(super) fn on_connected(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let protocol = slf.get().protocol(py);
        let greeting =
            protocol.map(|protocol| protocol.getattr(py, intern!(py, "connection_made")));
        let outcome = match greeting {
            Some(Ok(greeting)) => {
                let args = fresh::pack!(py, slf).unbind();
                slf.get().state.with(py, |state| {
                    state.calls.push_front(ProtocolCall::Method(greeting, args));
                });
                Outcome::Result(py.None())
            }
            Some(Err(error)) if leaves_loop(py, &error) => return Err(error),
            Some(Err(error)) => {
                Self::forsake_protocol(slf);
                Outcome::Exception(exception_of(py, &error).into_any().unbind())
            }
            None => Outcome::Result(py.None()),
        };
        let (waiting, waiter) = slf.get().state.with(py, |state| {
            state.connected = true;
            (state.calls.len(), state.waiter.take())
        });
        for _ in 0..waiting {
            Self::push(slf, Happening::Call);
        }
        match waiter {
            Some(waiter) if !waiter.bind(py).get().is_done(py) => {
                Future::finish(waiter.bind(py), outcome)
            }
            _ => Ok(()),
        }
    }

    /// The protocol cannot be told of the connection, and is told of nothing else.
    fn forsake_protocol(slf: &Bound<'_, Self>) {
        drop(slf.get().state.with(slf.py(), |state| {
            let ends = state.finished;
            let calls = std::mem::take(&mut state.calls);
            if ends {
                state.calls.push_back(ProtocolCall::Lost);
            }
            (calls, state.protocol.take())
        }));
    }

    /// The child has ended with this status.
    ///
    /// # Errors
    /// `AssertionError` if it has ended before; what looking up `process_exited` raises.
    pub(super) fn exited(slf: &Bound<'_, Self>, returncode: i32) -> PyResult<()> {
        use pyo3::exceptions::PyAssertionError;
        let py = slf.py();
        if let Some(known) = slf.get().state.with(py, |state| state.returncode) {
            return Err(fresh::error::<PyAssertionError>(known.to_string()));
        }
        if let Some(event_loop) = slf.get().event_loop(py)
            && event_loop.get().is_debug(py)
        {
            let logger = Standard::get(py)?.logger.bind(py);
            let format = "%r exited with return code %r";
            logger.call_method1(intern!(py, "info"), (format, slf, returncode))?;
        }
        // A watch that is left is of no use any more.
        Self::stop_watching(slf);
        slf.get().state.with(py, |state| state.returncode = Some(returncode));
        if let Some(process) = slf.get().process(py) {
            Self::say_ended(&process, returncode)?;
        }
        let told = Self::call(slf, "process_exited", |py| Ok(PyTuple::empty(py)));
        let finished = Self::try_finish(slf);
        // At once: a pipe may be held open by others for long.
        told.and(finished).and(Self::wake_exit_waiters(slf))
    }

    /// Tells the `Popen` object, which would warn of a child that still runs.
    pub(super) fn say_ended(process: &Bound<'_, PyAny>, returncode: i32) -> PyResult<()> {
        let name = intern!(process.py(), "returncode");
        if process.getattr(name)?.is_none() {
            process.setattr(name, returncode)?;
        }
        Ok(())
    }

    /// Schedules `connection_lost` once the child has ended and every pipe is disconnected.
    fn try_finish(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let finishes = slf.get().state.with(py, |state| {
            let disconnected = state.streams.iter().all(|stream| match stream {
                Stream::Other => true,
                Stream::Expected => false,
                Stream::Connected(protocol) => protocol.bind(py).get().is_disconnected(py),
            });
            let finishes = state.returncode.is_some() && disconnected && !state.finished;
            state.finished |= finishes;
            finishes
        });
        if finishes { Self::call_later(slf, ProtocolCall::Lost) } else { Ok(()) }
    }

    /// A pipe brought bytes.
    pub(super) fn pipe_received(
        slf: &Bound<'_, Self>,
        stream: usize,
        data: &Bound<'_, PyBytes>,
    ) -> PyResult<()> {
        Self::call(slf, "pipe_data_received", |py| Ok(fresh::pack!(py, stream, data)))
    }

    /// A pipe is disconnected.
    pub(super) fn pipe_lost(
        slf: &Bound<'_, Self>,
        stream: usize,
        error: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let told =
            Self::call(slf, "pipe_connection_lost", |py| Ok(fresh::pack!(py, stream, error)));
        told.and(Self::try_finish(slf))
    }

    /// Ends the waits of `_wait`.
    pub(super) fn wake_exit_waiters(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (returncode, waiters) = slf
            .get()
            .state
            .with(py, |state| (state.returncode, std::mem::take(&mut state.exit_waiters)));
        for waiter in waiters {
            let waiter = waiter.bind(py);
            if !waiter.get().is_done(py) {
                let returncode = returncode.into_pyobject(py)?.unbind();
                Future::finish(waiter, Outcome::Result(returncode))?;
            }
        }
        Ok(())
    }

    /// `_wait()`: an object that `await` answers the status of the child by; `None` if it is known.
    pub(super) fn exit_waiter(slf: &Bound<'_, Self>) -> PyResult<Result<i32, Py<Future>>> {
        let py = slf.py();
        if let Some(returncode) = slf.get().state.with(py, |state| state.returncode) {
            return Ok(Ok(returncode));
        }
        let Some(event_loop) = slf.get().event_loop(py) else {
            return Err(PyProcessLookupError::new_err(()));
        };
        let waiter = Future::create(&event_loop)?.unbind();
        let kept = waiter.clone_ref(py);
        slf.get().state.with(py, |state| state.exit_waiters.push(kept));
        Ok(Err(waiter))
    }

    /// A wait is over before the child is.
    pub(super) fn forget_exit_waiter(slf: &Bound<'_, Self>, waiter: &Py<Future>) {
        let forgotten = slf.get().state.with(slf.py(), |state| {
            let place = state.exit_waiters.iter().position(|known| known.is(waiter))?;
            Some(state.exit_waiters.swap_remove(place))
        });
        drop(forgotten);
    }
}

/// Whether a signal came too late for a child, which `close()` does not mind.
fn is_too_late(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyProcessLookupError>(py)
        // A child may have become another user's.
        || error.is_instance_of::<PyPermissionError>(py)
}
