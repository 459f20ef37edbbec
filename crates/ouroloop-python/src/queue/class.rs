//! `Queue` as Python sees it.

use std::fmt::Write as _;

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyGenericAlias, PyList, PyString, PyTuple, PyType};

#[cfg(Py_3_13)]
use super::calls;
use super::containers::{Items, Waiters};
use super::object::{Queue, VALUE_OFFSET, items_of};
use super::state::{Capacity, Discipline, Manner, Side, State};
use super::waiting::{Get, Join, Put};
use super::{finished, hooked, lines, open, plain, shown};
use crate::coroutine::Coroutine;
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::interpreter::room::{copies, gathered, no_memory};
use crate::native::instance_dict;
use crate::standard::Standard;

consists_of!(Queue, STATE);

/// What a queue consists of, under asyncio's names.
const STATE: [&str; if cfg!(Py_3_13) { 8 } else { 7 }] = [
    "_maxsize",
    "_queue",
    "_unfinished_tasks",
    "_finished",
    "_getters",
    "_putters",
    #[cfg(Py_3_13)]
    "_is_shutdown",
    "_loop",
];

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=0)")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new()
    }

    #[pyo3(signature = (maxsize=None))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        // Before Python 3.13 a new object has a dictionary at once; without one, the interpreter
        // finds the methods of the object faster.
        // SAFETY: queues have a dictionary.
        unsafe {
            if instance_dict::len(slf.as_ptr()) == 0 {
                drop(instance_dict::take(slf.as_ptr()));
            }
        }
        let maxsize = match maxsize {
            Some(maxsize) => maxsize,
            None => 0_i64.into_pyobject(py)?.into_any(),
        };
        drop(slf.get().state.with(py, |state| {
            let fresh = State { verdict: state.verdict, ..State::new() };
            std::mem::replace(state, fresh)
        }));
        slf.get().set_maxsize(&maxsize);
        match Discipline::of(slf) {
            Some(Discipline::First) => Self::init(slf, maxsize),
            _ => slf.call_method1(intern!(py, "_init"), (maxsize,)).map(drop),
        }
    }

    /// The standard class for native objects proper, so that `isinstance` holds; a subclass is
    /// its own.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let standard = Standard::get(py)?;
        Ok(match Discipline::of(slf) {
            Some(Discipline::First) => standard.queue.bind(py).clone(),
            Some(Discipline::Least) => standard.priority_queue.bind(py).clone(),
            Some(Discipline::Last) => standard.lifo_queue.bind(py).clone(),
            None => slf.get_type().into_any(),
        })
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyGenericAlias>> {
        PyGenericAlias::new(cls.py(), cls.as_any(), item)
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyString>> {
        let name = slf.get_type().name()?;
        in_brackets(slf, &fresh::text(format_args!("{name} at {:#x}", slf.as_ptr().addr()))?)
    }

    fn __str__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyString>> {
        in_brackets(slf, &slf.get_type().name()?.to_string())
    }

    /// What `repr` and `str` say about the queue.
    #[pyo3(name = "_format")]
    fn format<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyString>> {
        described(slf)
    }

    /// How many items the queue takes; zero or less means any number.
    #[getter(maxsize)]
    fn maxsize(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        if Manner::has_lines(slf) {
            return Ok(slf.get().raw_maxsize(slf.py()));
        }
        Ok(slf.getattr(intern!(slf.py(), "_maxsize"))?.unbind())
    }

    /// How many items are in the queue.
    fn qsize(slf: &Bound<'_, Self>) -> PyResult<usize> {
        match Manner::of(slf) {
            Manner::Plain(_) => Ok(plain::size(slf)),
            Manner::Hooked => hooked::size(slf),
            Manner::Open => open::size(slf),
        }
    }

    /// Whether the queue has no items.
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        match Manner::of(slf) {
            Manner::Plain(_) => Ok(plain::size(slf) == 0),
            Manner::Hooked => hooked::is_empty(slf),
            Manner::Open => open::is_empty(slf),
        }
    }

    /// Whether the queue has as many items as it takes; never, if `maxsize` is zero or less.
    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        match Manner::of(slf) {
            Manner::Plain(_) => Ok(plain::is_full(slf)),
            Manner::Hooked => hooked::is_full(slf),
            Manner::Open => open::is_full(slf),
        }
    }

    /// Put an item in, once there is room for it.
    ///
    /// A cancelled call has put nothing in. Raises `QueueShutDown` (Python 3.13) if the queue is
    /// shut down, before or meanwhile.
    fn put<'py>(slf: &Bound<'py, Self>, item: Py<PyAny>) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::of(slf.py(), "Queue.put", Put::new(slf, item))
    }

    /// Take an item out, once there is one.
    ///
    /// A cancelled call has taken nothing out. Raises `QueueShutDown` (Python 3.13) if the queue
    /// is shut down and has no items, before or meanwhile.
    fn get<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::of(slf.py(), "Queue.get", Get::new(slf))
    }

    /// Put an item in at once.
    ///
    /// Raises `QueueFull` if there is no room, `QueueShutDown` (Python 3.13) if the queue is shut
    /// down.
    #[pyo3(name = "put_nowait")]
    fn py_put_nowait(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        match Manner::of(slf) {
            Manner::Plain(discipline) => plain::put(slf, discipline, item),
            Manner::Hooked => hooked::put(slf, item),
            Manner::Open => open::put(slf, item),
        }
    }

    /// Take an item out at once.
    ///
    /// Raises `QueueEmpty` if there is none, `QueueShutDown` (Python 3.13) if there never will be.
    #[pyo3(name = "get_nowait")]
    fn py_get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        match Manner::of(slf) {
            Manner::Plain(discipline) => plain::get(slf, discipline),
            Manner::Hooked => hooked::get(slf),
            Manner::Open => open::get(slf),
        }
    }

    /// Say that the work on an item taken out earlier is done.
    ///
    /// Once this was called for every item ever put in, whoever waits in `join` goes on. Raises
    /// `ValueError` if it is called more often than that.
    fn task_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let left = slf.get().state.with(slf.py(), |state| {
            if state.unfinished <= 0 {
                return None;
            }
            state.unfinished -= 1;
            Some(state.unfinished)
        });
        match left {
            None => Err(fresh::error::<PyValueError>("task_done() called too many times")),
            Some(0) => finished::set(slf),
            Some(_) => Ok(()),
        }
    }

    /// Wait until the work on every item that was put in is done.
    fn join<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::of(slf.py(), "Queue.join", Join::new(slf))
    }

    /// Let nothing more be put in, and wake whoever waits.
    ///
    /// What is in the queue can still be taken out, unless `immediate` is true: then it is
    /// dropped, and counts as done.
    #[cfg(Py_3_13)]
    #[pyo3(signature = (immediate=None), text_signature = "($self, immediate=False)")]
    fn shutdown(slf: &Bound<'_, Self>, immediate: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        slf.get().state.with(py, |state| state.shut_down = true);
        if immediate.map_or(Ok(false), PyAnyMethods::is_truthy)? {
            drain(slf)?;
            if slf.get().state.with(py, |state| state.unfinished) == 0 {
                finished::set(slf)?;
            }
        }
        wake_all(slf, Side::Getters)?;
        wake_all(slf, Side::Putters)
    }

    /// Make the container of the items; may be overridden.
    #[pyo3(name = "_init")]
    fn init(slf: &Bound<'_, Self>, maxsize: Bound<'_, PyAny>) -> PyResult<()> {
        let _ = maxsize;
        let items = match Manner::allowed(slf) {
            Manner::Plain(_) => Items::Own(std::collections::VecDeque::new()),
            _ => Items::Foreign(shown::new_deque(slf.py())?.unbind()),
        };
        slf.get().set_items(slf.py(), items);
        Ok(())
    }

    /// Take an item out of the container; may be overridden.
    #[pyo3(name = "_get")]
    fn get_item(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        if Manner::of(slf) == Manner::Plain(Discipline::First) {
            let empty = || fresh::error::<PyIndexError>("pop from an empty deque");
            return plain::remove(slf, Discipline::First)?.ok_or_else(empty);
        }
        let py = slf.py();
        Ok(items_of(slf)?.call_method0(intern!(py, "popleft"))?.unbind())
    }

    /// Put an item into the container; may be overridden.
    #[pyo3(name = "_put")]
    fn put_item(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        if Manner::of(slf) == Manner::Plain(Discipline::First) {
            return plain::insert(slf, Discipline::First, item);
        }
        items_of(slf)?.call_method1(intern!(slf.py(), "append"), (item,)).map(drop)
    }

    /// Wake the first of `waiters` who still waits.
    #[pyo3(name = "_wakeup_next")]
    fn wakeup_next(&self, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        lines::wake_in(waiters, false)
    }

    #[pyo3(name = "_get_loop")]
    fn get_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().binding.event_loop(slf.as_any())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.binding.traverse(&visit)?;
            self.state.traverse(|state| {
                visit.call(&state.maxsize)?;
                state.items.visit(&visit)?;
                state.getters.visit(&visit)?;
                state.putters.visit(&visit)?;
                state.finished.visit(&visit)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: queues have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        drop(self.state.with(py, |state| {
            (
                state.maxsize.take(),
                std::mem::replace(&mut state.items, Items::Unset),
                std::mem::replace(&mut state.getters, Waiters::new()),
                std::mem::replace(&mut state.putters, Waiters::new()),
                state.finished.take(),
            )
        }));
        self.binding.clear(py);
    }
}

