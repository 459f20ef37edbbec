//! `StreamReader` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyAssertionError, PyTypeError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyTuple};

use super::goals::{All, Exactly, Line, Purpose, Size, Some_, Until, line_too_long};
use super::object::{State, StreamReader, VALUE_OFFSET};
use super::separators::Separators;
use super::wait::{Reading, WaitForData};
use crate::coroutine::{Coroutine, Kept, Scope};
use crate::future::{Future, Home};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::instance_dict;
use crate::native::kinship::class_of;
use crate::native::method::{
    Arguments, Described, Method, Nullary, install_method, install_nullary, needed_argument,
    only_argument,
};
use crate::standard::Standard;
use crate::stream::limit::{DEFAULT_LIMIT, GivenLimit, Limit, check_limit};
use crate::waiting::Waiter;

consists_of!(
    StreamReader,
    ["_limit", "_loop", "_buffer", "_eof", "_waiter", "_exception", "_transport", "_paused"]
);

#[pymethods]
impl StreamReader {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(limit=65536, loop=None)")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new()
    }

    #[pyo3(signature = (limit=GivenLimit::default(), r#loop=None))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        limit: GivenLimit<'py>,
        r#loop: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let limit = limit.0.as_ref();
        check_limit(limit)?;
        Self::begin(slf, limit, &Future::default_loop(slf.py(), r#loop)?)
    }

    /// The standard class for native objects proper, so that `isinstance` holds; a subclass is
    /// its own.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, |standard| &standard.stream_reader)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        let this = slf.get();
        let (eof, paused, limit, waiter, exception, transport) = this.state.with(py, |state| {
            (
                state.eof,
                state.paused,
                state.limit.given().map(|limit| limit.clone_ref(py)),
                state.waiter.as_ref().map(|waiter| waiter.clone_ref(py).into_object()),
                state.exception.clone_ref(py),
                state.transport.clone_ref(py),
            )
        });
        let mut words = vec![String::from("StreamReader")];
        let length = this.buffer.len(py);
        if length > 0 {
            words.push(format!("{length} bytes"));
        }
        if eof {
            words.push(String::from("eof"));
        }
        if let Some(limit) = limit
            && limit.bind(py).ne(DEFAULT_LIMIT)?
        {
            words.push(fresh::text(format_args!("limit={}", limit.bind(py).str()?))?);
        }
        for (name, object) in
            [("waiter", waiter), ("exception", exception), ("transport", transport)]
        {
            if let Some(object) = object
                && object.bind(py).is_truthy()?
            {
                words.push(fresh::text(format_args!("{name}={}", object.bind(py).repr()?))?);
            }
        }
        if paused {
            words.push(String::from("paused"));
        }
        Ok(Text(fresh::text(format_args!("<{}>", fresh::listed(&words, " ")?))?))
    }

    /// The exception that was set, if one was.
    fn exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.failure(py)
    }

    /// Have every read raise `exc`, the one that waits first.
    fn set_exception(slf: &Bound<'_, Self>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::fail(slf, exc)
    }

    /// Say which transport to pause while too much is in the buffer.
    fn set_transport(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::attach(slf, transport)
    }

    #[pyo3(name = "_replace_transport")]
    fn replace_transport(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        if self.state.with(py, |state| state.transport.is_none()) {
            return Err(fresh::error::<PyAssertionError>("Transport not set"));
        }
        self.set_raw_transport(py, Some(transport.clone().unbind()));
        Ok(())
    }

    /// Say that nothing more will come.
    fn feed_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::end(slf)
    }

    /// Whether the stream has ended and all of it was read.
    fn at_eof(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.eof) && self.buffer.is_empty(py)
    }

    /// Put bytes that came into the buffer.
    fn feed_data(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        slf.get().refuse_after_eof(py)?;
        if let Ok(bytes) = data.cast_exact::<PyBytes>() {
            return if bytes.as_bytes().is_empty() { Ok(()) } else { Self::feed(slf, bytes) };
        }
        let _level = Level::enter(py)?;
        if !data.is_truthy()? {
            return Ok(());
        }
        let copy = fresh::byte_array(py, &[])?;
        copy.call_method1(intern!(py, "extend"), (data,))?;
        // SAFETY: nobody else has this object, so nothing changes it.
        Self::feed_copy(slf, unsafe { copy.as_bytes() })
    }

    /// Read up to a separator, which is the last of what is answered.
    ///
    /// From Python 3.13 on `separator` may be a tuple; the first of them to end counts. A cancelled
    /// call has taken nothing out. Raises `IncompleteReadError` at the end of the stream and
    /// `LimitOverrunError` if there is more than the limit before the separator.
    #[pyo3(
        signature = (separator=Separators::Newline),
        text_signature = "($self, separator=b'\\n')"
    )]
    fn readuntil<'py>(
        slf: &Bound<'py, Self>,
        separator: Separators,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::of(slf.py(), "StreamReader.readuntil", Reading::new(slf, Until::new(separator)))
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, Coroutine>>> {
        line(slf, "StreamReader.__anext__", Purpose::Next).map(Some)
    }

    #[pyo3(name = "_wakeup_waiter")]
    fn wakeup_waiter(&self, py: Python<'_>) -> PyResult<()> {
        self.wake_natively(py)
    }

    #[pyo3(name = "_maybe_resume_transport")]
    fn maybe_resume_transport(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::maybe_resume_natively(slf)
    }

    #[pyo3(name = "_wait_for_data")]
    fn wait_for_data<'py>(
        slf: &Bound<'py, Self>,
        func_name: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let body = WaitForData::new(slf, func_name);
        Coroutine::of(slf.py(), "StreamReader._wait_for_data", body)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.buffer.traverse(&visit)?;
            self.state.traverse(|state| {
                visit.call(state.home.object())?;
                visit.call(state.limit.given())?;
                state.waiter.as_ref().map_or(Ok(()), |waiter| waiter.visit(&visit))?;
                visit.call(&state.exception)?;
                visit.call(&state.transport)?;
                visit.call(&state.source_traceback)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: readers have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        self.buffer.forget(py);
        drop(self.state.replace(py, State::new()));
    }
}

