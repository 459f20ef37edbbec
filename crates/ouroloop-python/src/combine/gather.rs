//! `gather`: one future for many.
//!
//! The outer future listens to each child and counts; it holds the children, and each pending child
//! holds it. It ends with the list of results, or with the first exception.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::child::{self, Ending};
use super::ensure::{Ensure, is_exact_coroutine};
use crate::future::listen::{Closure, DoneListener, Listen, has_ear};
use crate::future::{Future, Home, Outcome, cancel_awaited, exactly_native, is_done, kin};
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::interpreter::room::vector;
use crate::native::cell::AttachedCell;
use crate::native::shelf::{self, Shelved};
use crate::native::slots::Deallocate;
use crate::standard::Standard;
use crate::task::Task;
use crate::turn::Loop;

#[cfg(Py_3_14)]
use crate::interpreter::references::CloneRef as _;

#[derive(Debug, Default)]
struct State {
    /// In the order of the arguments; one that was given twice stands there twice.
    children: Vec<Py<PyAny>>,
    /// How many different children have not ended.
    pending: usize,
    return_exceptions: bool,
    cancel_requested: bool,
    /// `gather` failed half way: the children made so far end unheard.
    abandoned: bool,
    /// The task that called `gather`.
    #[cfg(Py_3_14)]
    awaiter: Option<Py<PyAny>>,
}

/// The future that `gather` returns.
#[pyclass(frozen, extends = Future, name = "_GatheringFuture", module = "asyncio.tasks")]
#[derive(Debug)]
pub(crate) struct GatheringFuture {
    state: AttachedCell<State>,
}

impl GatheringFuture {
    fn create<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let home = Home::of(event_loop);
        let gathering = if let Some(gathering) = shelf::take::<Self>(py) {
            gathering.as_super().get().set_home(py, home);
            shelf::track(&gathering);
            gathering
        } else {
            let state = AttachedCell::new(State::default());
            let parts = PyClassInitializer::from(Future::new(home)).add_subclass(Self { state });
            Bound::new(py, parts)?
        };
        gathering.as_super().get().remember_source(py, event_loop)?;
        Ok(gathering)
    }

    /// Cancels the children; the future itself ends when they have.
    ///
    /// # Errors
    /// What a foreign child's `cancel` raises; `RecursionError` where gathered tasks gather ever on.
    pub(crate) fn cancel(slf: &Bound<'_, Self>, message: Option<&Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        if slf.as_super().get().is_done(py) {
            return Ok(false);
        }
        let children = slf.get().copied_children(py)?;
        let _level = Level::enter(py)?;
        let mut any = false;
        for child in children {
            any |= cancel_awaited(child.bind(py), message)?;
        }
        if any {
            slf.get().state.with(py, |state| state.cancel_requested = true);
        }
        Ok(any)
    }

    /// Has `child` counted when it has ended; it is pending.
    fn expect(slf: &Bound<'_, Self>, child: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |state| state.pending += 1);
        child::listen(child, DoneListener::new(slf))
    }

    /// Counts a child that has ended.
    fn count(slf: &Bound<'_, Self>, child: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let (left, return_exceptions, abandoned) = slf.get().state.with(py, |state| {
            state.pending = state.pending.saturating_sub(1);
            (state.pending, state.return_exceptions, state.abandoned)
        });
        let outer = slf.as_super();
        if abandoned || outer.get().is_done(py) {
            return child::ending(child).map(drop);
        }
        if !return_exceptions {
            match child::ending(child)? {
                Ending::Cancelled => return Self::fail(slf, &child::cancelled_error(child)?),
                Ending::Failed(error) => return Self::fail(slf, error.bind(py)),
                Ending::Succeeded(_) => {}
            }
        }
        if left == 0 { Self::conclude(slf) } else { Ok(()) }
    }

    fn copied_children(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let mut children = vector(py, self.state.with(py, |state| state.children.len()))?;
        self.state.with(py, |state| {
            children.extend(state.children.iter().map(|child| child.clone_ref(py)));
        });
        Ok(children)
    }

    /// Ends with the exception of a child; the others go on, awaited by nobody.
    fn fail(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        if cfg!(Py_3_14) {
            let py = slf.py();
            let listener = DoneListener::new(slf);
            let children = slf.get().copied_children(py)?;
            for child in children {
                child::no_longer_awaited(child.bind(py), &listener)?;
            }
        }
        Future::finish_with_error(slf.as_super(), error)
    }

    /// Every child has ended.
    fn conclude(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (children, cancel_requested) = slf
            .get()
            .state
            .with(py, |state| (std::mem::take(&mut state.children), state.cancel_requested));
        let mut results = vector(py, children.len())?;
        for child in &children {
            results.push(result_of(child.bind(py))?);
        }
        if cancel_requested && let Some(last) = children.last() {
            let error = child::cancelled_error(last.bind(py))?;
            return Future::finish_with_error(slf.as_super(), &error);
        }
        let results = fresh::list(py, results)?.into_any().unbind();
        Future::finish(slf.as_super(), Outcome::Result(results))
    }
}