/// The attributes that asyncio's queues have, for the libraries that use them.
#[pymethods]
impl Queue {
    #[getter(_maxsize)]
    fn raw_maxsize(&self, py: Python<'_>) -> Py<PyAny> {
        let maxsize = self.state.with(py, |state| Some(state.maxsize.as_ref()?.clone_ref(py)));
        maxsize.unwrap_or_else(|| py.None())
    }

    #[setter(_maxsize)]
    fn set_maxsize(&self, maxsize: &Bound<'_, PyAny>) {
        let capacity = Capacity::of(maxsize);
        let reference = maxsize.clone().unbind();
        drop(self.state.with(maxsize.py(), |state| {
            state.capacity = capacity;
            state.maxsize.replace(reference)
        }));
    }

    #[getter(_queue)]
    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        shown::items(slf)
    }

    #[setter(_queue)]
    fn replace_items(&self, value: Bound<'_, PyAny>) {
        let py = value.py();
        let items = match value.cast_into_exact::<PyList>() {
            Ok(list) => Items::List(list.unbind()),
            Err(error) => Items::Foreign(error.into_inner().unbind()),
        };
        self.set_items(py, items);
    }

    #[getter(_getters)]
    fn getters<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        shown::waiters(slf, Side::Getters)
    }

    #[setter(_getters)]
    fn set_getters(&self, py: Python<'_>, value: Py<PyAny>) {
        let waiters = Waiters::Foreign(value);
        drop(self.state.with(py, |state| std::mem::replace(&mut state.getters, waiters)));
    }

    #[getter(_putters)]
    fn putters<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        shown::waiters(slf, Side::Putters)
    }

    #[setter(_putters)]
    fn set_putters(&self, py: Python<'_>, value: Py<PyAny>) {
        let waiters = Waiters::Foreign(value);
        drop(self.state.with(py, |state| std::mem::replace(&mut state.putters, waiters)));
    }

    #[getter(_unfinished_tasks)]
    fn unfinished(&self, py: Python<'_>) -> i64 {
        self.state.with(py, |state| state.unfinished)
    }

    #[setter(_unfinished_tasks)]
    fn set_unfinished(&self, py: Python<'_>, value: i64) {
        self.state.with(py, |state| state.unfinished = value);
    }

    #[getter(_finished)]
    fn finished<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        finished::show(slf)
    }

    #[setter(_finished)]
    fn set_finished(slf: &Bound<'_, Self>, value: Py<PyAny>) {
        finished::replace(slf, value);
    }

    #[cfg(Py_3_13)]
    #[getter(_is_shutdown)]
    fn shut_down(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.shut_down)
    }

    #[cfg(Py_3_13)]
    #[setter(_is_shutdown)]
    fn set_shut_down(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let shut_down = value.is_truthy()?;
        self.state.with(value.py(), |state| state.shut_down = shut_down);
        Ok(())
    }

    #[getter(_loop)]
    fn home(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.binding.get(py)
    }

    #[setter(_loop)]
    fn set_home(&self, value: &Bound<'_, PyAny>) {
        self.binding.set(value);
    }
}

