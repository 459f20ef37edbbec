//! `Queue`, `PriorityQueue` and `LifoQueue`.
//!
//! # Three manners
//!
//! | a queue is | when | its items are in | its waiters in |
//! | --- | --- | --- | --- |
//! | *plain* | none of our methods is overridden | a container of Rust's, or the list of the ordered classes | lines of Rust's |
//! | *hooked* | `_init`, `_put` or `_get` is overridden, no other | the class's own container | lines of Rust's |
//! | *open* | otherwise, and once Python code has seen a container of Rust's | Python's containers | Python's containers |
//!
//! Native code in [`plain`] and [`hooked`] calls nothing that could be overridden; [`open`] calls
//! everything that can, in asyncio's order.
//!
//! 1. The manner is asked for anew after everything that may have run Python code; classes and
//!    objects may change while a queue waits ([`derived`]).
//! 2. Showing `_queue`, `_getters` or `_putters` moves what is inside into a `deque`, which is the
//!    container from then on ([`containers`]): whoever changes it changes the queue.
//! 3. A waiter is taken out of its line by whoever wakes it. One that was woken but cannot go on
//!    wakes the next in line ([`waiting`]).

mod class;
mod containers;
mod derived;
mod finished;
mod hooked;
mod open;
mod ordered;
mod plain;
mod waiting;

use std::sync::OnceLock;

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::PyType;

use crate::binding::Binding;
use crate::cell::AttachedCell;
use crate::fresh::Text;
use crate::instance_dict;
use crate::slots::Deallocate;
use crate::standard::Standard;

use containers::{Items, Waiters};
use derived::Verdict;
pub(crate) use derived::remember_methods;
use finished::Finished;

pub(crate) use ordered::{LifoQueue, PriorityQueue};

/// A native `asyncio.Queue`.
#[pyclass(frozen, subclass, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Queue {
    state: AttachedCell<State>,
    binding: Binding,
}

#[derive(Debug)]
struct State {
    /// As it was given; `None` before `__init__` has run.
    maxsize: Option<Py<PyAny>>,
    capacity: Capacity,
    items: Items,
    getters: Waiters,
    putters: Waiters,
    /// How many items were put for which `task_done` was not called.
    unfinished: i64,
    finished: Finished,
    /// Never set before Python 3.13.
    shut_down: bool,
    verdict: Option<Verdict>,
}

impl State {
    const fn new() -> Self {
        Self {
            maxsize: None,
            capacity: Capacity::Unbounded,
            items: Items::Unset,
            getters: Waiters::new(),
            putters: Waiters::new(),
            unfinished: 0,
            finished: Finished::new(),
            shut_down: false,
            verdict: None,
        }
    }

    fn line(&mut self, side: Side) -> &mut Waiters {
        match side {
            Side::Getters => &mut self.getters,
            Side::Putters => &mut self.putters,
        }
    }

    /// Whether the containers are such as a manner needs.
    #[inline]
    fn suits(&self, manner: Manner) -> bool {
        !matches!(self.capacity, Capacity::Odd)
            && self.getters.are_own()
            && self.putters.are_own()
            && matches!(
                (manner, &self.items),
                (Manner::Plain(Order::First), Items::Own(_))
                    | (Manner::Plain(Order::Least | Order::Last), Items::List(_))
                    | (Manner::Hooked, Items::List(_) | Items::Foreign(_))
            )
    }
}

/// How many items a queue takes.
#[derive(Clone, Copy, Debug)]
enum Capacity {
    Unbounded,
    Bounded(usize),
    /// Something that only Python can compare with a number.
    Odd,
}

impl Capacity {
    fn of(maxsize: &Bound<'_, PyAny>) -> Self {
        if maxsize.is_exact_instance_of::<pyo3::types::PyInt>() {
            return match maxsize.extract::<i64>() {
                Ok(size) if size <= 0 => Self::Unbounded,
                Ok(size) => usize::try_from(size).map_or(Self::Unbounded, Self::Bounded),
                // As good as unbounded, unless it is far below zero, which is just that.
                Err(_) => Self::Unbounded,
            };
        }
        match maxsize.cast_exact::<pyo3::types::PyFloat>() {
            Ok(size) if size.value().is_infinite() => Self::Unbounded,
            _ => Self::Odd,
        }
    }
}

/// Which item a class of queues gives first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The one that was put first.
    First,
    /// The least.
    Least,
    /// The one that was put last.
    Last,
}

impl Order {
    /// The order of exactly our classes.
    #[inline]
    fn of(queue: &Bound<'_, Queue>) -> Option<Self> {
        let py = queue.py();
        let class = queue.get_type_ptr();
        if class == Queue::type_object_raw(py) {
            Some(Self::First)
        } else if class == PriorityQueue::type_object_raw(py) {
            Some(Self::Least)
        } else if class == LifoQueue::type_object_raw(py) {
            Some(Self::Last)
        } else {
            None
        }
    }
}

/// The two lines before a queue.
#[derive(Clone, Copy, Debug)]
enum Side {
    Getters,
    Putters,
}

impl Side {
    fn attribute(self, py: Python<'_>) -> &Bound<'_, pyo3::types::PyString> {
        match self {
            Self::Getters => intern!(py, "_getters"),
            Self::Putters => intern!(py, "_putters"),
        }
    }
}

/// How a queue works, see the top of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Plain(Order),
    Hooked,
    Open,
}