/// What stands for a child in the list of results.
fn result_of(child: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = child.py();
    match child::ending(child)? {
        Ending::Failed(object) | Ending::Succeeded(object) => Ok(object),
        Ending::Cancelled => {
            let message = child.getattr(intern!(py, "_cancel_message"))?;
            let message =
                if message.is_none() { intern!(py, "").clone().into_any() } else { message };
            Standard::get(py)?.cancelled_error.call1(py, (message,))
        }
    }
}

impl Listen for GatheringFuture {
    has_ear!(GatheringFuture);

    fn hear(slf: &Bound<'_, Self>, child: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::count(slf, child)
    }

    fn callable<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Closure::of(slf, "gather.<locals>._done_callback", child::no_longer_awaited)
    }

    #[cfg(Py_3_14)]
    fn awaiter<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        let py = slf.py();
        if slf.as_super().get().is_done(py) {
            return None;
        }
        let awaiter = slf.get().state.with(py, |state| state.awaiter.clone_ref(py));
        awaiter.map(|task| task.into_bound(py))
    }
}

#[pymethods]
impl GatheringFuture {
    /// The standard class, so that `isinstance` holds.
    #[getter(__class__)]
    fn class(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(Standard::get(slf.py())?.gathering_future.clone_ref(slf.py()))
    }

    #[pyo3(name = "cancel", signature = (msg=None))]
    fn py_cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        Self::cancel(slf, msg.as_ref())
    }

    #[getter(_children)]
    fn children<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let children = self.copied_children(py)?;
        fresh::list(py, children)
    }

    #[getter(_cancel_requested)]
    fn cancel_requested(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.cancel_requested)
    }

    fn __del__(slf: &Bound<'_, Self>) {
        Self::finalize(slf);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                #[cfg(Py_3_14)]
                visit.call(&state.awaiter)?;
                state.children.iter().try_for_each(|child| visit.call(child))
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.state.replace(unsafe { Python::assume_attached() }, State::default()));
    }
}

impl Deallocate for GatheringFuture {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        Future::has_last_words(slf.as_super())
    }

    fn last_words(slf: &Bound<'_, Self>) {
        Future::last_words(slf.as_super());
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: the caller's promise is the same.
        unsafe { Future::strip(slf.as_super()) }
    }
}

impl Shelved for GatheringFuture {
    has_shelf!();

    fn blank(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let state = slf.get().state.replace(py, State::default());
        state.children.into_iter().for_each(|child| child.drop_ref(py));
        #[cfg(Py_3_14)]
        if let Some(awaiter) = state.awaiter {
            awaiter.drop_ref(py);
        }
        Future::blank(slf.as_super());
    }
}

/// Wait for several awaitables at once: a future whose result is the list of their results.
///
/// Coroutines become tasks. The results stand in the order of the arguments. The first exception
/// becomes that of the future, unless `return_exceptions` is true: then exceptions count as
/// results. Cancelling the future cancels every child that has not ended; a child that is
/// cancelled counts as one that raised `CancelledError`.
#[pyfunction]
#[pyo3(signature = (*coros_or_futures, return_exceptions=false))]
fn gather<'py>(
    coros_or_futures: &Bound<'py, PyTuple>,
    return_exceptions: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coros_or_futures.py();
    if coros_or_futures.is_empty() {
        return empty(py);
    }
    #[cfg(Py_3_14)]
    let (running, awaiter) = {
        let running = Standard::get(py)?.get_running_loop.bind(py).call0()?;
        let running = Some(running).filter(|running| !running.is_none());
        let awaiter = match &running {
            Some(event_loop) => child::awaiting_task(py, Some(event_loop))?,
            None => None,
        };
        (running, awaiter)
    };
    #[cfg(not(Py_3_14))]
    let running = None;
    let mut ensure = Ensure::on(running);
    let mut gathering = None;
    let prepare = |gathering: &Bound<'_, GatheringFuture>| {
        gathering.get().state.with(py, |state| state.return_exceptions = return_exceptions);
        #[cfg(Py_3_14)]
        drop(
            gathering.get().state.with(py, |state| std::mem::replace(&mut state.awaiter, awaiter)),
        );
    };
    match collect(coros_or_futures, &mut ensure, &mut gathering, prepare) {
        Ok(ended) => {
            let gathering = gathering.expect("there is a first child");
            for child in ended {
                GatheringFuture::count(&gathering, &child)?;
            }
            Ok(gathering.into_any())
        }
        Err(error) => {
            if let Some(gathering) = gathering {
                gathering.get().state.with(py, |state| state.abandoned = true);
            }
            Err(error)
        }
    }
}