impl Queue {
    pub(super) fn set_items(&self, py: Python<'_>, items: Items) {
        drop(self.state.with(py, |state| std::mem::replace(&mut state.items, items)));
    }
}

/// Which queue, and `self._format()`.
fn in_brackets<'py>(slf: &Bound<'py, Queue>, which: &str) -> PyResult<Bound<'py, PyString>> {
    let py = slf.py();
    let format = match Discipline::of(slf) {
        Some(_) => described(slf)?,
        None => slf.call_method0(intern!(py, "_format"))?.str()?,
    };
    let opened = fresh::string(py, &format!("<{which} "))?;
    fresh::joined(py, [opened, format, fresh::string(py, ">")?])
}

/// Made of strings of Python's, since the items' text may be of any length.
fn described<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyString>> {
    let py = slf.py();
    let _level = Level::enter(py)?;
    let this = slf.get();
    let maxsize = fresh::text(format_args!("maxsize={}", this.raw_maxsize(py).bind(py).repr()?))?;
    let items = listed_items(slf)?.map(|items| items.repr()).transpose()?;
    let mut text = String::new();
    for side in [Side::Getters, Side::Putters] {
        let known = this.state.with(py, |state| {
            let line = state.line(side);
            line.are_own().then(|| line.len())
        });
        let waiting = match known {
            Some(count) => count,
            None => slf.getattr(side.attribute(py))?.len()?,
        };
        if waiting > 0 {
            let _ = write!(text, " {}[{waiting}]", side.attribute(py));
        }
    }
    let (unfinished, shut_down) = this.state.with(py, |state| (state.unfinished, state.shut_down));
    if unfinished != 0 {
        let _ = write!(text, " tasks={unfinished}");
    }
    if shut_down {
        text.push_str(" shutdown");
    }
    match items {
        None => fresh::string(py, &(maxsize + &text)),
        Some(items) => {
            let before = fresh::string(py, &(maxsize + " _queue="))?;
            fresh::joined(py, [before, items, fresh::string(py, &text)?])
        }
    }
}

