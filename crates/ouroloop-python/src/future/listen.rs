//! Native objects that are told of a future's end, without a call of Python's.
//!
//! A class that [`Listen`]s gives a future a [`DoneListener`]: a reference to one of its objects with
//! the class's [`Ear`]. When the future ends, the listener goes through the loop's ready queue
//! like any done callback, as an entry of its own. Python sees it as the callable that the class
//! names, among a future's callbacks and in `remove_done_callback`; debug mode and foreign
//! loops call that.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::{PyClass, ffi};

use crate::context::copy_current;
use crate::handle::report_call;
use crate::interpreter::fresh::Text;
use crate::native::cell::AttachedCell;
use crate::turn::{Entry, KindOf, Loop, Subject, Work};

/// In an implementation of [`Listen`]: the ear of the class that is named.
macro_rules! has_ear {
    ($class:ty) => {
        fn ear() -> &'static $crate::future::listen::Ear {
            static EAR: $crate::future::listen::Ear = $crate::future::listen::Ear::of::<$class>();
            &EAR
        }
    };
}

pub(crate) use has_ear;

/// A class whose objects listen to futures.
pub(crate) trait Listen: PyClass {
    /// The functions of this class, a `static`; `has_ear!(Class)` makes it.
    fn ear() -> &'static Ear;

    /// The future, of any kind, has ended.
    ///
    /// # Errors
    /// Go where those of a done callback go.
    fn hear(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()>;

    /// The callable that does the same, such as a bound method; equal each time it is made.
    ///
    /// # Errors
    /// Those of making it.
    fn callable<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>>;

    /// The entry by which it is told from the loop's queue.
    fn entry(owner: Py<Self>, future: Py<PyAny>) -> Entry {
        Ended(DoneListener { owner: owner.into_any(), ear: Self::ear() }, future).entry()
    }

    /// Whether the object is a task that awaits the future.
    #[cfg(Py_3_14)]
    const AWAITS: bool = false;

    /// The context in which the callable runs where it stands for the object.
    ///
    /// # Errors
    /// `MemoryError`.
    fn context(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        copy_current(slf.py())
    }

    /// The task or future that waits for the future by way of this object, for
    /// `asyncio.capture_call_graph`.
    #[cfg_attr(not(Py_3_14), expect(dead_code, reason = "call graphs came with 3.14"))]
    fn awaiter<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        let _ = slf;
        None
    }
}

/// The functions of [`Listen`] for one class.
#[derive(Debug)]
pub(crate) struct Ear {
    hear: fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> PyResult<()>,
    callable: for<'py> fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    entry: fn(Py<PyAny>, Py<PyAny>) -> Entry,
    context: fn(&Bound<'_, PyAny>) -> PyResult<Py<PyAny>>,
    #[cfg(Py_3_14)]
    awaits: bool,
    #[cfg(Py_3_14)]
    awaiter: for<'py> fn(&Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>>,
}

impl Ear {
    pub(crate) const fn of<T: Listen>() -> Self {
        Self {
            hear: hear::<T>,
            callable: callable::<T>,
            entry: entry::<T>,
            context: context::<T>,
            #[cfg(Py_3_14)]
            awaits: T::AWAITS,
            #[cfg(Py_3_14)]
            awaiter: awaiter::<T>,
        }
    }
}

fn hear<T: Listen>(owner: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: `DoneListener::new` pairs an ear with objects of its own class alone.
    T::hear(unsafe { owner.cast_unchecked::<T>() }, future)
}

fn callable<'py, T: Listen>(owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as in `hear`.
    T::callable(unsafe { owner.cast_unchecked::<T>() })
}

fn entry<T: Listen>(owner: Py<PyAny>, future: Py<PyAny>) -> Entry {
    // SAFETY: attached, as whoever ends a future is; the class as in `hear`.
    let owner = unsafe { owner.into_bound(Python::assume_attached()).cast_into_unchecked::<T>() };
    T::entry(owner.unbind(), future)
}

fn context<T: Listen>(owner: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    // SAFETY: as in `hear`.
    T::context(unsafe { owner.cast_unchecked::<T>() })
}

#[cfg(Py_3_14)]
fn awaiter<'py, T: Listen>(owner: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: as in `hear`.
    T::awaiter(unsafe { owner.cast_unchecked::<T>() })
}

/// A native object that listens to a future.
#[derive(Debug)]
pub(crate) struct DoneListener {
    owner: Py<PyAny>,
    ear: &'static Ear,
}

impl DoneListener {
    pub(crate) fn new<T: Listen>(owner: &Bound<'_, T>) -> Self {
        Self { owner: owner.as_any().clone().unbind(), ear: T::ear() }
    }

