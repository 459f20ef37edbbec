//! Objects of the standard library that native code needs, looked up once.

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::no_memory;

#[cfg(Py_3_14)]
mod recorder;

#[cfg(Py_3_14)]
use recorder::Recorder;

/// What is taken from the standard library, by module.
#[derive(Debug)]
pub(crate) struct Standard {
    pub(crate) cancelled_error: Py<PyAny>,
    pub(crate) invalid_state_error: Py<PyAny>,
    /// The namespaces in which a stock loop finds its classes.
    pub(crate) futures: Py<PyDict>,
    pub(crate) tasks: Py<PyDict>,
    pub(crate) future: Py<PyAny>,
    pub(crate) task: Py<PyAny>,
    pub(crate) handle: Py<PyAny>,
    #[cfg(Py_3_14)]
    pub(crate) thread_safe_handle: Py<PyAny>,
    pub(crate) timer_handle: Py<PyAny>,
    pub(crate) transport: Py<PyAny>,
    pub(crate) datagram_transport: Py<PyAny>,
    pub(crate) read_transport: Py<PyAny>,
    pub(crate) write_transport: Py<PyAny>,
    pub(crate) subprocess_transport: Py<PyAny>,
    pub(crate) base_subprocess: Py<PyAny>,
    #[cfg(not(Py_3_14))]
    pub(crate) unix_policy: Py<PyAny>,
    pub(crate) server: Py<PyAny>,
    pub(crate) transport_socket: Py<PyAny>,
    pub(crate) buffered_protocol: Py<PyAny>,
    pub(crate) flow_control: Py<PyAny>,
    pub(crate) lock: Py<PyAny>,
    pub(crate) event: Py<PyAny>,
    pub(crate) condition: Py<PyAny>,
    pub(crate) semaphore: Py<PyAny>,
    pub(crate) bounded_semaphore: Py<PyAny>,
    pub(crate) barrier: Py<PyAny>,
    pub(crate) broken_barrier_error: Py<PyAny>,
    pub(crate) get_event_loop: Py<PyAny>,
    pub(crate) get_running_loop: Py<PyAny>,
    pub(crate) set_running_loop: Py<PyAny>,
    pub(crate) run_until_complete_cb: Py<PyAny>,
    #[cfg(Py_3_12)]
    pub(crate) eager_task_factory: Py<PyAny>,
    pub(crate) ensure_future: Py<PyAny>,
    pub(crate) set_result_unless_cancelled: Py<PyAny>,
    pub(crate) gather: Py<PyAny>,
    pub(crate) wait: Py<PyAny>,
    pub(crate) sleep: Py<PyAny>,
    pub(crate) iscoroutine: Py<PyAny>,
    pub(crate) isfuture: Py<PyAny>,
    pub(crate) isawaitable: Py<PyAny>,
    pub(crate) gathering_future: Py<PyAny>,
    pub(crate) concurrent_future: Py<PyAny>,
    pub(crate) concurrent_cancelled_error: Py<PyAny>,
    pub(crate) concurrent_invalid_state_error: Py<PyAny>,
    pub(crate) partial: Py<PyAny>,
    pub(crate) coroutine: Py<PyAny>,
    #[cfg(Py_3_14)]
    pub(crate) python_task: Py<PyAny>,
    pub(crate) function: Py<PyAny>,
    #[cfg(Py_3_14)]
    pub(crate) method: Py<PyAny>,
    #[cfg(Py_3_14)]
    pub(crate) add_to_awaited_by: Recorder,
    #[cfg(Py_3_14)]
    pub(crate) discard_from_awaited_by: Recorder,
    /// What `shield` leaves behind on the inner future; not every patch release has it.
    pub(crate) log_on_exception: Option<Py<PyAny>>,
    pub(crate) iscoroutinefunction: Py<PyAny>,
    pub(crate) future_repr: Py<PyAny>,
    pub(crate) task_repr: Py<PyAny>,
    pub(crate) task_get_stack: Py<PyAny>,
    pub(crate) task_print_stack: Py<PyAny>,
    pub(crate) handle_repr_info: Py<PyAny>,
    pub(crate) extract_stack: Py<PyAny>,
    pub(crate) format_callback_source: Py<PyAny>,
    pub(crate) logger: Py<PyAny>,
    pub(crate) thread_pool_executor: Py<PyAny>,
    pub(crate) thread: Py<PyAny>,
    pub(crate) warn: Py<PyAny>,
    pub(crate) weak_set: Py<PyAny>,
    pub(crate) deque: Py<PyAny>,
    pub(crate) heappush: Py<PyAny>,
    pub(crate) heappop: Py<PyAny>,
    pub(crate) queue: Py<PyAny>,
    pub(crate) priority_queue: Py<PyAny>,
    pub(crate) lifo_queue: Py<PyAny>,
    pub(crate) queue_empty: Py<PyAny>,
    pub(crate) queue_full: Py<PyAny>,
    pub(crate) stream_reader: Py<PyAny>,
    pub(crate) stream_writer: Py<PyAny>,
    pub(crate) stream_reader_protocol: Py<PyAny>,
    pub(crate) incomplete_read_error: Py<PyAny>,
    pub(crate) limit_overrun_error: Py<PyAny>,
    pub(crate) release_waiter: Py<PyAny>,
    pub(crate) timeout: Py<PyAny>,
    pub(crate) task_group: Py<PyAny>,
    pub(crate) socket: Py<PyAny>,
    /// What `socket.socket` derives from.
    pub(crate) raw_socket: Py<PyAny>,
    pub(crate) socket_module: Py<PyAny>,
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

