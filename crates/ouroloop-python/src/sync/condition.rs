//! `Condition`: waiting for news about what a lock protects.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::lock::{Lock, Purpose};
use super::loop_bound::LoopBound;
use super::manager;
use super::primitive::{is_cancellation, is_plain, repr_with, truth};
use crate::coroutine::{Coroutine, Kept, Scope};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict;
use crate::native::kinship::class_of;
use crate::standard::raised;
use crate::waiting::Waiter;

/// The lock and the three methods of it that a condition offers as its own.
#[derive(Debug, Default)]
struct Borrowed {
    lock: Option<Py<PyAny>>,
    locked: Option<Py<PyAny>>,
    acquire: Option<Py<PyAny>>,
    release: Option<Py<PyAny>>,
}

/// A native `asyncio.Condition`.
///
/// A lock that is a plain native one is used directly; any other by the methods that it had when
/// the condition was made.
#[pyclass(frozen, subclass, extends = LoopBound, module = "asyncio.locks")]
#[derive(Debug)]
pub(crate) struct Condition {
    borrowed: AttachedCell<Borrowed>,
}

drops_its_dictionary!(Condition);

leaves_out!(Condition, "wait", "notify");

consists_of!(Condition, ["_lock", "_waiters", "_loop"]);

impl Condition {
    fn initializer() -> PyClassInitializer<Self> {
        let condition = Self { borrowed: AttachedCell::new(Borrowed::default()) };
        PyClassInitializer::from(LoopBound::new()).add_subclass(condition)
    }

    /// A condition with a lock of its own.
    pub(super) fn create(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        let condition = Bound::new(py, Self::initializer())?;
        LoopBound::begin(condition.as_super());
        condition.get().borrow_from(Lock::create(py)?.as_any())?;
        Ok(condition)
    }

    fn borrow_from(&self, lock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = lock.py();
        let mut borrowed = Borrowed { lock: Some(lock.clone().unbind()), ..Borrowed::default() };
        if !lock.cast_exact::<Lock>().is_ok_and(is_plain) {
            borrowed.locked = Some(lock.getattr(intern!(py, "locked"))?.unbind());
            borrowed.acquire = Some(lock.getattr(intern!(py, "acquire"))?.unbind());
            borrowed.release = Some(lock.getattr(intern!(py, "release"))?.unbind());
        }
        self.borrowed.set(py, borrowed);
        Ok(())
    }

    /// Has the lock's methods come before those that a derived class defines, as attributes of the object do.
    fn shadow(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.is_exact_instance_of::<Self>() {
            return Ok(());
        }
        let py = slf.py();
        let Some(lock) = slf.get().lock(py) else { return Ok(()) };
        let lock = lock.bind(py);
        let (class, ours) = (slf.get_type(), py.get_type::<Self>());
        for name in [intern!(py, "locked"), intern!(py, "acquire"), intern!(py, "release")] {
            if !class.getattr(name)?.is(ours.getattr(name)?) {
                let method = lock.getattr(name)?;
                instance_dict::get(slf.as_any())?.set_item(name, method)?;
            }
        }
        Ok(())
    }

    /// The lock, if native code may use it without asking anybody.
    fn native_lock<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, Lock>> {
        if !slf.is_exact_instance_of::<Self>() {
            return None;
        }
        let py = slf.py();
        let lock = slf.get().borrowed.with(py, |borrowed| match borrowed {
            Borrowed { lock: Some(lock), locked: None, acquire: None, release: None } => {
                Some(lock.clone_ref(py))
            }
            _ => None,
        });
        lock?.into_bound(py).cast_into_exact::<Lock>().ok()
    }

    /// One of the borrowed methods: what is kept, or the lock's own.
    fn method<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, pyo3::types::PyString>,
        kept: fn(&Borrowed) -> &Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (method, lock) = self.borrowed.with(py, |borrowed| {
            let clone = |object: &Py<PyAny>| object.clone_ref(py);
            (kept(borrowed).as_ref().map(clone), borrowed.lock.as_ref().map(clone))
        });
        match (method, lock) {
            (Some(method), _) => Ok(method.into_bound(py)),
            (None, Some(lock)) => lock.bind(py).getattr(name),
            (None, None) => {
                Err(fresh::error::<PyRuntimeError>("Condition object is not initialized."))
            }
        }
    }

    fn is_locked(slf: &Bound<'_, Self>) -> PyResult<bool> {
        match Self::native_lock(slf) {
            Some(lock) => Ok(lock.get().is_locked(slf.py())),
            None => slf.call_method0(intern!(slf.py(), "locked"))?.is_truthy(),
        }
    }

    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        match Self::native_lock(slf) {
            Some(lock) => Lock::free(&lock),
            None => slf.call_method0(intern!(slf.py(), "release")).map(drop),
        }
    }

    /// `self.acquire()`.
    fn acquiring<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        match Self::native_lock(slf) {
            Some(lock) => Ok(Lock::acquiring(&lock, Purpose::Acquire)?.into_any()),
            None => slf.call_method0(intern!(slf.py(), "acquire")),
        }
    }

    fn check_locked(slf: &Bound<'_, Self>, action: &str) -> PyResult<()> {
        if Self::is_locked(slf)? {
            return Ok(());
        }
        Err(fresh::error::<PyRuntimeError>(format!("cannot {action} on un-acquired lock")))
    }

    fn wake(slf: &Bound<'_, Self>, enough: impl Fn(usize) -> bool) -> PyResult<()> {
        slf.as_super().get().waiters.wake_until(slf.py(), false, enough)
    }

    /// Wakes up everybody who waits.
    pub(super) fn wake_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::check_locked(slf, "notify")?;
        // Those who are there now: whoever joins while they are woken is not among them.
        let count = slf.as_super().get().waiters.len(slf.py());
        Self::wake(slf, |woken| woken >= count)
    }

    /// The future of a wait that begins now, with the lock released.
    fn let_go_of_lock(slf: &Bound<'_, Self>) -> PyResult<Waiter> {
        Self::check_locked(slf, "wait")?;
        let waiter = LoopBound::new_waiter(slf.as_super())?;
        Self::release(slf)?;
        Ok(waiter)
    }
}

