//! Native coroutines: Rust `async fn`s that Python awaits.
//!
//! A [`Coroutine`] is stepped like any Python coroutine, by `send`, `throw` and `close`. Its body
//! is a Rust future that knows one way to wait: [`Scope::wait`], which steps a Python awaitable
//! and passes on whatever that yields. Both sides meet in the [`Exchange`]:
//!
//! 1. A step puts what it was sent, or the exception thrown, into `incoming` and polls the body.
//! 2. The innermost [`Scope::wait`] takes it and steps its awaitable with it. If that yields, the
//!    object goes into `outgoing` and the poll answers `Pending`; the step hands it out.
//! 3. The body is out of its cell during a poll, so a step from within is told from a first one.
//!
//! The wakers of Rust have no part in this: the task that drives the coroutine wakes it.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use pyo3::exceptions::{
    PyGeneratorExit, PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyValueError,
};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use crate::cell::AttachedCell;
use crate::future::iter::thrown;
use crate::slots::{Deallocate, Resume, Resumed};
use crate::standard::Standard;

type Body = Pin<Box<dyn Future<Output = PyResult<Py<PyAny>>>>>;

#[derive(Debug, Default)]
struct Exchange {
    incoming: RefCell<Option<Result<Py<PyAny>, PyErr>>>,
    outgoing: RefCell<Option<Py<PyAny>>>,
}

/// What a body waits through.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    exchange: Rc<Exchange>,
}

impl Scope {
    /// Waits for a Python awaitable and answers its result.
    ///
    /// Dropping the wait closes the awaitable.
    pub(crate) fn wait(&self, awaitable: Py<PyAny>) -> Wait {
        Wait { exchange: Rc::clone(&self.exchange), stage: Stage::Awaitable(awaitable) }
    }
}

/// `None`, for a body that has nothing to answer.
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method's own lifetime is not general enough"
)]
pub(crate) fn nothing() -> Py<PyAny> {
    Python::attach(|py| py.None())
}

#[derive(Debug)]
enum Stage {
    Awaitable(Py<PyAny>),
    Iterator(Py<PyAny>),
    Done,
}

/// The future of [`Scope::wait`].
#[derive(Debug)]
pub(crate) struct Wait {
    exchange: Rc<Exchange>,
    stage: Stage,
}

impl Future for Wait {
    type Output = PyResult<Py<PyAny>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Python::attach(|py| {
            let this = self.get_mut();
            let resumed = match std::mem::replace(&mut this.stage, Stage::Done) {
                Stage::Awaitable(awaitable) => {
                    let iterator = match iterator_of(awaitable.bind(py)) {
                        Ok(iterator) => iterator,
                        Err(error) => return Poll::Ready(Err(error)),
                    };
                    this.stage = Stage::Iterator(iterator.clone().unbind());
                    step(&iterator, Ok(py.None()))
                }
                Stage::Iterator(iterator) => {
                    let incoming = this.exchange.incoming.take().unwrap_or(Ok(py.None()));
                    this.stage = Stage::Iterator(iterator.clone_ref(py));
                    step(iterator.bind(py), incoming)
                }
                Stage::Done => unreachable!("polled after its end"),
            };
            match resumed {
                Resumed::Yielded(object) => {
                    this.exchange.outgoing.replace(Some(object));
                    Poll::Pending
                }
                Resumed::Returned(result) => {
                    this.stage = Stage::Done;
                    Poll::Ready(Ok(result))
                }
                Resumed::Raised(error) => {
                    this.stage = Stage::Done;
                    Poll::Ready(Err(error))
                }
            }
        })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Stage::Iterator(iterator) = &self.stage {
            Python::attach(|py| {
                // A coroutine may be dropped while an exception is on its way.
                let pending = PyErr::take(py);
                let iterator = iterator.bind(py);
                if let Err(error) = iterator.call_method0(intern!(py, "close")) {
                    error.write_unraisable(py, Some(iterator));
                }
                if let Some(pending) = pending {
                    pending.restore(py);
                }
            });
        }
    }
}

