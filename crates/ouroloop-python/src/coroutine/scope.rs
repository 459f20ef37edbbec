//! Bodies written as Rust `async fn`s.
//!
//! The body knows one way to wait: [`Scope::wait`], which steps a Python awaitable and passes on
//! whatever that yields. Both sides meet in the [`Exchange`]:
//!
//! 1. A step puts what it was sent, or the exception thrown, into `incoming` and polls the body.
//! 2. The innermost [`Scope::wait`] takes it and steps its awaitable with it. If that yields, the
//!    object goes into `outgoing` and the poll answers `Pending`; the step hands it out.
//!
//! The garbage collector cannot look into a Rust future, so what a body holds across a wait belongs
//! in the exchange: a body *keeps* an object there ([`Scope::keep`]) and holds a [`Kept`], by
//! which it gets at it. A plain `Py` held across a wait is safe too, but a cycle through it is never
//! collected. The wakers of Rust have no part in this: the task that drives the coroutine wakes it.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::body::{Body, Incoming};
use super::drive::{close, iterator_of, step_into};
use super::object::Coroutine;
use crate::interpreter::pending::Pending;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::{boxed, no_memory};
use crate::native::cell::AttachedCell;
use crate::native::slots::Resumed;

#[derive(Debug)]
struct Exchange {
    incoming: AttachedCell<Option<Result<Py<PyAny>, PyErr>>>,
    outgoing: AttachedCell<Option<Py<PyAny>>>,
    kept: AttachedCell<Vec<Option<Py<PyAny>>>>,
    /// Where the iterator of the innermost wait is kept.
    awaited: AttachedCell<Option<usize>>,
}

/// What a body waits through and keeps its objects in.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    exchange: Rc<Exchange>,
}

/// The place of an object of class `T` that the garbage collector can see.
pub(crate) struct Kept<T = PyAny> {
    place: usize,
    class: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.place)
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Kept<T> {}

impl Scope {
    /// Waits for a Python awaitable and answers its result.
    ///
    /// Dropping the wait closes the awaitable.
    pub(crate) fn wait(&self, awaitable: Py<PyAny>) -> ScopeWait {
        ScopeWait { scope: self.clone(), stage: WaitStage::Awaitable(awaitable) }
    }

    /// Keeps an object until the body ends or lets it go.
    pub(crate) fn keep<T>(&self, object: &Bound<'_, T>) -> Kept<T> {
        let reference = object.as_any().clone().unbind();
        let place = self.exchange.kept.with(object.py(), |kept| {
            if let Some(place) = kept.iter().position(Option::is_none) {
                kept[place] = Some(reference);
                place
            } else {
                kept.push(Some(reference));
                kept.len() - 1
            }
        });
        Kept { place, class: PhantomData }
    }