/// The items as a list, if there are any.
fn listed_items<'py>(slf: &Bound<'py, Queue>) -> PyResult<Option<Bound<'py, PyList>>> {
    let py = slf.py();
    let own = slf.get().state.with(py, |state| match &state.items {
        Items::Own(items) => Some(copies(items.iter().map(|item| item.clone_ref(py)))),
        _ => None,
    });
    if let Some(items) = own.transpose().map_err(|_| no_memory(py))? {
        return (!items.is_empty()).then(|| fresh::list(py, items)).transpose();
    }
    match slf.getattr_opt(intern!(py, "_queue"))? {
        Some(items) if items.is_truthy()? => {
            fresh::list(py, gathered(py, items.try_iter()?)?).map(Some)
        }
        _ => Ok(None),
    }
}

/// Drops every item, each of which counts as done.
#[cfg(Py_3_13)]
fn drain(slf: &Bound<'_, Queue>) -> PyResult<()> {
    let py = slf.py();
    while !calls::is_empty(slf)? {
        match Manner::of(slf) {
            Manner::Plain(discipline) => drop(plain::remove(slf, discipline)?),
            _ => drop(slf.call_method0(intern!(py, "_get"))?),
        }
        slf.get().state.with(py, |state| {
            if state.unfinished > 0 {
                state.unfinished -= 1;
            }
        });
    }
    Ok(())
}

/// Wakes everybody in a line.
#[cfg(Py_3_13)]
fn wake_all(slf: &Bound<'_, Queue>, side: Side) -> PyResult<()> {
    let py = slf.py();
    while let Some(waiter) = slf.get().state.with(py, |state| state.line(side).pop()) {
        if !waiter.is_done(py)? {
            waiter.set_result(py, py.None())?;
        }
    }
    if slf.get().state.with(py, |state| state.line(side).are_own()) {
        return Ok(());
    }
    lines::wake_in(&slf.getattr(side.attribute(py))?, true)
}