/// What `await awaitable` steps through.
fn iterator_of<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; compares the object's type.
    if unsafe { ffi::PyCoro_CheckExact(awaitable.as_ptr()) != 0 } {
        return Ok(awaitable.clone());
    }
    awaitable.call_method0(intern!(awaitable.py(), "__await__"))
}

fn step(iterator: &Bound<'_, PyAny>, incoming: Result<Py<PyAny>, PyErr>) -> Resumed {
    let py = iterator.py();
    match incoming {
        Ok(value) => {
            let mut answer = std::ptr::null_mut();
            // SAFETY: attached; both objects are alive, and by the contract of `PyIter_Send` the
            // answer is a new reference unless the status is an error, which has set one.
            unsafe {
                match ffi::PyIter_Send(iterator.as_ptr(), value.as_ptr(), &raw mut answer) {
                    ffi::PySendResult::PYGEN_NEXT => {
                        Resumed::Yielded(Bound::from_owned_ptr(py, answer).unbind())
                    }
                    ffi::PySendResult::PYGEN_RETURN => {
                        Resumed::Returned(Bound::from_owned_ptr(py, answer).unbind())
                    }
                    ffi::PySendResult::PYGEN_ERROR => Resumed::Raised(PyErr::fetch(py)),
                }
            }
        }
        Err(error) => {
            let throw = match iterator.getattr_opt(intern!(py, "throw")) {
                Ok(Some(throw)) => throw,
                Ok(None) => return Resumed::Raised(error),
                Err(lookup) => return Resumed::Raised(lookup),
            };
            match throw.call1((error.into_value(py),)) {
                Ok(object) => Resumed::Yielded(object.unbind()),
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
                    match error.value(py).getattr(intern!(py, "value")) {
                        Ok(value) => Resumed::Returned(value.unbind()),
                        Err(error) => Resumed::Raised(error),
                    }
                }
                Err(error) => Resumed::Raised(error),
            }
        }
    }
}

/// Where a coroutine's body is.
enum Stand {
    Fresh(Body),
    Suspended(Body),
    Stepping,
    Finished,
}

impl fmt::Debug for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh(_) => "Fresh",
            Self::Suspended(_) => "Suspended",
            Self::Stepping => "Stepping",
            Self::Finished => "Finished",
        })
    }
}

/// A coroutine object whose body is Rust; `asyncio.iscoroutine` holds for it.
#[pyclass(frozen, weakref, name = "coroutine", module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Coroutine {
    stand: AttachedCell<Stand>,
    exchange: AttachedCell<Rc<Exchange>>,
    name: &'static str,
}