    /// An object that is kept.
    pub(crate) fn get<'py, T>(&self, py: Python<'py>, kept: Kept<T>) -> Bound<'py, T> {
        let object = self.exchange.kept.with(py, |objects| objects[kept.place].clone_ref(py));
        let object = object.expect("a kept object was let go").into_bound(py);
        // SAFETY: `Kept<T>` is made by `keep` alone, from an object of class `T`.
        unsafe { object.cast_into_unchecked() }
    }

    /// Ends the keeping of an object; answers it.
    pub(crate) fn let_go<T>(&self, py: Python<'_>, kept: Kept<T>) -> Option<Py<PyAny>> {
        self.exchange.kept.with(py, |objects| objects[kept.place].take())
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
enum WaitStage {
    Awaitable(Py<PyAny>),
    Iterator(Kept),
    Done,
}

/// The future of [`Scope::wait`].
#[derive(Debug)]
pub(crate) struct ScopeWait {
    scope: Scope,
    stage: WaitStage,
}

impl Future for ScopeWait {
    type Output = PyResult<Py<PyAny>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: bodies are polled by `AsyncBody::step` alone, which is attached.
        let py = unsafe { Python::assume_attached() };
        let this = self.get_mut();
        let (kept, resumed) = match std::mem::replace(&mut this.stage, WaitStage::Done) {
            WaitStage::Awaitable(awaitable) => {
                let iterator = match iterator_of(awaitable.bind(py)) {
                    Ok(iterator) => iterator,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                let resumed = step_into(&iterator, Ok(py.None().into_bound(py)));
                if !matches!(resumed, Resumed::Yielded(_)) {
                    return Poll::Ready(ended(resumed));
                }
                (this.scope.keep(&iterator), resumed)
            }
            WaitStage::Iterator(kept) => {
                let incoming = this.scope.exchange.incoming.replace(py, None);
                let incoming = incoming.unwrap_or_else(|| Ok(py.None()));
                let iterator = this.scope.get(py, kept);
                (kept, step_into(&iterator, incoming.map(|value| value.into_bound(py))))
            }
            WaitStage::Done => unreachable!("polled after its end"),
        };
        match resumed {
            Resumed::Yielded(object) => {
                this.stage = WaitStage::Iterator(kept);
                this.scope.exchange.awaited.set(py, Some(kept.place));
                drop(this.scope.exchange.outgoing.replace(py, Some(object)));
                Poll::Pending
            }
            last => {
                drop(this.scope.let_go(py, kept));
                Poll::Ready(ended(last))
            }
        }
    }
}

fn ended(resumed: Resumed) -> PyResult<Py<PyAny>> {
    match resumed {
        Resumed::Yielded(object) | Resumed::Returned(object) => Ok(object),
        Resumed::Raised(error) => Err(error),
    }
}

impl Drop for ScopeWait {
    fn drop(&mut self) {
        let WaitStage::Iterator(kept) = self.stage else { return };
        Python::try_attach(|py| {
            let Some(iterator) = self.scope.let_go(py, kept) else { return };
            // A coroutine may be dropped while an exception is on its way.
            let _pending = Pending::put_aside(py);
            if let Err(error) = close(iterator.bind(py)) {
                error.write_unraisable(py, Some(iterator.bind(py)));
            }
        });
    }
}

/// An `async fn` as a coroutine's body.
pub(super) struct AsyncBody {
    future: Pin<Box<dyn Future<Output = PyResult<Py<PyAny>>>>>,
    exchange: Rc<Exchange>,
    started: bool,
}

impl AsyncBody {
    /// # Errors
    /// `MemoryError`.
    fn new<F>(py: Python<'_>, body: impl FnOnce(Scope) -> F) -> PyResult<Self>
    where
        F: Future<Output = PyResult<Py<PyAny>>> + 'static,
    {
        let exchange = Rc::new(Exchange {
            incoming: AttachedCell::new(None),
            outgoing: AttachedCell::new(None),
            kept: AttachedCell::new(Vec::new()),
            awaited: AttachedCell::new(None),
        });
        let future = boxed(body(Scope { exchange: Rc::clone(&exchange) }));
        let Ok(future) = future else { return Err(no_memory(py)) };
        Ok(Self { future: Box::into_pin(future), exchange, started: false })
    }
}

impl Body for AsyncBody {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        if std::mem::replace(&mut self.started, true) {
            let incoming = incoming.map(Bound::unbind);
            drop(self.exchange.incoming.replace(py, Some(incoming)));
        }
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(result)) => Resumed::Returned(result),
            Poll::Ready(Err(error)) => Resumed::Raised(error),
            Poll::Pending => {
                let outgoing = self.exchange.outgoing.replace(py, None);
                Resumed::Yielded(outgoing.unwrap_or_else(|| py.None()))
            }
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: `visit` is called from `tp_traverse` alone.
        unsafe {
            self.exchange
                .kept
                .traverse(|kept| kept.iter().try_for_each(|object| visit.call(object)))
        }
    }

    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let place = self.exchange.awaited.with(py, |place| *place)?;
        self.exchange.kept.with(py, |kept| kept.get(place)?.clone_ref(py))
    }
}

impl Coroutine {
    /// A coroutine named `name` (a qualified name) that has not started; its body is an `async fn`.
    pub(crate) fn new<'py, F>(
        py: Python<'py>,
        name: &'static str,
        body: impl FnOnce(Scope) -> F,
    ) -> PyResult<Bound<'py, Self>>
    where
        F: Future<Output = PyResult<Py<PyAny>>> + 'static,
    {
        Self::of(py, name, AsyncBody::new(py, body)?)
    }
}

/// An `async fn` as a body to which another one may hand over.
///
/// # Errors
/// `MemoryError`.
#[cfg(Py_3_12)]
pub(crate) fn async_body<F>(
    py: Python<'_>,
    body: impl FnOnce(Scope) -> F,
) -> PyResult<Box<dyn Body>>
where
    F: Future<Output = PyResult<Py<PyAny>>> + 'static,
{
    match boxed(AsyncBody::new(py, body)?) {
        Ok(body) => Ok(body),
        Err(_) => Err(no_memory(py)),
    }
}

/// What lets one turn of the loop pass when it is awaited.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn next_turn(py: Python<'_>) -> PyResult<Py<PyAny>> {
    Ok(Coroutine::pause(py, "sleep", py.None())?.into_any().unbind())
}
