//! A connection is made: the reader gets its transport, the server's callback its pair of streams.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyException;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::object::StreamReaderProtocol;
use crate::future::listen::{Closure, DoneListener, Listen, has_ear};
use crate::future::{Future, Link, exactly_native};
use crate::interpreter::fresh::{self, Text};
use crate::native::cell::AttachedCell;
use crate::standard::{Standard, exception_of};
use crate::stream::reader::StreamReader;
use crate::stream::release::Release;
use crate::stream::writer::StreamWriter;
use crate::transport::socket::SocketTransport;

/// What is said of a callback that fails, and of its task.
const FAILED: &str = "Unhandled exception in client_connected_cb";

impl StreamReaderProtocol {
    /// `connection_made(transport)`.
    ///
    /// # Errors
    /// `AssertionError` if the reader has a transport; what the callback raises, unless the running
    /// release reports that.
    pub(super) fn connected(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().state.with(py, |state| state.reject_connection) {
            return Self::reject(slf, transport);
        }
        let kept = transport.clone().unbind();
        drop(slf.get().state.with(py, |state| state.transport.replace(kept)));
        let reader = Self::reader(slf)?;
        if let Some(reader) = &reader {
            match reader.cast_exact::<StreamReader>() {
                Ok(native) if StreamReader::is_plain(native) => {
                    StreamReader::attach(native, transport)?;
                }
                _ => drop(reader.call_method1(intern!(py, "set_transport"), (transport,))?),
            }
        }
        let over_ssl = is_over_ssl(transport)?;
        slf.get().state.with(py, |state| state.over_ssl = over_ssl);
        let Some(callback) = slf.get().part(py, |state| &state.callback) else { return Ok(()) };
        let event_loop = Self::event_loop(slf)?;
        let reader = reader.unwrap_or_else(|| py.None().into_bound(py));
        let writer = StreamWriter::create(transport, slf, &reader, &event_loop)?;
        let release = Release::get(py)?;
        if release.keeps_writer {
            let kept = writer.clone().into_any().unbind();
            drop(slf.get().state.with(py, |state| state.writer.replace(kept)));
        }
        match callback.call1((reader, writer)) {
            Ok(answer) => Self::start(slf, &answer, &event_loop, transport)?,
            Err(error)
                if release.reports_raising_callback && error.is_instance_of::<PyException>(py) =>
            {
                let exception = exception_of(py, &error).into_any();
                report_failure(&event_loop, &exception, transport)?;
            }
            Err(error) => return Err(error),
        }
        drop(slf.get().state.with(py, |state| state.strong_reader.take()));
        Ok(())
    }

    /// Runs what the callback answered, if that is a coroutine.
    fn start(
        slf: &Bound<'_, Self>,
        answer: &Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
        transport: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        if !Standard::get(py)?.iscoroutine.bind(py).call1((answer,))?.is_truthy()? {
            return Ok(());
        }
        let task = event_loop.call_method1(intern!(py, "create_task"), (answer,))?;
        let kept = task.clone().unbind();
        drop(slf.get().state.with(py, |state| state.task.replace(kept)));
        let watch = Watch {
            state: AttachedCell::new(Some(Watched {
                event_loop: event_loop.clone().unbind(),
                transport: transport.clone().unbind(),
            })),
        };
        let watch = Bound::new(py, watch)?;
        if let Some(native) = exactly_native(&task) {
            return Future::add_link(native, Link::Listener(DoneListener::new(&watch)));
        }
        let callable = Watch::callable(&watch)?;
        task.call_method1(intern!(py, "add_done_callback"), (callable,)).map(drop)
    }

    fn reject(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let context = fresh::dict(py)?;
        let message = "An open stream was garbage collected prior to establishing network \
                       connection; call \"stream.close()\" explicitly.";
        context.set_item(intern!(py, "message"), Text(message))?;
        if let Some(source) = slf.get().part(py, |state| &state.source_traceback)
            && source.is_truthy()?
        {
            context.set_item(intern!(py, "source_traceback"), source)?;
        }
        let event_loop = Self::event_loop(slf)?;
        event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))?;
        transport.call_method0(intern!(py, "abort")).map(drop)
    }
}

/// Whether a transport has TLS in it.
pub(super) fn is_over_ssl(transport: &Bound<'_, PyAny>) -> PyResult<bool> {
    if transport.is_exact_instance_of::<SocketTransport>() {
        return Ok(false);
    }
    let py = transport.py();
    let name = intern!(py, "sslcontext");
    Ok(!transport.call_method1(intern!(py, "get_extra_info"), (name,))?.is_none())
}

/// Reports what a callback or its task has raised, which ends the connection.
fn report_failure(
    event_loop: &Bound<'_, PyAny>,
    exception: &Bound<'_, PyAny>,
    transport: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = event_loop.py();
    let context = fresh::dict(py)?;
    context.set_item(intern!(py, "message"), Text(FAILED))?;
    context.set_item(intern!(py, "exception"), exception)?;
    context.set_item(intern!(py, "transport"), transport)?;
    event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))?;
    transport.call_method0(intern!(py, "close")).map(drop)
}

#[derive(Debug)]
struct Watched {
    event_loop: Py<PyAny>,
    transport: Py<PyAny>,
}

/// What hears of the end of a callback's task.
#[pyclass(frozen, name = "callback", module = "asyncio.streams")]
#[derive(Debug)]
pub(super) struct Watch {
    /// None once the garbage collector has taken it apart.
    state: AttachedCell<Option<Watched>>,
}

made_at_the_start!(Watch);

impl Listen for Watch {
    has_ear!(Watch);

    fn hear(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let watched = slf.get().state.with(py, |state| {
            let watched = state.as_ref()?;
            Some((watched.event_loop.clone_ref(py), watched.transport.clone_ref(py)))
        });
        let Some((event_loop, transport)) = watched else { return Ok(()) };
        let transport = transport.bind(py);
        if Release::get(py)?.closes_with_cancelled_task
            && task.call_method0(intern!(py, "cancelled"))?.is_truthy()?
        {
            return transport.call_method0(intern!(py, "close")).map(drop);
        }
        let exception = task.call_method0(intern!(py, "exception"))?;
        if exception.is_none() {
            return Ok(());
        }
        report_failure(event_loop.bind(py), &exception, transport)
    }

    fn callable<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let name = "StreamReaderProtocol.connection_made.<locals>.callback";
        Closure::of(slf, name, |_, _| Ok(()))
    }
}

#[pymethods]
impl Watch {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| match state {
                Some(watched) => {
                    visit.call(&watched.event_loop)?;
                    visit.call(&watched.transport)
                }
                None => Ok(()),
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.replace(py, None));
    }
}