/// The attributes that asyncio's readers have, for the libraries that use them.
#[pymethods]
impl StreamReader {
    #[getter(_buffer)]
    fn shown_buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        self.buffer.show(py)
    }

    #[setter(_buffer)]
    fn set_shown_buffer(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match value.cast::<PyByteArray>() {
            Ok(array) => {
                self.buffer.replace(array);
                Ok(())
            }
            Err(_) => {
                Err(fresh::error::<PyTypeError>("the buffer of a reader must be a bytearray"))
            }
        }
    }

    #[getter(_limit)]
    fn limit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.state.with(py, |state| state.limit.given().map(|limit| limit.clone_ref(py))) {
            Some(limit) => Ok(limit.into_bound(py)),
            None => Ok(fresh::size(py, DEFAULT_LIMIT)?.into_any()),
        }
    }

    #[setter(_limit)]
    fn set_limit(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let limit = Limit::of(value)?;
        drop(self.state.with(value.py(), |state| std::mem::replace(&mut state.limit, limit)));
        Ok(())
    }

    #[getter(_loop)]
    fn home<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::event_loop(slf)
    }

    #[setter(_loop)]
    fn set_home(&self, value: &Bound<'_, PyAny>) {
        let home = Home::of(value);
        drop(self.state.with(value.py(), |state| std::mem::replace(&mut state.home, home)));
    }

    #[getter(_eof)]
    fn eof(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.eof)
    }

    #[setter(_eof)]
    fn set_eof(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let eof = value.is_truthy()?;
        self.state.with(value.py(), |state| state.eof = eof);
        Ok(())
    }

    #[getter(_paused)]
    fn paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.paused)
    }

    #[setter(_paused)]
    fn set_paused(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let paused = value.is_truthy()?;
        self.state.with(value.py(), |state| state.paused = paused);
        Ok(())
    }

    #[getter(_waiter)]
    fn waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let waiter = self.state.with(py, |state| state.waiter.as_ref().map(|it| it.clone_ref(py)));
        waiter.map(Waiter::into_object)
    }

    #[setter(_waiter)]
    fn set_waiter(&self, py: Python<'_>, value: Option<Bound<'_, PyAny>>) {
        let waiter = value.map(Waiter::of);
        drop(self.state.with(py, |state| std::mem::replace(&mut state.waiter, waiter)));
    }

    #[getter(_exception)]
    fn raw_exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.failure(py)
    }

    #[setter(_exception)]
    fn set_raw_exception(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        drop(self.state.with(py, |state| std::mem::replace(&mut state.exception, value)));
    }

    #[getter(_transport)]
    fn raw_transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.transport(py)
    }

    #[setter(_transport)]
    fn set_raw_transport(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        drop(self.state.with(py, |state| std::mem::replace(&mut state.transport, value)));
    }

    #[getter(_source_traceback)]
    fn source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.source_traceback.clone_ref(py))
    }

    #[setter(_source_traceback)]
    fn set_source_traceback(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        drop(self.state.with(py, |state| std::mem::replace(&mut state.source_traceback, value)));
    }
}

/// `read(n=-1)`.
struct Read;

impl Method for Read {
    type Class = StreamReader;
    const DESCRIBED: Described = Described {
        name: c"read",
        doc: c"read($self, n=-1)\n--\n\n\
        Read what there is, up to `n` bytes, once there is something; without `n`, all until the end.\n\n\
        A cancelled call has taken nothing out, one without `n` all that came. At the end of the \
        stream it answers `b''`.",
    };

    #[inline]
    fn call<'py>(
        slf: &Bound<'py, StreamReader>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        const NAME: &str = "StreamReader.read";
        let size = only_argument(NAME, "n", arguments)?.map_or(Size::Known(-1), |n| Size::of(&n));
        let py = slf.py();
        let coroutine = match size {
            Size::Known(..0) if StreamReader::is_plain(slf) => {
                Coroutine::of(py, NAME, Reading::new(slf, All::new()))
            }
            Size::Known(..0) => Coroutine::new(py, NAME, |scope| {
                let reader = scope.keep(slf);
                read_all(scope, reader)
            }),
            size => Coroutine::of(py, NAME, Reading::new(slf, Some_::new(size))),
        };
        Ok(coroutine?.into_any())
    }
}

