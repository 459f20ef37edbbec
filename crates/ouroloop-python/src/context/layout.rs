//! Where a thread keeps its current context, and a context its variables.
//!
//! The interpreter has no name for either, so both are looked for at first use, by what the public
//! functions do to them. If anything is not as expected, [`Layout::get`] answers `None` and contexts
//! are copied as the public functions copy them.
//!
//! 1. The thread's state holds the pointer to the context that was entered last.
//! 2. A context holds, as one owned pointer, a mapping that never changes; setting a variable puts
//!    another mapping in its place. A copy of the context shares the mapping.

use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::interpreter::fresh::Text;
use crate::interpreter::once::Once as _;
use crate::interpreter::references::attached;
use crate::interpreter::tricks;

/// The current context lies in the first words of a thread's state, which has more on every version:
/// the shortest (3.12) has 36.
const WORDS: usize = if cfg!(target_pointer_width = "64") { 36 } else { 0 };

/// Two offsets, in words, and what is found there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    thread_context: usize,
    variables: usize,
    /// The type of a context's variables, which lives as long as the interpreter.
    kind: *mut ffi::PyTypeObject,
}

// SAFETY: the pointer is only compared.
unsafe impl Send for Layout {}
// SAFETY: as above.
unsafe impl Sync for Layout {}

impl Layout {
    /// The layout of this interpreter, if it could be proved.
    #[inline]
    pub(super) fn get(py: Python<'_>) -> Option<Self> {
        static LAYOUT: OnceLock<Option<Layout>> = OnceLock::new();
        match LAYOUT.get() {
            Some(layout) => *layout,
            None if tricks::are_off() => None,
            None => Self::find_once(py, &LAYOUT),
        }
    }

    #[cold]
    fn find_once(py: Python<'_>, known: &OnceLock<Option<Self>>) -> Option<Self> {
        let find = || Self::find(py).or(Ok::<_, PyErr>(None));
        *known.find(py, || attached(py, find)).ok()?
    }

    /// The variables of the current context; `None` if this thread has no context yet.
    #[inline]
    pub(super) fn current(self, py: Python<'_>) -> Option<Bound<'_, PyAny>> {
        // SAFETY: attached. The offsets were proved: the first word is null or a context, the
        // second its variables.
        unsafe {
            let thread = ffi::PyThreadState_Get().cast::<*mut ffi::PyObject>();
            let context = *thread.add(self.thread_context);
            if context.is_null() || ffi::PyContext_CheckExact(context) == 0 {
                return None;
            }
            Bound::from_borrowed_ptr_or_opt(py, *self.variables_of(context))
        }
    }

    /// Whether the object is the variables of a context.
    #[inline]
    pub(super) fn are_variables(self, object: &Py<PyAny>) -> bool {
        // SAFETY: the object is alive.
        unsafe { ffi::Py_TYPE(object.as_ptr()) == self.kind }
    }

    /// The variables of `context`.
    pub(super) fn variables<'py>(self, context: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        // SAFETY: the field of a context is never null.
        unsafe { Bound::from_borrowed_ptr(context.py(), *self.variables_of(context.as_ptr())) }
    }

    /// Gives `context`, which is not entered, other variables; answers those of before.
    #[inline]
    pub(super) fn exchange<'py>(
        self,
        context: &Bound<'py, PyAny>,
        variables: Py<PyAny>,
    ) -> Bound<'py, PyAny> {
        // SAFETY: the field owns its reference, and `variables` came out of such a field.
        unsafe {
            let field = self.variables_of(context.as_ptr());
            let before = std::mem::replace(&mut *field, variables.into_ptr());
            Bound::from_owned_ptr(context.py(), before)
        }
    }

    /// # Safety
    /// `context` must be one.
    unsafe fn variables_of(self, context: *mut ffi::PyObject) -> *mut *mut ffi::PyObject {
        // SAFETY: the offset was found within the object.
        unsafe { context.cast::<*mut ffi::PyObject>().add(self.variables) }
    }

    fn find(py: Python<'_>) -> PyResult<Option<Self>> {
        let module = py.import(Text("contextvars"))?;
        let variable = module.getattr(Text("ContextVar"))?.call1((Text("ouroloop"),))?;
        let context = module.getattr(Text("Context"))?.call0()?;
        context.call_method1(Text("run"), (variable.getattr(Text("set"))?, Text("proof")))?;
        let copy = context.call_method0(Text("copy"))?;
        let Some(variables) = find_variables(&context, &copy)? else { return Ok(None) };
        let (Some(one), Some(other)) = (find_current(&context)?, find_current(&copy)?) else {
            return Ok(None);
        };
        if one != other {
            return Ok(None);
        }
        let kind = std::ptr::null_mut();
        let mut layout = Self { thread_context: one, variables, kind };
        // The proof: a context that gets these variables has the value.
        let fresh = module.getattr(Text("Context"))?.call0()?;
        let shared = layout.variables(&copy);
        if shared.get_type().name()? != "hamt" {
            return Ok(None);
        }
        layout.kind = shared.get_type().as_type_ptr();
        drop(layout.exchange(&fresh, shared.unbind()));
        let seen =
            fresh.call_method1(Text("run"), (variable.getattr(Text("get"))?, Text("nothing")))?;
        Ok((seen.extract::<&str>()? == "proof").then_some(layout))
    }
}

/// The first word behind the head that is what a context and its copy both refer to.
fn find_variables<'py>(
    context: &Bound<'py, PyAny>,
    copy: &Bound<'py, PyAny>,
) -> PyResult<Option<usize>> {
    let referents = context.py().import(Text("gc"))?.getattr(Text("get_referents"))?;
    let of = |context: &Bound<'py, PyAny>| -> PyResult<Vec<Bound<'py, PyAny>>> {
        referents.call1((context,))?.try_iter()?.collect()
    };
    let (mine, others) = (of(context)?, of(copy)?);
    let mut shared = mine.iter().filter(|object| others.iter().any(|other| other.is(*object)));
    let (Some(variables), None) = (shared.next(), shared.next()) else { return Ok(None) };
    let head = size_of::<ffi::PyObject>() / size_of::<usize>();
    // SAFETY: attached; a context is as large as its type says. The search ends at the field: what lies
    // behind it may be padding, which nobody has written.
    let words = unsafe {
        let size = (*ffi::Py_TYPE(context.as_ptr())).tp_basicsize;
        let words = usize::try_from(size).unwrap_or(0) / size_of::<usize>();
        std::slice::from_raw_parts(context.as_ptr().cast::<usize>(), words)
    };
    let variables = variables.as_ptr().addr();
    Ok((head..words.len()).find(|place| words[*place] == variables))
}

/// Which word of the thread's state is the context while it is entered, and only then.
fn find_current(context: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let py = context.py();
    let places = || -> Vec<usize> {
        // SAFETY: attached; the state has as many words.
        let words = unsafe {
            std::slice::from_raw_parts(
                ffi::PyThreadState_Get().cast::<*mut ffi::PyObject>().cast_const(),
                WORDS,
            )
        };
        (0..WORDS).filter(|place| words[*place] == context.as_ptr()).collect()
    };
    let before = places();
    let entered = super::run_in(py, &context.clone().unbind(), || Ok(places()))?;
    let after = places();
    Ok(match entered.as_slice() {
        [place] if before.is_empty() && after.is_empty() => Some(*place),
        _ => None,
    })
}