    #[cold]
    fn look_up(py: Python<'_>) -> PyResult<Self> {
        let from = |module: &str, path: &str| -> PyResult<Py<PyAny>> {
            let mut object = py.import(module)?.into_any();
            for name in path.split('.') {
                object = object.getattr(name)?;
            }
            Ok(object.unbind())
        };
        Ok(Self {
            cancelled_error: from("asyncio.exceptions", "CancelledError")?,
            invalid_state_error: from("asyncio.exceptions", "InvalidStateError")?,
            futures: py.import(Text("asyncio.futures"))?.dict().unbind(),
            tasks: py.import(Text("asyncio.tasks"))?.dict().unbind(),
            future: from("asyncio.futures", "Future")?,
            task: from("asyncio.tasks", "Task")?,
            handle: from("asyncio.events", "Handle")?,
            #[cfg(Py_3_14)]
            thread_safe_handle: from("asyncio.events", "_ThreadSafeHandle")?,
            timer_handle: from("asyncio.events", "TimerHandle")?,
            transport: from("asyncio.transports", "Transport")?,
            datagram_transport: datagram_transport(py)?,
            read_transport: from("asyncio.transports", "ReadTransport")?,
            write_transport: from("asyncio.transports", "WriteTransport")?,
            subprocess_transport: from("asyncio.transports", "SubprocessTransport")?,
            base_subprocess: py.import(Text("asyncio.base_subprocess"))?.into_any().unbind(),
            #[cfg(not(Py_3_14))]
            unix_policy: from("asyncio.unix_events", "_UnixDefaultEventLoopPolicy")?,
            server: from("asyncio.base_events", "Server")?,
            transport_socket: from("asyncio.trsock", "TransportSocket")?,
            buffered_protocol: from("asyncio.protocols", "BufferedProtocol")?,
            flow_control: from("asyncio.streams", "FlowControlMixin")?,
            lock: from("asyncio.locks", "Lock")?,
            event: from("asyncio.locks", "Event")?,
            condition: from("asyncio.locks", "Condition")?,
            semaphore: from("asyncio.locks", "Semaphore")?,
            bounded_semaphore: from("asyncio.locks", "BoundedSemaphore")?,
            barrier: from("asyncio.locks", "Barrier")?,
            broken_barrier_error: from("asyncio.exceptions", "BrokenBarrierError")?,
            get_event_loop: from("asyncio.events", "get_event_loop")?,
            get_running_loop: from("asyncio.events", "_get_running_loop")?,
            set_running_loop: from("asyncio.events", "_set_running_loop")?,
            run_until_complete_cb: from("asyncio.base_events", "_run_until_complete_cb")?,
            #[cfg(Py_3_12)]
            eager_task_factory: from("asyncio.tasks", "eager_task_factory")?,
            ensure_future: from("asyncio.tasks", "ensure_future")?,
            set_result_unless_cancelled: from("asyncio.futures", "_set_result_unless_cancelled")?,
            gather: from("asyncio.tasks", "gather")?,
            wait: from("asyncio.tasks", "wait")?,
            sleep: from("asyncio.tasks", "sleep")?,
            iscoroutine: from("asyncio.coroutines", "iscoroutine")?,
            isfuture: from("asyncio.base_futures", "isfuture")?,
            isawaitable: from("inspect", "isawaitable")?,
            gathering_future: from("asyncio.tasks", "_GatheringFuture")?,
            concurrent_future: from("concurrent.futures", "Future")?,
            concurrent_cancelled_error: from("concurrent.futures", "CancelledError")?,
            concurrent_invalid_state_error: from("concurrent.futures", "InvalidStateError")?,
            partial: from("functools", "partial")?,
            coroutine: from("types", "CoroutineType")?,
            function: from("types", "FunctionType")?,
            #[cfg(Py_3_14)]
            method: from("types", "MethodType")?,
            #[cfg(Py_3_14)]
            python_task: from("asyncio.tasks", "_PyTask")?,
            #[cfg(Py_3_14)]
            add_to_awaited_by: Recorder::named(py, "future_add_to_awaited_by")?,
            #[cfg(Py_3_14)]
            discard_from_awaited_by: Recorder::named(py, "future_discard_from_awaited_by")?,
            log_on_exception: from("asyncio.tasks", "_log_on_exception").ok(),
            iscoroutinefunction: from("inspect", "iscoroutinefunction")?,
            future_repr: from("asyncio.base_futures", "_future_repr")?,
            task_repr: from("asyncio.base_tasks", "_task_repr")?,
            task_get_stack: from("asyncio.base_tasks", "_task_get_stack")?,
            task_print_stack: from("asyncio.base_tasks", "_task_print_stack")?,
            handle_repr_info: from("asyncio.events", "Handle._repr_info")?,
            extract_stack: from("asyncio.format_helpers", "extract_stack")?,
            format_callback_source: from("asyncio.format_helpers", "_format_callback_source")?,
            logger: from("asyncio.log", "logger")?,
            thread_pool_executor: from("concurrent.futures", "ThreadPoolExecutor")?,
            thread: from("threading", "Thread")?,
            warn: from("warnings", "warn")?,
            weak_set: from("weakref", "WeakSet")?,
            deque: from("collections", "deque")?,
            heappush: from("heapq", "heappush")?,
            heappop: from("heapq", "heappop")?,
            queue: from("asyncio.queues", "Queue")?,
            priority_queue: from("asyncio.queues", "PriorityQueue")?,
            lifo_queue: from("asyncio.queues", "LifoQueue")?,
            queue_empty: from("asyncio.queues", "QueueEmpty")?,
            queue_full: from("asyncio.queues", "QueueFull")?,
            stream_reader: from("asyncio.streams", "StreamReader")?,
            stream_writer: from("asyncio.streams", "StreamWriter")?,
            stream_reader_protocol: from("asyncio.streams", "StreamReaderProtocol")?,
            incomplete_read_error: from("asyncio.exceptions", "IncompleteReadError")?,
            limit_overrun_error: from("asyncio.exceptions", "LimitOverrunError")?,
            release_waiter: from("asyncio.tasks", "_release_waiter")?,
            timeout: from("asyncio.timeouts", "Timeout")?,
            task_group: from("asyncio.taskgroups", "TaskGroup")?,
            socket: from("socket", "socket")?,
            raw_socket: from("_socket", "socket")?,
            socket_module: py.import(Text("socket"))?.into_any().unbind(),
        })
    }
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
