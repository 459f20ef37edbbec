//! From 3.14 on: a field of the thread's state.

use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;

use super::standard::{self, NotHere};
use crate::interpreter::fresh::Text;
use crate::interpreter::tricks;

/// How many words the thread's state has, at least: the fields are looked for in these.
///
/// The size is that of the running minor version, which fixes it (3.14: 936 bytes, 3.15: 1,096); where
/// words have other sizes it is not known.
const WORDS: usize = if cfg!(not(target_pointer_width = "64")) {
    0
} else if cfg!(Py_3_15) {
    1096 / 8
} else {
    936 / 8
};

/// The two fields of the thread in which the loop runs.
#[derive(Debug)]
pub(super) struct Place {
    running_loop: *mut *mut ffi::PyObject,
    thread: *mut ffi::PyThreadState,
}

impl Place {
    pub(super) const UNKNOWN: Self =
        Self { running_loop: std::ptr::null_mut(), thread: std::ptr::null_mut() };

    /// The fields of this thread, in which `event_loop` runs.
    pub(super) fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        static OFFSET: OnceLock<Option<usize>> = OnceLock::new();
        let offset = if let Some(offset) = OFFSET.get() {
            *offset
        } else {
            let found = if tricks::are_off() { None } else { find(event_loop)? };
            *OFFSET.get_or_init(|| found)
        };
        let Some(offset) = offset else { return Ok(Self::UNKNOWN) };
        // SAFETY: attached.
        let thread = unsafe { ffi::PyThreadState_Get() };
        // SAFETY: the offset was found in the state of a thread.
        let running_loop = unsafe { thread.cast::<*mut ffi::PyObject>().add(offset) };
        Ok(Self { running_loop, thread })
    }

    /// Exchanges the running task, if `event_loop` is the running loop.
    #[inline]
    pub(super) fn exchange<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        task: Option<&Bound<'py, PyAny>>,
        _entered: bool,
    ) -> Result<Option<Bound<'py, PyAny>>, NotHere> {
        // SAFETY: attached.
        if self.running_loop.is_null() || self.thread != unsafe { ffi::PyThreadState_Get() } {
            return Err(NotHere);
        }
        // SAFETY: the place is in the state of this thread; the second field owns a reference or is
        // null.
        unsafe {
            if *self.running_loop != event_loop.as_ptr() {
                return Err(NotHere);
            }
            let field = self.running_loop.add(1);
            let task = task.map_or(std::ptr::null_mut(), |task| ffi::Py_NewRef(task.as_ptr()));
            let before = std::mem::replace(&mut *field, task);
            Ok(Bound::from_owned_ptr_or_opt(event_loop.py(), before))
        }
    }

    /// The running task, if `event_loop` is the running loop.
    #[inline]
    pub(super) fn read<'py>(&self, event_loop: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let py = event_loop.py();
        // SAFETY: attached. The place belongs to the state of the thread in which the loop
        // ran last: it is read only if that is this thread's. (One that has another's address is this
        // thread's all the same.)
        unsafe {
            if self.running_loop.is_null() || self.thread != ffi::PyThreadState_Get() {
                return None;
            }
            if *self.running_loop != event_loop.as_ptr() {
                return None;
            }
            Bound::from_borrowed_ptr_or_opt(py, *self.running_loop.add(1))
        }
    }
}

/// Writes the running task the public way.
pub(super) fn write(
    event_loop: &Bound<'_, PyAny>,
    task: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<Place>> {
    let py = event_loop.py();
    let none = py.None().into_bound(py);
    standard::swap(event_loop, task.unwrap_or(&none))?;
    Ok(None)
}

/// How many words into its thread's state the running loop stands, the running task behind it
/// and owned.
fn find(event_loop: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let py = event_loop.py();
    let probe = py.import(Text("builtins"))?.getattr(Text("object"))?.call0()?;
    // SAFETY: attached; the object is alive.
    let references = || unsafe { ffi::Py_REFCNT(probe.as_ptr()) };
    let before = references();
    standard::swap(event_loop, &probe)?;
    let owned = references() == before + 1;
    // SAFETY: attached; a thread's state has as many words.
    let state = unsafe {
        std::slice::from_raw_parts(
            ffi::PyThreadState_Get().cast::<*mut ffi::PyObject>().cast_const(),
            WORDS,
        )
    };
    let found = state
        .windows(2)
        .position(|pair| pair[0] == event_loop.as_ptr() && pair[1] == probe.as_ptr());
    standard::swap(event_loop, py.None().bind(py))?;
    Ok(found.filter(|_| owned))
}
