//! What a class derived from ours, or an attribute of an object, puts in the place of our methods.
//!
//! The answer takes a few dozen lookups, so it is kept in the queue with what it was found for:
//! the version of the class, which changes with every change to the class and its bases, and the
//! number of the object's attributes.

use std::num::NonZeroU32;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use super::{LifoQueue, Manner, Order, PriorityQueue, Queue};
use crate::instance_dict;

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

/// An answer, and what it was found for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    class_version: NonZeroU32,
    attributes: usize,
    manner: Manner,
}

/// Attributes of a class of ours.
type Attributes = Vec<(Py<PyString>, Py<PyAny>)>;

struct Originals {
    controls: Attributes,
    hooks: [(Order, Attributes); 3],
}

impl Originals {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static ORIGINALS: PyOnceLock<Originals> = PyOnceLock::new();
        ORIGINALS.get_or_try_init(py, || {
            let queue = py.get_type::<Queue>();
            let of = |class: &Bound<'_, pyo3::types::PyType>, names: &[&str]| {
                let original = |name| {
                    let name = PyString::intern(py, name);
                    Ok((name.clone().unbind(), class.getattr(name)?.unbind()))
                };
                names.iter().copied().map(original).collect::<PyResult<Attributes>>()
            };
            Ok(Self {
                controls: of(&queue, &CONTROLS)?,
                hooks: [
                    (Order::First, of(&queue, &HOOKS)?),
                    (Order::Least, of(&py.get_type::<PriorityQueue>(), &HOOKS)?),
                    (Order::Last, of(&py.get_type::<LifoQueue>(), &HOOKS)?),
                ],
            })
        })
    }
}

/// The manner that a queue's class and attributes allow.
pub(super) fn manner(slf: &Bound<'_, Queue>) -> Manner {
    let py = slf.py();
    // SAFETY: attached, and queues have a dictionary; reads the version of the object's class.
    let (version, attributes) =
        unsafe { ((*slf.get_type_ptr()).tp_version_tag, instance_dict::len(slf.as_ptr())) };
    let known = slf.get().state.with(py, |state| state.verdict);
    if let Some(known) = known
        && known.class_version.get() == version
        && known.attributes == attributes
    {
        return known.manner;
    }
    // Whatever cannot be asked is left to Python, which will raise it again.
    let manner = find(slf).unwrap_or(Manner::Open);
    // SAFETY: as above. The lookups have given the class a version, unless there are no more.
    let version = unsafe { (*slf.get_type_ptr()).tp_version_tag };
    let verdict =
        NonZeroU32::new(version).map(|class_version| Verdict { class_version, attributes, manner });
    slf.get().state.with(py, |state| state.verdict = verdict);
    manner
}

fn find(slf: &Bound<'_, Queue>) -> PyResult<Manner> {
    let py = slf.py();
    let class = slf.get_type();
    // SAFETY: queues have a dictionary.
    let attributes = unsafe { instance_dict::peek(slf.as_any()) };
    let all_ours = |names: &[(Py<PyString>, Py<PyAny>)]| -> PyResult<bool> {
        for (name, original) in names {
            if let Some(attributes) = &attributes
                && attributes.contains(name)?
            {
                return Ok(false);
            }
            if !class.getattr(name.bind(py))?.is(original) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let originals = Originals::get(py)?;
    if !all_ours(&originals.controls)? {
        return Ok(Manner::Open);
    }
    for (order, hooks) in &originals.hooks {
        if all_ours(hooks)? {
            return Ok(Manner::Plain(*order));
        }
    }
    Ok(Manner::Hooked)
}