/// `readexactly(n)`.
struct ReadExactly;

impl Method for ReadExactly {
    type Class = StreamReader;
    const DESCRIBED: Described = Described {
        name: c"readexactly",
        doc: c"readexactly($self, n)\n--\n\n\
        Read `n` bytes.\n\n\
        A cancelled call has taken nothing out. Raises `IncompleteReadError` if the stream ends \
        before; its `partial` has what there was.",
    };

    #[inline]
    fn call<'py>(
        slf: &Bound<'py, StreamReader>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        const NAME: &str = "StreamReader.readexactly";
        let size = needed_argument(NAME, "n", arguments)?;
        let goal = Exactly::new(Size::of(&size));
        Ok(Coroutine::of(slf.py(), NAME, Reading::new(slf, goal))?.into_any())
    }
}

/// `readline()`.
struct ReadLine;

impl Nullary for ReadLine {
    type Class = StreamReader;
    const DESCRIBED: Described = Described {
        name: c"readline",
        doc: c"readline($self)\n--\n\n\
        Read a line with its newline, or what there is of it at the end of the stream.\n\n\
        A cancelled call has taken nothing out. Raises `ValueError` if the line is longer than the \
        limit; it is dropped then, as far as it has come.",
    };

    #[inline]
    fn call<'py>(slf: &Bound<'py, StreamReader>) -> PyResult<Bound<'py, PyAny>> {
        Ok(line(slf, "StreamReader.readline", Purpose::Line)?.into_any())
    }
}

fn line<'py>(
    slf: &Bound<'py, StreamReader>,
    name: &'static str,
    purpose: Purpose,
) -> PyResult<Bound<'py, Coroutine>> {
    if StreamReader::is_plain(slf) {
        return Coroutine::of(slf.py(), name, Reading::new(slf, Line::new(purpose)));
    }
    Coroutine::new(slf.py(), name, |scope| {
        let reader = scope.keep(slf);
        line_by_method(scope, reader, purpose)
    })
}

/// `read(-1)` by a `read` that may be anybody's.
async fn read_all(scope: Scope, reader: Kept<StreamReader>) -> PyResult<Py<PyAny>> {
    let pieces = Python::attach(|py| {
        if let Some(error) = scope.get(py, reader).get().failure(py) {
            return Err(super::goals::raise(error));
        }
        Ok(scope.keep(&fresh::list(py, [(); 0])?))
    })?;
    loop {
        let read = Python::attach(|py| -> PyResult<_> {
            let reader = scope.get(py, reader);
            let limit = reader.getattr(intern!(py, "_limit"))?;
            Ok(reader.call_method1(intern!(py, "read"), (limit,))?.unbind())
        })?;
        let piece = scope.wait(read).await?;
        let joined = Python::attach(|py| -> PyResult<_> {
            let pieces = scope.get(py, pieces);
            if piece.bind(py).is_truthy()? {
                pieces.append(piece)?;
                return Ok(None);
            }
            let joined = fresh::bytes(py, b"")?.call_method1(intern!(py, "join"), (pieces,))?;
            Ok(Some(joined.unbind()))
        })?;
        if let Some(joined) = joined {
            return Ok(joined);
        }
    }
}

/// `readline()` or a step of `async for` by a `readuntil` or `readline` that may be anybody's.
async fn line_by_method(
    scope: Scope,
    reader: Kept<StreamReader>,
    purpose: Purpose,
) -> PyResult<Py<PyAny>> {
    let read = Python::attach(|py| {
        let reader = scope.get(py, reader);
        match purpose {
            Purpose::Next => reader.call_method0(intern!(py, "readline")),
            Purpose::Line => {
                let newline = fresh::bytes(py, b"\n")?;
                reader.call_method1(intern!(py, "readuntil"), (newline,))
            }
        }
        .map(Bound::unbind)
    })?;
    let answer = scope.wait(read).await;
    Python::attach(|py| match (answer, purpose) {
        (Ok(line), purpose) => purpose.answer(line.into_bound(py)),
        (Err(error), Purpose::Next) => Err(error),
        (Err(error), Purpose::Line) => {
            let standard = Standard::get(py)?;
            if error.matches(py, standard.incomplete_read_error.bind(py))? {
                return Ok(error.value(py).getattr(intern!(py, "partial"))?.unbind());
            }
            if error.matches(py, standard.limit_overrun_error.bind(py))? {
                return Err(line_too_long(&scope.get(py, reader), error));
            }
            Err(error)
        }
    })
}

/// Makes the class complete.
pub(in crate::stream) fn install(py: Python<'_>) -> PyResult<()> {
    instance_dict::complete::<StreamReader>(py)?;
    VALUE_OFFSET.learn_from(py, StreamReader::new())?;
    install_method::<Read>(py)?;
    install_method::<ReadExactly>(py)?;
    install_nullary::<ReadLine>(py)
}
