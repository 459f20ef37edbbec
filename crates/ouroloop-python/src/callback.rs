//! What stands in a native loop's ready queue.

use ouroloop::Callback as Again;
use ouroloop::clock::Nanos;
use ouroloop::ready::Place;
use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::combine::timeout::Timeout;
use crate::context::{Snapshot, copy_current, run_in};
use crate::event_loop::Loop;
use crate::executor::settle;
use crate::future::listen::Listener as FutureListener;
use crate::future::{Future, Outcome};
use crate::handle::{Contents, Handle, Scheduled};
use crate::interpreter::fresh::{self, Text};
use crate::task::{StepMethod, Task, step, wakeup_method};
use crate::transport::datagram::{DatagramTransport, Event};
use crate::transport::listener::Listener;
use crate::transport::pipe::PipeEvent;
use crate::transport::socket::SocketTransport;
use crate::transport::subprocess::{self, SubprocessTransport};

/// One piece of work for a turn of the loop.
#[derive(Debug)]
pub(crate) enum Callback {
    /// The task's next step.
    Step(Py<Task>),
    /// A step that throws an exception into the coroutine.
    Throw(Py<Task>, Py<PyAny>),
    /// The step after the future that the task waited for has ended.
    Wakeup(Py<Task>, Py<PyAny>),
    /// A future's done callback.
    Done { callback: Py<PyAny>, future: Py<PyAny>, context: Py<PyAny> },
    /// A step of a task of the standard library's own: the callable by which it steps.
    Bare { callback: Py<PyAny>, context: Py<PyAny> },
    /// A native object is to hear that a future has ended.
    Ended(FutureListener, Py<PyAny>),
    /// A sleep is over: its future gets this result unless it is done.
    Expire(Py<Future>, Py<PyAny>),
    /// Another thread has done what this future waits for: it is to end so.
    Settle(Py<Future>, Outcome),
    /// A time-out's alarm of this number.
    Deadline(Py<Timeout>, u32),
    /// What `call_soon` and its kin schedule.
    Soon(Scheduled),
    /// A callback whose handle the loop owns.
    Call(Py<Handle>),
    /// What was cancelled in the queue.
    Nothing,
    /// The descriptor that this future waits for is ready.
    Ready(Py<Future>),
    /// A transport is to call its protocol's `connection_made`.
    Open(Py<SocketTransport>),
    /// A transport is to call its protocol's `connection_lost`.
    Lost(Py<SocketTransport>),
    /// A transport's descriptor is readable.
    Readable(Py<SocketTransport>),
    /// A transport's descriptor is writable.
    Writable(Py<SocketTransport>),
    /// A transport of datagrams is to hear of this.
    Datagram(Py<DatagramTransport>, Event),
    /// A listening descriptor has connections to accept.
    Accept(Py<Listener>),
    /// The protocol of an accepted connection is to be made.
    Welcome(Py<Listener>),
    /// Something happens to a pipe transport.
    Pipe(PipeEvent),
    /// Something happens to a subprocess transport.
    Process(Py<SubprocessTransport>, subprocess::Happening),
    /// A signal has arrived: its number waits in the loop's signal pipe.
    Signal,
}