impl Manner {
    /// What the class and the attributes of a queue allow.
    #[inline]
    fn allowed(slf: &Bound<'_, Queue>) -> Self {
        // SAFETY: queues have a dictionary.
        let unadorned = unsafe { instance_dict::len(slf.as_ptr()) == 0 };
        match Order::of(slf) {
            Some(order) if unadorned && derived::is_untouched(slf, order) => Self::Plain(order),
            _ => derived::manner(slf),
        }
    }

    #[inline]
    fn of(slf: &Bound<'_, Queue>) -> Self {
        let manner = Self::allowed(slf);
        if slf.get().state.with(slf.py(), |state| state.suits(manner)) {
            manner
        } else {
            Self::Open
        }
    }

    /// Whether the waiters are in lines of Rust's.
    fn has_lines(slf: &Bound<'_, Queue>) -> bool {
        Self::of(slf) != Self::Open
    }
}

/// `full()`, as a method of the queue calls it.
fn is_full(slf: &Bound<'_, Queue>) -> PyResult<bool> {
    match Manner::of(slf) {
        Manner::Plain(_) => Ok(plain::is_full(slf)),
        Manner::Hooked => hooked::is_full(slf),
        Manner::Open => slf.call_method0(intern!(slf.py(), "full"))?.is_truthy(),
    }
}

/// `empty()`, as a method of the queue calls it.
fn is_empty(slf: &Bound<'_, Queue>) -> PyResult<bool> {
    match Manner::of(slf) {
        Manner::Plain(_) => Ok(plain::size(slf) == 0),
        Manner::Hooked => hooked::is_empty(slf),
        Manner::Open => slf.call_method0(intern!(slf.py(), "empty"))?.is_truthy(),
    }
}

/// `put_nowait(item)`, as a method of the queue calls it.
fn put_nowait(slf: &Bound<'_, Queue>, item: Py<PyAny>) -> PyResult<Py<PyAny>> {
    match Manner::of(slf) {
        Manner::Plain(order) => plain::put(slf, order, item)?,
        Manner::Hooked => hooked::put(slf, item)?,
        Manner::Open => {
            return Ok(slf.call_method1(intern!(slf.py(), "put_nowait"), (item,))?.unbind());
        }
    }
    Ok(slf.py().None())
}

/// `get_nowait()`, as a method of the queue calls it.
fn get_nowait(slf: &Bound<'_, Queue>) -> PyResult<Py<PyAny>> {
    match Manner::of(slf) {
        Manner::Plain(order) => plain::get(slf, order),
        Manner::Hooked => hooked::get(slf),
        Manner::Open => Ok(slf.call_method0(intern!(slf.py(), "get_nowait"))?.unbind()),
    }
}

/// Wakes the first in line who still waits.
#[inline]
fn wake_next(slf: &Bound<'_, Queue>, side: Side) -> PyResult<()> {
    let py = slf.py();
    let state = &slf.get().state;
    while !state.with(py, |state| state.line(side).is_own_and_empty()) {
        if !Manner::has_lines(slf) {
            return open::wake_next(slf, side);
        }
        if let Some(waiter) = state.with(py, |state| state.line(side).pop())
            && !waiter.is_done(py)?
        {
            return waiter.set_result(py, py.None());
        }
    }
    Ok(())
}

fn is_shut_down(slf: &Bound<'_, Queue>) -> bool {
    slf.get().state.with(slf.py(), |state| state.shut_down)
}

/// Why a queue does not do at once what it is asked.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Full,
    Empty,
    ShutDown,
}

impl Refusal {
    /// asyncio's exception.
    fn error(self, py: Python<'_>) -> PyErr {
        let class = Standard::get(py).and_then(|standard| match self {
            Self::Full => Ok(standard.queue_full.bind(py).clone()),
            Self::Empty => Ok(standard.queue_empty.bind(py).clone()),
            Self::ShutDown => py.import(Text("asyncio.queues"))?.getattr(Text("QueueShutDown")),
        });
        match class.and_then(|class| Ok(class.cast_into::<PyType>()?)) {
            Ok(class) => PyErr::from_type(class, ()),
            Err(error) => error,
        }
    }
}

/// How far behind the beginning of its object a queue's Rust value lies.
static VALUE_OFFSET: OnceLock<usize> = OnceLock::new();

impl Queue {
    const fn new() -> Self {
        Self { state: AttachedCell::new(State::new()), binding: Binding::new() }
    }

    /// The object of which this is the value.
    fn object(&self) -> *mut ffi::PyObject {
        let offset = VALUE_OFFSET.get().copied().unwrap_or_default();
        std::ptr::from_ref(self).wrapping_byte_sub(offset).cast::<ffi::PyObject>().cast_mut()
    }
}

/// Drops the dictionary of a queue that is taken apart.
///
/// # Safety
/// As for [`Deallocate::strip`].
unsafe fn strip<T: PyClass>(slf: &Bound<'_, T>) {
    // SAFETY: queues have a dictionary.
    if let Some(dict) = unsafe { instance_dict::take(slf.as_ptr()) } {
        dict.drop_ref(slf.py());
    }
}

impl Deallocate for Queue {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: the caller's promise is the same.
        unsafe { strip(slf) }
    }
}

/// Makes the classes of this module complete.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let example = Bound::new(py, Queue::new())?;
    let (start, value) = (example.as_ptr().addr(), std::ptr::from_ref(example.get()).addr());
    VALUE_OFFSET.get_or_init(|| value - start);
    drop(example);
    // The classes that are derived in Rust have to be made while a queue has just the size of its
    // Rust value, to which they add nothing: so the dictionary of all three lies in one place.
    ordered::install(py);
    instance_dict::install::<Queue>(py);
    crate::slots::install_deallocate::<Queue>(py);
    Ok(())
}