impl Coroutine {
    /// A coroutine named `name` (a qualified name) that has not started.
    pub(crate) fn new<'py, F>(
        py: Python<'py>,
        name: &'static str,
        body: impl FnOnce(Scope) -> F,
    ) -> PyResult<Bound<'py, Self>>
    where
        F: Future<Output = PyResult<Py<PyAny>>> + 'static,
    {
        let exchange = Rc::new(Exchange::default());
        let body = body(Scope { exchange: Rc::clone(&exchange) });
        Bound::new(
            py,
            Self {
                stand: AttachedCell::new(Stand::Fresh(Box::pin(body))),
                exchange: AttachedCell::new(exchange),
                name,
            },
        )
    }

    fn step(slf: &Bound<'_, Self>, incoming: Result<Py<PyAny>, PyErr>) -> Resumed {
        let py = slf.py();
        let mut body = match slf.get().stand.replace(py, Stand::Stepping) {
            Stand::Fresh(body) => match incoming {
                Ok(value) if value.is_none(py) => body,
                Ok(_) => {
                    slf.get().stand.set(py, Stand::Fresh(body));
                    let message = "can't send non-None value to a just-started coroutine";
                    return Resumed::Raised(pyo3::exceptions::PyTypeError::new_err(message));
                }
                Err(error) => {
                    slf.get().stand.set(py, Stand::Finished);
                    drop(body);
                    return Resumed::Raised(error);
                }
            },
            Stand::Suspended(body) => {
                slf.get()
                    .exchange
                    .with(py, |exchange| Rc::clone(exchange))
                    .incoming
                    .replace(Some(incoming));
                body
            }
            Stand::Stepping => {
                return Resumed::Raised(PyValueError::new_err("coroutine already executing"));
            }
            Stand::Finished => {
                slf.get().stand.set(py, Stand::Finished);
                let message = "cannot reuse already awaited coroutine";
                return Resumed::Raised(PyRuntimeError::new_err(message));
            }
        };
        match body.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => {
                drop(body);
                slf.get().stand.set(py, Stand::Finished);
                match answer {
                    Ok(result) => Resumed::Returned(result),
                    Err(error) => Resumed::Raised(error),
                }
            }
            Poll::Pending => {
                slf.get().stand.set(py, Stand::Suspended(body));
                let exchange = slf.get().exchange.with(py, |exchange| Rc::clone(exchange));
                let outgoing = exchange.outgoing.take();
                Resumed::Yielded(outgoing.unwrap_or_else(|| py.None()))
            }
        }
    }

    fn is_fresh(&self, py: Python<'_>) -> bool {
        self.stand.with(py, |stand| matches!(stand, Stand::Fresh(_)))
    }
}

impl Resume for Coroutine {
    fn resume(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Resumed {
        Self::step(slf, Ok(value.clone().unbind()))
    }
}

fn answer(resumed: Resumed) -> PyResult<Py<PyAny>> {
    match resumed {
        Resumed::Yielded(object) => Ok(object),
        Resumed::Returned(result) => Err(PyErr::new::<PyStopIteration, _>((result,))),
        Resumed::Raised(error) => Err(error),
    }
}

#[pymethods]
impl Coroutine {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Replaced by the slots that [`Resume`] describes; here so that the type has them.
    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        answer(Self::step(slf, Ok(slf.py().None()))).map(Some)
    }

    fn send(slf: &Bound<'_, Self>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        answer(Self::step(slf, Ok(value)))
    }

    #[pyo3(signature = (exception, value=None, traceback=None, /))]
    fn throw(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let error = thrown(exception, value, traceback)?;
        answer(Self::step(slf, Err(error)))
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().stand.with(py, |stand| matches!(stand, Stand::Finished)) {
            return Ok(());
        }
        match Self::step(slf, Err(PyGeneratorExit::new_err(()))) {
            Resumed::Yielded(_) => Err(PyRuntimeError::new_err("coroutine ignored GeneratorExit")),
            Resumed::Returned(_) => Ok(()),
            Resumed::Raised(error) if error.is_instance_of::<PyGeneratorExit>(py) => Ok(()),
            Resumed::Raised(error) => Err(error),
        }
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.name
    }

    #[getter]
    fn cr_running(&self, py: Python<'_>) -> bool {
        self.stand.with(py, |stand| matches!(stand, Stand::Stepping))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<coroutine object {} at {:p}>", slf.get().name, slf.as_ptr())
    }
}

impl Deallocate for Coroutine {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().is_fresh(slf.py())
    }

    fn last_words(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let message = format!("coroutine '{}' was never awaited", slf.get().name);
        let warned = Standard::get(py).and_then(|standard| {
            standard.warn.bind(py).call1((message, py.get_type::<PyRuntimeWarning>()))
        });
        if let Err(error) = warned {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }
}

/// Makes the class complete.
pub(crate) fn install(py: Python<'_>) {
    crate::slots::install_deallocate::<Coroutine>(py);
    crate::slots::install_resume::<Coroutine>(py);
}