impl Callback {
    /// An entry with a thin handle becomes one that owns it.
    #[inline(never)]
    fn leave_handle(&mut self) {
        if let Self::Soon(scheduled) = self
            && let Some(handle) = scheduled.leave()
        {
            *self = Self::Call(handle);
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`, which leave the loop; any other error has gone to
    /// the loop's exception handler.
    #[inline]
    pub(crate) fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        match self {
            Self::Step(task) => {
                let task = task.bind(py);
                step::step(task, event_loop, None)
                    .or_else(|error| report_step(event_loop, task, error))
            }
            Self::Wakeup(task, future) => {
                let task = task.bind(py);
                step::wake(task, event_loop, future.bind(py))
                    .or_else(|error| report_wakeup(event_loop, task, &future, error))
            }
            Self::Throw(task, error) => {
                let task = task.bind(py);
                let error = PyErr::from_value(error.into_bound(py));
                step::step(task, event_loop, Some(error))
                    .or_else(|error| report_step(event_loop, task, error))
            }
            // No code of the user's runs here that could ask for the current task.
            Self::Ended(listener, future) => listener
                .hear(future.bind(py))
                .or_else(|error| report_ended(event_loop, &listener, future, error)),
            other => {
                Loop::leave_task(event_loop)?;
                other.run_outside_tasks(event_loop)
            }
        }
    }

    #[inline]
    fn run_outside_tasks(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        match self {
            Self::Soon(scheduled) => scheduled.run(event_loop),
            Self::Call(handle) => Handle::run(handle.bind(py)),
            Self::Nothing => Ok(()),
            Self::Done { callback, future, context } => {
                // SAFETY: attached; both objects are alive.
                let answer = run_in(py, &context, || unsafe {
                    let answer = ffi::PyObject_CallOneArg(callback.as_ptr(), future.as_ptr());
                    Bound::from_owned_ptr_or_err(py, answer).map(drop)
                });
                answer.or_else(|error| report(event_loop, callback, Some(future), context, error))
            }
            Self::Bare { callback, context } => {
                // SAFETY: attached; the object is alive.
                let answer = run_in(py, &context, || unsafe {
                    let answer = ffi::PyObject_CallNoArgs(callback.as_ptr());
                    Bound::from_owned_ptr_or_err(py, answer).map(drop)
                });
                answer.or_else(|error| report(event_loop, callback, None, context, error))
            }
            Self::Expire(future, result) => {
                let future = future.bind(py);
                if future.get().is_done(py) {
                    return Ok(());
                }
                Future::finish(future, Outcome::Result(result))
            }
            Self::Settle(future, outcome) => settle(future.bind(py), outcome)
                .or_else(|error| report_settle(event_loop, future.bind(py), error)),
            Self::Ready(future) => {
                let future = future.bind(py);
                if future.get().is_done(py) {
                    return Ok(());
                }
                Future::finish(future, Outcome::Result(py.None()))
            }
            Self::Deadline(timeout, number) => Timeout::ring(timeout.bind(py), number)
                .or_else(|error| report_ring(event_loop, timeout.bind(py), error)),
            Self::Open(transport) => {
                confine(event_loop, transport.bind(py), SocketTransport::on_open)
            }
            Self::Lost(transport) => {
                confine(event_loop, transport.bind(py), SocketTransport::on_lost)
            }
            Self::Readable(transport) => {
                confine(event_loop, transport.bind(py), SocketTransport::on_readable)
            }
            Self::Writable(transport) => {
                confine(event_loop, transport.bind(py), SocketTransport::on_writable)
            }
            Self::Datagram(transport, event) => {
                confine(event_loop, transport.bind(py), |it| DatagramTransport::on(it, event))
            }
            Self::Accept(listener) => confine(event_loop, listener.bind(py), Listener::on_readable),
            Self::Welcome(listener) => {
                confine(event_loop, listener.bind(py), Listener::welcome_next)
            }
            Self::Pipe(event) => confine(event_loop, event.end().bind(py), |_| event.run(py)),
            Self::Process(transport, happening) => {
                confine(event_loop, transport.bind(py), |it| SubprocessTransport::on(it, happening))
            }
            Self::Signal => confine(event_loop, event_loop, Loop::read_signals),
            Self::Step(_) | Self::Throw(..) | Self::Wakeup(..) | Self::Ended(..) => {
                unreachable!("run by `run`")
            }
        }
    }

    /// What it is about: the handle or the callable, or the task, future or transport to which something happens.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn subject<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let subject = match self {
            Self::Step(task) | Self::Throw(task, _) | Self::Wakeup(task, _) => task.as_any(),
            Self::Done { callback, .. } | Self::Bare { callback, .. } => callback,
            Self::Ended(listener, _) => return listener.callable(py).map(Some),
            Self::Expire(future, _) | Self::Settle(future, _) | Self::Ready(future) => {
                future.as_any()
            }
            Self::Deadline(timeout, _) => timeout.as_any(),
            Self::Soon(scheduled) => return Ok(scheduled.callback(py)),
            Self::Call(handle) => handle.as_any(),
            Self::Open(transport)
            | Self::Lost(transport)
            | Self::Readable(transport)
            | Self::Writable(transport) => transport.as_any(),
            Self::Datagram(transport, _) => transport.as_any(),
            Self::Accept(listener) | Self::Welcome(listener) => listener.as_any(),
            Self::Pipe(event) => event.end(),
            Self::Process(transport, _) => transport.as_any(),
            Self::Nothing | Self::Signal => return Ok(None),
        };
        Ok(Some(subject.bind(py).clone()))
    }

    /// What debug mode calls it in its reports.
    pub(crate) fn describe(&self, py: Python<'_>) -> PyResult<String> {
        let shown = match (self, self.subject(py)?) {
            (Self::Call(_), Some(handle)) => {
                let callback = handle.getattr(Text("_callback"))?;
                match callback.getattr_opt(Text("__self__"))? {
                    Some(owner) if owner.is_instance(&task_class(py)?)? => owner.repr()?,
                    _ => handle.repr()?,
                }
            }
            (_, Some(subject)) => subject.repr()?,
            (Self::Nothing, None) => return Ok(String::from("<cancelled>")),
            (Self::Signal, None) => return Ok(String::from("<signal>")),
            (_, None) => return Ok(String::new()),
        };
        fresh::content(&shown)
    }

    /// Shows the garbage collector what the entry holds.
    pub(crate) fn visit(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Step(task) => visit.call(task),
            Self::Throw(task, object) | Self::Wakeup(task, object) => {
                visit.call(task)?;
                visit.call(object)
            }
            Self::Done { callback, future, context } => {
                visit.call(callback)?;
                visit.call(future)?;
                visit.call(context)
            }
            Self::Bare { callback, context } => {
                visit.call(callback)?;
                visit.call(context)
            }
            Self::Ended(listener, future) => {
                listener.visit(&visit)?;
                visit.call(future)
            }
            Self::Expire(future, result) => {
                visit.call(future)?;
                visit.call(result)
            }
            Self::Settle(future, outcome) => {
                visit.call(future)?;
                outcome.visit(&visit)
            }
            Self::Ready(future) => visit.call(future),
            Self::Deadline(timeout, _) => visit.call(timeout),
            Self::Soon(scheduled) => scheduled.visit(&visit),
            Self::Call(handle) => visit.call(handle),
            Self::Open(transport)
            | Self::Lost(transport)
            | Self::Readable(transport)
            | Self::Writable(transport) => visit.call(transport),
            Self::Datagram(transport, _) => visit.call(transport),
            Self::Accept(listener) | Self::Welcome(listener) => visit.call(listener),
            Self::Pipe(event) => event.visit(&visit),
            Self::Process(transport, _) => visit.call(transport),
            Self::Nothing | Self::Signal => Ok(()),
        }
    }
}

impl Again for Callback {
    #[inline]
    fn again(&self) -> Self {
        // SAFETY: the loop's descriptors are dispatched by its own turn, attached.
        let py = unsafe { Python::assume_attached() };
        match self {
            Self::Call(handle) => Self::Call(handle.clone_ref(py)),
            Self::Open(transport) => Self::Open(transport.clone_ref(py)),
            Self::Lost(transport) => Self::Lost(transport.clone_ref(py)),
            Self::Readable(transport) => Self::Readable(transport.clone_ref(py)),
            Self::Writable(transport) => Self::Writable(transport.clone_ref(py)),
            Self::Datagram(transport, event) => Self::Datagram(transport.clone_ref(py), *event),
            Self::Accept(listener) => Self::Accept(listener.clone_ref(py)),
            Self::Welcome(listener) => Self::Welcome(listener.clone_ref(py)),
            Self::Step(task) => Self::Step(task.clone_ref(py)),
            Self::Throw(task, error) => Self::Throw(task.clone_ref(py), error.clone_ref(py)),
            Self::Wakeup(task, future) => Self::Wakeup(task.clone_ref(py), future.clone_ref(py)),
            Self::Done { callback, future, context } => Self::Done {
                callback: callback.clone_ref(py),
                future: future.clone_ref(py),
                context: context.clone_ref(py),
            },
            Self::Bare { callback, context } => {
                Self::Bare { callback: callback.clone_ref(py), context: context.clone_ref(py) }
            }
            Self::Ended(listener, future) => {
                Self::Ended(listener.clone_ref(py), future.clone_ref(py))
            }
            Self::Expire(future, result) => {
                Self::Expire(future.clone_ref(py), result.clone_ref(py))
            }
            Self::Settle(future, outcome) => {
                Self::Settle(future.clone_ref(py), outcome.clone_ref(py))
            }
            Self::Ready(future) => Self::Ready(future.clone_ref(py)),
            Self::Deadline(timeout, number) => Self::Deadline(timeout.clone_ref(py), *number),
            Self::Soon(scheduled) => Self::Soon(scheduled.again(py)),
            Self::Nothing => Self::Nothing,
            Self::Pipe(event) => Self::Pipe(event.again(py)),
            Self::Process(transport, happening) => {
                Self::Process(transport.clone_ref(py), *happening)
            }
            Self::Signal => Self::Signal,
        }
    }

    fn due(&mut self, place: Place, deadline: Nanos) {
        if let Self::Soon(scheduled) = self {
            scheduled.due(place, deadline);
        }
    }

    #[inline]
    fn leave(&mut self) {
        if let Self::Soon(scheduled) = self
            && scheduled.is_held()
        {
            self.leave_handle();
        }
    }
}

/// Makes a call about `owner`. What goes wrong there and has not been reported ends neither the loop nor
/// what else waits in its turn.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
#[inline]
pub(crate) fn confine<'py, T>(
    event_loop: &Bound<'py, Loop>,
    owner: &Bound<'py, T>,
    call: impl FnOnce(&Bound<'py, T>) -> PyResult<()>,
) -> PyResult<()> {
    call(owner).or_else(|error| {
        let callback = owner.clone().into_any().unbind();
        report(event_loop, callback, None, copy_current(owner.py())?, error)
    })
}

fn task_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(crate::standard::Standard::get(py)?.task.bind(py).clone())
}

#[cold]
fn report_step(event_loop: &Bound<'_, Loop>, task: &Bound<'_, Task>, error: PyErr) -> PyResult<()> {
    let py = event_loop.py();
    let callback = Bound::new(py, StepMethod::new(task.clone().unbind(), None))?;
    report(event_loop, callback.into_any().unbind(), None, task.get().context(py), error)
}

#[cold]
fn report_wakeup(
    event_loop: &Bound<'_, Loop>,
    task: &Bound<'_, Task>,
    future: &Py<PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    let callback = wakeup_method(task)?.unbind();
    report(event_loop, callback, Some(future.clone_ref(py)), task.get().context(py), error)
}

#[cold]
fn report_ended(
    event_loop: &Bound<'_, Loop>,
    listener: &FutureListener,
    future: Py<PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    Loop::leave_task(event_loop)?;
    let callback = listener.callable(py)?.unbind();
    report(event_loop, callback, Some(future), copy_current(py)?, error)
}

#[cold]
fn report_settle(
    event_loop: &Bound<'_, Loop>,
    future: &Bound<'_, Future>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    let callback = future.getattr(Text("set_exception"))?.unbind();
    report(event_loop, callback, None, copy_current(py)?, error)
}

#[cold]
fn report_ring(
    event_loop: &Bound<'_, Loop>,
    timeout: &Bound<'_, Timeout>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    let callback = timeout.getattr(Text("_on_timeout"))?.unbind();
    report(event_loop, callback, None, copy_current(py)?, error)
}

/// Reports an error as that of a handle, which is what the exception handler expects.
#[cold]
fn report(
    event_loop: &Bound<'_, Loop>,
    callback: Py<PyAny>,
    argument: Option<Py<PyAny>>,
    context: Py<PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    let args = fresh::tuple(py, argument)?.into_any().unbind();
    let contents = Contents { callback, args, context: Snapshot::of(context) };
    Handle::report(&Handle::create(event_loop, contents)?, error)
}