    /// Tells the object that `future` has ended.
    pub(crate) fn hear(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        (self.ear.hear)(self.owner.bind(future.py()), future)
    }

    /// The entry by which it is told from the loop's queue that `future` has ended.
    #[inline]
    pub(super) fn entry(self, future: Py<PyAny>) -> Entry {
        (self.ear.entry)(self.owner, future)
    }

    /// The task that awaits the future, if it is one.
    #[cfg(Py_3_14)]
    pub(super) fn awaiting_task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.ear.awaits.then(|| self.owner.bind(py).clone())
    }

    /// The context for [`DoneListener::callable`].
    pub(super) fn context(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        (self.ear.context)(self.owner.bind(py))
    }

    /// The listener as a done callback of Python's.
    pub(crate) fn callable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        (self.ear.callable)(self.owner.bind(py))
    }

    /// Who waits for the future by way of this object.
    #[cfg(Py_3_14)]
    pub(crate) fn awaiter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        (self.ear.awaiter)(self.owner.bind(py))
    }

    /// The same for reports and views, before it is made.
    pub(super) fn subject(&self, py: Python<'_>) -> Subject {
        Subject::Callable(self.owner.clone_ref(py), self.ear.callable)
    }

    fn owner(&self) -> *mut ffi::PyObject {
        self.owner.as_ptr()
    }

    /// Whether both are the same object, listening in the same way.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.owner() == other.owner() && std::ptr::eq(self.ear, other.ear)
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { owner: self.owner.clone_ref(py), ear: self.ear }
    }

    /// Drops the reference at once.
    pub(crate) fn release(self, py: Python<'_>) {
        self.owner.drop_ref(py);
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)
    }
}

/// A listener as Python code sees it: under the name of the function that asyncio has for it.
#[pyclass(frozen, name = "function", module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Closure {
    listener: AttachedCell<Option<DoneListener>>,
    name: &'static str,
    first: fn(&Bound<'_, PyAny>, &DoneListener) -> PyResult<()>,
}

made_at_the_start!(Closure);

impl Closure {
    /// The callable called `name` (a qualified name) of an object that listens; when called, it
    /// does `first` before anything else.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn of<'py, T: Listen>(
        owner: &Bound<'py, T>,
        name: &'static str,
        first: fn(&Bound<'_, PyAny>, &DoneListener) -> PyResult<()>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let listener = AttachedCell::new(Some(DoneListener::new(owner)));
        Ok(Bound::new(owner.py(), Self { listener, name, first })?.into_any())
    }

    fn listener(&self, py: Python<'_>) -> Option<DoneListener> {
        self.listener.with(py, |listener| listener.as_ref().map(|it| it.clone_ref(py)))
    }
}

#[pymethods]
impl Closure {
    fn __call__(&self, fut: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(listener) = self.listener(fut.py()) else { return Ok(()) };
        (self.first)(fut, &listener)?;
        listener.hear(fut)
    }

    #[getter]
    fn __name__(&self) -> Text<&'static str> {
        Text(self.name.rsplit('.').next().unwrap_or(self.name))
    }

    #[getter]
    fn __qualname__(&self) -> Text<&'static str> {
        Text(self.name)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> Text<String> {
        Text(format!("<function {} at {:p}>", slf.get().name, slf.as_ptr()))
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> bool {
        let other = other.cast::<Self>().ok().and_then(|other| other.get().listener(py));
        self.listener(py).zip(other).is_some_and(|(listener, other)| listener.is(&other))
    }

    fn __hash__(&self, py: Python<'_>) -> usize {
        self.listener(py).map_or(0, |listener| listener.owner().addr())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.listener.traverse(|listener| match listener {
                Some(listener) => listener.visit(&visit),
                None => Ok(()),
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.listener.replace(py, None));
    }
}

/// A native object is to hear that a future has ended.
#[derive(Debug)]
struct Ended(DoneListener, Py<PyAny>);

impl Work for Ended {
    /// No code of the user's runs here that could ask for the current task.
    const LEAVES_TASK: bool = false;

    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Ended> = KindOf::new("future.ended");
        &KIND
    }

    #[inline]
    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let Self(listener, future) = self;
        listener
            .hear(future.bind(event_loop.py()))
            .or_else(|error| report_ended(event_loop, &listener, future, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(self.0.subject(py))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.visit(visit)?;
        visit.call(&self.1)
    }
}

#[cold]
fn report_ended(
    event_loop: &Bound<'_, Loop>,
    listener: &DoneListener,
    future: Py<PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    Loop::leave_task(event_loop)?;
    let callback = listener.callable(py)?.unbind();
    report_call(event_loop, callback, Some(future), copy_current(py)?, error)
}