/// Takes the condition's lock.
pub(super) async fn acquire(scope: &Scope, condition: Kept<Condition>) -> PyResult<()> {
    let acquiring =
        Python::attach(|py| Condition::acquiring(&scope.get(py, condition)).map(Bound::unbind))?;
    scope.wait(acquiring).await.map(drop)
}

/// Frees the condition's lock.
pub(super) fn release(scope: &Scope, condition: Kept<Condition>) -> PyResult<()> {
    Python::attach(|py| Condition::release(&scope.get(py, condition)))
}

/// Waits for a notification without the lock, and takes the lock again whatever comes.
pub(super) async fn wait(scope: &Scope, condition: Kept<Condition>) -> PyResult<Py<PyAny>> {
    let waiter = Python::attach(|py| Condition::let_go_of_lock(&scope.get(py, condition)))?;
    let notified = wait_for_notification(scope, condition, waiter).await;
    let answer = match acquire_at_any_rate(scope, condition).await {
        Ok(()) => notified,
        Err(error) => {
            // It is raised while the first cancellation, if there was one, is on its way.
            if let Err(first) = notified {
                Python::attach(|py| {
                    if !error.value(py).is(first.value(py)) {
                        error.set_context(py, Some(first));
                    }
                });
            }
            Err(error)
        }
    };
    if answer.is_err() {
        // The notification may have been meant for this task: it goes on to another one.
        Python::attach(|py| Condition::wake(&scope.get(py, condition), |woken| woken >= 1))?;
    }
    answer
}

async fn wait_for_notification(
    scope: &Scope,
    condition: Kept<Condition>,
    waiter: Waiter,
) -> PyResult<Py<PyAny>> {
    let (kept, waiting) = Python::attach(|py| {
        scope.get(py, condition).as_super().get().waiters.push(py, waiter.clone_ref(py))?;
        Ok::<_, PyErr>((scope.keep(waiter.bind(py)), scope.wait(waiter.bind(py).clone().unbind())))
    })?;
    drop(waiter);
    let answer = waiting.await;
    Python::attach(|py| {
        let waiter = scope.get(py, kept);
        scope.get(py, condition).as_super().get().waiters.remove(py, &waiter);
        drop(scope.let_go(py, kept));
        answer.map(|_| truth(py, true))
    })
}

/// Takes the lock however often it is cancelled meanwhile; the last cancellation is the answer.
async fn acquire_at_any_rate(scope: &Scope, condition: Kept<Condition>) -> PyResult<()> {
    let mut cancelled: Option<Kept<pyo3::exceptions::PyBaseException>> = None;
    loop {
        let Err(error) = acquire(scope, condition).await else { break };
        Python::attach(|py| {
            if !is_cancellation(py, &error) {
                return Err(error);
            }
            let error = error.into_value(py);
            if let Some(earlier) = cancelled.replace(scope.keep(error.bind(py))) {
                drop(scope.let_go(py, earlier));
            }
            Ok(())
        })?;
    }
    let Some(cancelled) = cancelled else { return Ok(()) };
    Python::attach(|py| {
        let error = scope.get(py, cancelled);
        drop(scope.let_go(py, cancelled));
        Err(raised(error.into_any()))
    })
}

/// Waits until `predicate()` is true and answers what it gave.
async fn wait_for(
    scope: Scope,
    condition: Kept<Condition>,
    predicate: Kept,
) -> PyResult<Py<PyAny>> {
    loop {
        let (answer, exact) = Python::attach(|py| -> PyResult<_> {
            let answer = scope.get(py, predicate).call0()?;
            let answer = if answer.is_truthy()? { Some(answer.unbind()) } else { None };
            let exact = is_plain(&scope.get(py, condition));
            Ok((answer, exact))
        })?;
        if let Some(answer) = answer {
            return Ok(answer);
        }
        if exact {
            wait(&scope, condition).await?;
            continue;
        }
        let waiting = Python::attach(|py| {
            let condition = scope.get(py, condition);
            condition.call_method0(intern!(py, "wait")).map(Bound::unbind)
        })?;
        scope.wait(waiting).await?;
    }
}

