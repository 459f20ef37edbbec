//! The list of what is looked up, and what a few of them are used for.

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::no_memory;

#[cfg(Py_3_14)]
use super::recorder::{Recorder, recorder};

/// Makes [`Standard`] of a list: a field, its type unless it is `Py<PyAny>`, and where it is looked up, which is by
/// [`attribute`] unless another function is named. They are looked up in the order in which they stand.
macro_rules! standard_objects {
    ($(
        $(#[cfg($condition:meta)])?
        $(#[doc = $doc:literal])*
        $field:ident $(: $class:ty)? = $($look_up:ident)? ($($argument:literal),*),
    )*) => {
        /// What is taken from the standard library, by module.
        #[derive(Debug)]
        pub(crate) struct Standard {
            $(
                $(#[cfg($condition)])?
                $(#[doc = $doc])*
                pub(crate) $field: standard_objects!(@class $($class)?),
            )*
        }

        impl Standard {
            #[cold]
            fn look_up(py: Python<'_>) -> PyResult<Self> {
                Ok(Self {
                    $(
                        $(#[cfg($condition)])?
                        $field: standard_objects!(@look_up $($look_up)?)(py, $($argument),*)?,
                    )*
                })
            }
        }
    };
    (@class) => { Py<PyAny> };
    (@class $class:ty) => { $class };
    (@look_up) => { attribute };
    (@look_up $look_up:ident) => { $look_up };
}

standard_objects! {
    cancelled_error = ("asyncio.exceptions", "CancelledError"),
    invalid_state_error = ("asyncio.exceptions", "InvalidStateError"),
    /// The namespaces in which a stock loop finds its classes.
    futures: Py<PyDict> = namespace("asyncio.futures"),
    tasks: Py<PyDict> = namespace("asyncio.tasks"),
    future = ("asyncio.futures", "Future"),
    task = ("asyncio.tasks", "Task"),
    handle = ("asyncio.events", "Handle"),
    #[cfg(Py_3_14)]
    thread_safe_handle = ("asyncio.events", "_ThreadSafeHandle"),
    timer_handle = ("asyncio.events", "TimerHandle"),
    transport = ("asyncio.transports", "Transport"),
    datagram_transport = datagram_transport(),
    read_transport = ("asyncio.transports", "ReadTransport"),
    write_transport = ("asyncio.transports", "WriteTransport"),
    subprocess_transport = ("asyncio.transports", "SubprocessTransport"),
    base_subprocess = module("asyncio.base_subprocess"),
    #[cfg(not(Py_3_14))]
    unix_policy = ("asyncio.unix_events", "_UnixDefaultEventLoopPolicy"),
    server = ("asyncio.base_events", "Server"),
    transport_socket = ("asyncio.trsock", "TransportSocket"),
    buffered_protocol = ("asyncio.protocols", "BufferedProtocol"),
    flow_control = ("asyncio.streams", "FlowControlMixin"),
    lock = ("asyncio.locks", "Lock"),
    event = ("asyncio.locks", "Event"),
    condition = ("asyncio.locks", "Condition"),
    semaphore = ("asyncio.locks", "Semaphore"),
    bounded_semaphore = ("asyncio.locks", "BoundedSemaphore"),
    barrier = ("asyncio.locks", "Barrier"),
    broken_barrier_error = ("asyncio.exceptions", "BrokenBarrierError"),
    get_event_loop = ("asyncio.events", "get_event_loop"),
    get_running_loop = ("asyncio.events", "_get_running_loop"),
    set_running_loop = ("asyncio.events", "_set_running_loop"),
    run_until_complete_cb = ("asyncio.base_events", "_run_until_complete_cb"),
    #[cfg(Py_3_12)]
    eager_task_factory = ("asyncio.tasks", "eager_task_factory"),
    ensure_future = ("asyncio.tasks", "ensure_future"),
    set_result_unless_cancelled = ("asyncio.futures", "_set_result_unless_cancelled"),
    gather = ("asyncio.tasks", "gather"),
    wait = ("asyncio.tasks", "wait"),
    sleep = ("asyncio.tasks", "sleep"),
    iscoroutine = ("asyncio.coroutines", "iscoroutine"),
    isfuture = ("asyncio.base_futures", "isfuture"),
    isawaitable = ("inspect", "isawaitable"),
    gathering_future = ("asyncio.tasks", "_GatheringFuture"),
    concurrent_future = ("concurrent.futures", "Future"),
    concurrent_cancelled_error = ("concurrent.futures", "CancelledError"),
    concurrent_invalid_state_error = ("concurrent.futures", "InvalidStateError"),
    partial = ("functools", "partial"),
    coroutine = ("types", "CoroutineType"),
    function = ("types", "FunctionType"),
    #[cfg(Py_3_14)]
    method = ("types", "MethodType"),
    #[cfg(Py_3_14)]
    python_task = ("asyncio.tasks", "_PyTask"),
    #[cfg(Py_3_14)]
    add_to_awaited_by: Recorder = recorder("future_add_to_awaited_by"),
    #[cfg(Py_3_14)]
    discard_from_awaited_by: Recorder = recorder("future_discard_from_awaited_by"),
    /// What `shield` leaves behind on the inner future; not every patch release has it.
    log_on_exception: Option<Py<PyAny>> = perhaps("asyncio.tasks", "_log_on_exception"),
    iscoroutinefunction = ("inspect", "iscoroutinefunction"),
    future_repr = ("asyncio.base_futures", "_future_repr"),
    task_repr = ("asyncio.base_tasks", "_task_repr"),
    task_get_stack = ("asyncio.base_tasks", "_task_get_stack"),
    task_print_stack = ("asyncio.base_tasks", "_task_print_stack"),
    handle_repr_info = ("asyncio.events", "Handle._repr_info"),
    extract_stack = ("asyncio.format_helpers", "extract_stack"),
    format_callback_source = ("asyncio.format_helpers", "_format_callback_source"),
    logger = ("asyncio.log", "logger"),
    thread_pool_executor = ("concurrent.futures", "ThreadPoolExecutor"),
    thread = ("threading", "Thread"),
    warn = ("warnings", "warn"),
    weak_set = ("weakref", "WeakSet"),
    deque = ("collections", "deque"),
    heappush = ("heapq", "heappush"),
    heappop = ("heapq", "heappop"),
    queue = ("asyncio.queues", "Queue"),
    priority_queue = ("asyncio.queues", "PriorityQueue"),
    lifo_queue = ("asyncio.queues", "LifoQueue"),
    queue_empty = ("asyncio.queues", "QueueEmpty"),
    queue_full = ("asyncio.queues", "QueueFull"),
    stream_reader = ("asyncio.streams", "StreamReader"),
    stream_writer = ("asyncio.streams", "StreamWriter"),
    stream_reader_protocol = ("asyncio.streams", "StreamReaderProtocol"),
    incomplete_read_error = ("asyncio.exceptions", "IncompleteReadError"),
    limit_overrun_error = ("asyncio.exceptions", "LimitOverrunError"),
    release_waiter = ("asyncio.tasks", "_release_waiter"),
    timeout = ("asyncio.timeouts", "Timeout"),
    task_group = ("asyncio.taskgroups", "TaskGroup"),
    socket = ("socket", "socket"),
    /// What `socket.socket` derives from.
    raw_socket = ("_socket", "socket"),
    socket_module = module("socket"),
}

static STANDARD: PyOnceLock<Standard> = PyOnceLock::new();

impl Standard {
    /// The lookups of this interpreter.
    ///
    /// # Errors
    /// Whatever importing asyncio raises, and `AttributeError` on a version that is not supported.
    #[inline]
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        STANDARD.get_or_try_init(py, || Self::look_up(py))
    }
}

/// What a module has by this name, or one of its objects by a dotted one.
fn attribute(py: Python<'_>, module: &str, path: &str) -> PyResult<Py<PyAny>> {
    let mut object = py.import(module)?.into_any();
    for name in path.split('.') {
        object = object.getattr(name)?;
    }
    Ok(object.unbind())
}

/// [`attribute`], where not every release has it.
#[expect(clippy::unnecessary_wraps, reason = "as the others of the list are")]
fn perhaps(py: Python<'_>, module: &str, path: &str) -> PyResult<Option<Py<PyAny>>> {
    Ok(attribute(py, module, path).ok())
}

fn module(py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
    Ok(py.import(Text(name))?.into_any().unbind())
}

/// What a module's functions find by name.
fn namespace(py: Python<'_>, module: &str) -> PyResult<Py<PyDict>> {
    Ok(py.import(Text(module))?.dict().unbind())
}

/// What a datagram transport says it is: asyncio's own are `DatagramTransport`s (from 3.12 on) and,
/// by the machinery that they share with streams, `Transport`s.
fn datagram_transport(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let transports = py.import(Text("asyncio.transports"))?;
    let bases =
        (transports.getattr(Text("DatagramTransport"))?, transports.getattr(Text("Transport"))?);
    let namespace = fresh::dict(py)?;
    namespace.set_item(Text("__module__"), Text("ouroloop"))?;
    namespace.set_item(Text("__slots__"), PyTuple::empty(py))?;
    Ok(py.get_type::<PyType>().call1((Text("DatagramTransport"), bases, namespace))?.unbind())
}

/// `warnings.warn`, for a call here and now.
///
/// It asks for the frame that runs, of which the interpreter makes an object when somebody first asks, and
/// takes a frame that there was no memory for as none at all; the name of the file is then another thing that
/// it does not check. Who asks before it leaves the object there.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn warner(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    // SAFETY: attached; the globals are borrowed and only looked at, and the frame, if there is one, is a new
    // reference.
    unsafe {
        if !ffi::PyEval_GetGlobals().is_null() {
            let frame = ffi::PyThreadState_GetFrame(ffi::PyThreadState_Get());
            if frame.is_null() {
                return Err(no_memory(py));
            }
            ffi::Py_DECREF(frame.cast());
        }
    }
    Ok(Standard::get(py)?.warn.bind(py))
}

/// The standard exception `asyncio.InvalidStateError` with a message.
pub(crate) fn invalid_state(py: Python<'_>, message: &str) -> PyErr {
    match Standard::get(py)
        .and_then(|standard| standard.invalid_state_error.call1(py, (Text(message),)))
    {
        Ok(error) => raised(error.into_bound(py)),
        Err(error) => error,
    }
}

/// An exception object as the error that raises it here and now: like every error that starts in
/// C code, and unlike `PyErr::from_value`, it gets what is being handled as its `__context__`.
pub(crate) fn raised(exception: Bound<'_, PyAny>) -> PyErr {
    let py = exception.py();
    // SAFETY: attached, and both are live; an object that is no exception leaves a `SystemError`.
    unsafe { ffi::PyErr_SetObject(exception.get_type().as_type_ptr().cast(), exception.as_ptr()) };
    PyErr::fetch(py)
}

/// [`raised`], as by `raise exception from None`.
pub(crate) fn raised_from_none(exception: Bound<'_, PyBaseException>) -> PyErr {
    // SAFETY: attached, and it is an exception; no cause hides the context, too.
    unsafe { ffi::PyException_SetCause(exception.as_ptr(), std::ptr::null_mut()) };
    raised(exception.into_any())
}

/// The exception object of an error, with the traceback of where it was raised: before Python
/// 3.12 the two are kept apart until somebody joins them.
pub(crate) fn exception_of<'py>(py: Python<'py>, error: &PyErr) -> Bound<'py, PyBaseException> {
    error.clone_ref(py).into_value(py).into_bound(py)
}
