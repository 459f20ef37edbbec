//! What a class derived from ours, or an attribute of an object, puts in the place of our methods.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::{LifoQueue, Manner, Order, PriorityQueue, Queue};
use crate::overrides::{self, Attributes, has_all, originals};

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

/// The manner that was found for a queue.
pub(super) type Verdict = overrides::Verdict<Manner>;

struct Originals {
    controls: Attributes,
    hooks: [(Order, Attributes); 3],
}

impl Originals {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static ORIGINALS: PyOnceLock<Originals> = PyOnceLock::new();
        ORIGINALS.get_or_try_init(py, || {
            let queue = py.get_type::<Queue>();
            Ok(Self {
                controls: originals(&queue, &CONTROLS)?,
                hooks: [
                    (Order::First, originals(&queue, &HOOKS)?),
                    (Order::Least, originals(&py.get_type::<PriorityQueue>(), &HOOKS)?),
                    (Order::Last, originals(&py.get_type::<LifoQueue>(), &HOOKS)?),
                ],
            })
        })
    }
}

/// The manner that a queue's class and attributes allow.
pub(super) fn manner(slf: &Bound<'_, Queue>) -> Manner {
    let py = slf.py();
    let known = slf.get().state.with(py, |state| state.verdict);
    if let Some(manner) = Verdict::recall(known, slf) {
        return manner;
    }
    // Whatever cannot be asked is left to Python, which will raise it again.
    let manner = find(slf).unwrap_or(Manner::Open);
    // The lookups have given the class a version.
    let verdict = Verdict::new(slf, manner);
    slf.get().state.with(py, |state| state.verdict = verdict);
    manner
}

fn find(slf: &Bound<'_, Queue>) -> PyResult<Manner> {
    let originals = Originals::get(slf.py())?;
    if !has_all(slf, &originals.controls)? {
        return Ok(Manner::Open);
    }
    for (order, hooks) in &originals.hooks {
        if has_all(slf, hooks)? {
            return Ok(Manner::Plain(*order));
        }
    }
    Ok(Manner::Hooked)
}
