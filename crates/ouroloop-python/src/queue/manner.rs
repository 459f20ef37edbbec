//! In which manner a queue works, by what a class derived from ours, or an attribute of an object, puts in the place of
//! our methods.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::PyType;

use super::object::{LifoQueue, PriorityQueue, Queue};
use super::state::{Discipline, Manner, Verdict};
use crate::native::instance_dict;
use crate::native::overrides::{Attributes, Untouched};

impl Discipline {
    /// That of exactly our classes.
    #[inline]
    pub(super) fn of(queue: &Bound<'_, Queue>) -> Option<Self> {
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

impl Manner {
    /// What the class and the attributes of a queue allow.
    #[inline]
    pub(super) fn allowed(slf: &Bound<'_, Queue>) -> Self {
        // SAFETY: queues have a dictionary.
        let unadorned = unsafe { instance_dict::len(slf.as_ptr()) == 0 };
        match Discipline::of(slf) {
            Some(discipline) if unadorned && is_untouched(slf, discipline) => {
                Self::Plain(discipline)
            }
            _ => manner(slf),
        }
    }

    #[inline]
    pub(super) fn of(slf: &Bound<'_, Queue>) -> Self {
        let manner = Self::allowed(slf);
        if slf.get().state.with(slf.py(), |state| state.suits(manner)) {
            manner
        } else {
            Self::Open
        }
    }

    /// Whether the waiters are in lines of Rust's.
    #[inline]
    pub(super) fn has_lines(slf: &Bound<'_, Queue>) -> bool {
        Self::of(slf) != Self::Open
    }
}

/// What to call and ask instead of native code, if it is not ours.
const CONTROLS: [&str; 11] = [
    "full",
    "empty",
    "qsize",
    "put_nowait",
    "get_nowait",
    "_wakeup_next",
    "_get_loop",
    "_queue",
    "_maxsize",
    "_getters",
    "_putters",
];

/// What a class with a container of its own overrides.
const HOOKS: [&str; 3] = ["_init", "_put", "_get"];

/// Whether our own classes have everything of [`CONTROLS`] and [`HOOKS`] still.
static UNTOUCHED: [Untouched; 3] = [const { Untouched::new(&EVERYTHING) }; 3];

const EVERYTHING: [&str; CONTROLS.len() + HOOKS.len()] = {
    let mut names = [""; CONTROLS.len() + HOOKS.len()];
    let (mut place, mut hook) = (0, 0);
    while place < CONTROLS.len() {
        names[place] = CONTROLS[place];
        place += 1;
    }
    while hook < HOOKS.len() {
        names[place + hook] = HOOKS[hook];
        hook += 1;
    }
    names
};

fn untouched(discipline: Discipline) -> &'static Untouched {
    let [queue, priority, lifo] = &UNTOUCHED;
    match discipline {
        Discipline::First => queue,
        Discipline::Least => priority,
        Discipline::Last => lifo,
    }
}

/// Remembers the methods of the classes as they are now.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn remember_methods(py: Python<'_>) -> PyResult<()> {
    Originals::get(py)?;
    untouched(Discipline::First).remember(&py.get_type::<Queue>())?;
    untouched(Discipline::Least).remember(&py.get_type::<PriorityQueue>())?;
    untouched(Discipline::Last).remember(&py.get_type::<LifoQueue>())
}

/// Whether nobody has patched the class of a queue of this discipline, which is the very one of this module.
#[inline]
fn is_untouched(slf: &Bound<'_, Queue>, discipline: Discipline) -> bool {
    untouched(discipline).is(slf.as_any())
}

struct Originals {
    controls: Attributes,
    hooks: [(Discipline, Attributes); 3],
}

impl Originals {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static ORIGINALS: PyOnceLock<Originals> = PyOnceLock::new();
        ORIGINALS.get_or_try_init(py, || {
            let queue = py.get_type::<Queue>();
            Ok(Self {
                controls: Attributes::of(&queue, &CONTROLS)?,
                hooks: [
                    (Discipline::First, Attributes::of(&queue, &HOOKS)?),
                    (Discipline::Least, Attributes::of(&py.get_type::<PriorityQueue>(), &HOOKS)?),
                    (Discipline::Last, Attributes::of(&py.get_type::<LifoQueue>(), &HOOKS)?),
                ],
            })
        })
    }
}

/// The manner that a queue's class and attributes allow.
fn manner(slf: &Bound<'_, Queue>) -> Manner {
    let py = slf.py();
    // Whatever cannot be asked is left to Python, which will raise it again.
    let Ok(originals) = Originals::get(py) else { return Manner::Open };
    let known = slf.get().state.with(py, |state| state.verdict);
    let manner = Verdict::recall(known, slf).unwrap_or_else(|| {
        let class = slf.as_any().get_type();
        let manner = find(originals, &class).unwrap_or(Manner::Open);
        // The lookups have given the class a version.
        let verdict = Verdict::new(&class, manner);
        slf.get().state.with(py, |state| state.verdict = verdict);
        manner
    });
    // SAFETY: attached; a queue has a dictionary of ours.
    if unsafe { instance_dict::is_empty(slf.as_ptr()) } {
        return manner;
    }
    let [(_, hooks), ..] = &originals.hooks;
    match manner {
        _ if !originals.controls.are_not_shadowed(slf) => Manner::Open,
        Manner::Plain(_) if !hooks.are_not_shadowed(slf) => Manner::Hooked,
        manner => manner,
    }
}

/// The manner that a class allows.
fn find(originals: &Originals, class: &Bound<'_, PyType>) -> PyResult<Manner> {
    if !originals.controls.are_those_of(class)? {
        return Ok(Manner::Open);
    }
    for (discipline, hooks) in &originals.hooks {
        if hooks.are_those_of(class)? {
            return Ok(Manner::Plain(*discipline));
        }
    }
    Ok(Manner::Hooked)
}