#[pymethods]
impl Condition {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(lock=None)")]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Self::initializer()
    }

    #[pyo3(signature = (lock=None))]
    fn __init__(slf: &Bound<'_, Self>, lock: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        LoopBound::begin(slf.as_super());
        match lock {
            Some(lock) => slf.get().borrow_from(&lock)?,
            None => slf.get().borrow_from(Lock::create(py)?.as_any())?,
        }
        Self::shadow(slf)
    }

    /// The standard class for native objects proper, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, |standard| &standard.condition)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let state = if Self::is_locked(slf)? { "locked" } else { "unlocked" };
        repr_with(slf.as_any(), &slf.as_super().get().waiters.describe(slf.py(), state))
    }

    #[getter(_lock)]
    fn lock(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.borrowed.with(py, |borrowed| borrowed.lock.clone_ref(py))
    }

    /// Its methods become the condition's.
    #[setter(_lock)]
    fn set_lock(&self, lock: &Bound<'_, PyAny>) -> PyResult<()> {
        self.borrow_from(lock)
    }

    #[getter(locked)]
    fn locked_method<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.method(py, intern!(py, "locked"), |borrowed| &borrowed.locked)
    }

    #[setter(locked)]
    fn set_locked_method(&self, method: Bound<'_, PyAny>) {
        let py = method.py();
        let method = method.unbind();
        drop(self.borrowed.with(py, |borrowed| borrowed.locked.replace(method)));
    }

    #[getter(acquire)]
    fn acquire_method<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.method(py, intern!(py, "acquire"), |borrowed| &borrowed.acquire)
    }

    #[setter(acquire)]
    fn set_acquire_method(&self, method: Bound<'_, PyAny>) {
        let py = method.py();
        let method = method.unbind();
        drop(self.borrowed.with(py, |borrowed| borrowed.acquire.replace(method)));
    }

    #[getter(release)]
    fn release_method<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.method(py, intern!(py, "release"), |borrowed| &borrowed.release)
    }

    #[setter(release)]
    fn set_release_method(&self, method: Bound<'_, PyAny>) {
        let py = method.py();
        let method = method.unbind();
        drop(self.borrowed.with(py, |borrowed| borrowed.release.replace(method)));
    }

    /// Releases the lock, waits for a notification, takes the lock again and answers `True`.
    #[pyo3(name = "wait")]
    fn py_wait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::new(slf.py(), "Condition.wait", |scope| {
            let condition = scope.keep(slf);
            async move { wait(&scope, condition).await }
        })
    }

    /// Waits until `predicate()` is true and answers what it gave.
    #[pyo3(name = "wait_for")]
    fn py_wait_for<'py>(
        slf: &Bound<'py, Self>,
        predicate: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::new(slf.py(), "Condition.wait_for", |scope| {
            let condition = scope.keep(slf);
            let predicate = scope.keep(predicate);
            wait_for(scope, condition, predicate)
        })
    }

    /// Wakes up `n` of the tasks that wait, the ones that have waited longest.
    #[pyo3(signature = (n=1.0), text_signature = "($self, n=1)")]
    fn notify(slf: &Bound<'_, Self>, n: f64) -> PyResult<()> {
        Self::check_locked(slf, "notify")?;
        Self::wake(slf, |woken| reached(woken, n))
    }

    #[cfg(Py_3_13)]
    #[pyo3(name = "_notify")]
    fn py_notify(slf: &Bound<'_, Self>, n: f64) -> PyResult<()> {
        Self::wake(slf, |woken| reached(woken, n))
    }

    /// Wakes up every task that waits.
    fn notify_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        if is_plain(slf) {
            return Self::wake_all(slf);
        }
        let count = slf.as_super().get().waiters.len(slf.py());
        slf.call_method1(intern!(slf.py(), "notify"), (count,)).map(drop)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        match Self::native_lock(slf) {
            Some(lock) => Lock::acquiring(&lock, Purpose::Enter),
            None => manager::enter_by_method(slf.as_any()),
        }
    }

    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc: &Bound<'py, PyAny>,
        tb: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let _ = (exc_type, exc, tb);
        match Self::native_lock(slf) {
            Some(lock) => manager::exit(&lock),
            None => manager::exit_by_method(slf.as_any()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.borrowed.traverse(|borrowed| {
                let Borrowed { lock, locked, acquire, release } = borrowed;
                [lock, locked, acquire, release].into_iter().try_for_each(|one| visit.call(one))
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        self.borrowed.set(unsafe { Python::assume_attached() }, Borrowed::default());
    }
}

/// Whether so many have been woken that `wanted` are.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2**53 tasks waiting")]
fn reached(woken: usize, wanted: f64) -> bool {
    woken as f64 >= wanted
}