/// The future of a `gather` without arguments, which has ended.
fn empty(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let event_loop = Standard::get(py)?.get_event_loop.bind(py).call0()?;
    let future = match event_loop.cast::<Loop>() {
        Ok(native) => Future::create(native)?.into_any(),
        Err(_) => event_loop.call_method0(intern!(py, "create_future"))?,
    };
    child::finish(&future, Ending::Succeeded(fresh::list(py, [(); 0])?.into_any().unbind()))?;
    Ok(future)
}

/// Makes the children and has them counted; answers those that have ended already and are to be
/// counted at once.
fn collect<'py>(
    awaitables: &Bound<'py, PyTuple>,
    ensure: &mut Ensure<'py>,
    place: &mut Option<Bound<'py, GatheringFuture>>,
    prepare: impl FnOnce(&Bound<'py, GatheringFuture>),
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = awaitables.py();
    let mut prepare = Some(prepare);
    let mut children = vector(py, awaitables.len())?;
    let mut ended = vector(py, awaitables.len())?;
    let known = (!are_plainly_distinct(awaitables)).then(|| fresh::dict(py)).transpose()?;
    for awaitable in awaitables.iter_borrowed() {
        if let Some(known) = &known
            && let Some(child) = known.get_item(awaitable)?
        {
            children.push(child.unbind());
            continue;
        }
        let child = ensure.future_of(&awaitable)?;
        ensure.settle_on_loop_of(&child)?;
        if !child.is(&*awaitable) {
            disown(&child)?;
        }
        let gathering = if let Some(gathering) = &*place {
            gathering
        } else {
            let event_loop = ensure.event_loop().expect("it was just settled");
            let gathering = GatheringFuture::create(event_loop)?;
            if let Some(prepare) = prepare.take() {
                prepare(&gathering);
            }
            place.insert(gathering)
        };
        if let Some(known) = &known {
            known.set_item(awaitable, &child)?;
        }
        if cfg!(Py_3_12) && is_done(&child)? {
            gathering.get().state.with(py, |state| state.pending += 1);
            ended.push(child.clone());
        } else {
            GatheringFuture::expect(gathering, &child)?;
        }
        children.push(child.unbind());
    }
    if let Some(gathering) = place {
        drop(
            gathering
                .get()
                .state
                .with(py, |state| std::mem::replace(&mut state.children, children)),
        );
    }
    Ok(ended)
}

/// Whether no awaitable is given twice and none has its own idea of being equal: then no table is
/// needed to find out.
fn are_plainly_distinct(awaitables: &Bound<'_, PyTuple>) -> bool {
    let mut seen = Vec::new();
    if seen.try_reserve_exact(awaitables.len()).is_err() {
        return false;
    }
    for awaitable in awaitables.iter_borrowed() {
        if !is_exact_coroutine(&awaitable) && exactly_native(&awaitable).is_none() {
            return false;
        }
        seen.push(awaitable.as_ptr().addr());
    }
    seen.sort_unstable();
    seen.windows(2).all(|pair| pair[0] != pair[1])
}

/// A task that only `gather` knows says nothing when it goes unfinished: nobody can help it.
fn disown(child: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = child.py();
    match child.cast_exact::<Task>() {
        Ok(task) => {
            task.get().state.with(py, |state| state.log_destroy_pending = false);
            Ok(())
        }
        Err(_) => child.setattr(intern!(py, "_log_destroy_pending"), false),
    }
}

/// Makes the class complete.
pub(super) fn install(py: Python<'_>) {
    crate::native::instance_dict::install::<GatheringFuture>(py);
    crate::native::slots::install_deallocate::<GatheringFuture>(py);
    kin::register::<GatheringFuture>(py, kin::Which::Gathering, |gathering, message| {
        // SAFETY: it is asked about objects of exactly this class.
        GatheringFuture::cancel(unsafe { gathering.cast_unchecked() }, message.as_ref())
    });
}

pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(gather, module)?)
}
