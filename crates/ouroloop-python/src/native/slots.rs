//! Type slots that PyO3 has no name for, behind traits.
//!
//! Each `install_*` function patches a class of this crate right after it was created and before
//! Python sees it: no instance and no subclass exists that could have read the old slot.
//!
//! * [`Deallocate`]: `tp_finalize`, which (unlike `Drop`) runs while the object is whole and may
//!   be given to Python code; and a `tp_dealloc` that calls it first, only when it is needed, and
//!   may keep the object on a shelf.
//! * [`Await`]: `am_await`, for objects that `await` steps through themselves.
//! * [`Resume`]: `am_send` and `tp_iternext`, by which a coroutine hands out a result without a
//!   `StopIteration` exception object.
//!
//! No panic leaves any of them ([`crate::errors::containment`]).

use std::ptr;
use std::sync::OnceLock;

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;

use crate::errors::containment::{contained, contained_result, contained_unraisable};
use crate::interpreter::pending::Pending;
#[cfg(not(Py_3_12))]
use crate::interpreter::references::attached;
use crate::native::trashcan;
#[cfg(not(Py_3_13))]
use crate::native::written;

/// In an implementation of [`Deallocate`]: the place of this class's [`Deallocate::original`].
macro_rules! keeps_original {
    () => {
        fn original() -> &'static std::sync::OnceLock<pyo3::ffi::destructor> {
            static ORIGINAL: std::sync::OnceLock<pyo3::ffi::destructor> =
                std::sync::OnceLock::new();
            &ORIGINAL
        }
    };
}

/// A class with something to do when the last reference to an instance goes.
pub(crate) trait Deallocate: PyClass<Frozen = True> + Sync {
    /// Where the deallocation function that PyO3 generated is kept; `keeps_original!()` makes it.
    fn original() -> &'static OnceLock<ffi::destructor>;

    /// Whether an unreachable object has anything to say; must be cheap.
    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        let _ = slf;
        false
    }

    /// Says it; called at most once.
    fn last_words(slf: &Bound<'_, Self>) {
        let _ = slf;
    }

    /// The count is zero, and nobody has run yet who could reach the object by what it has told others
    /// of itself: that is taken back here. Runs no Python code.
    fn detach(slf: &Bound<'_, Self>) {
        let _ = slf;
    }

    /// Whether the last words may run code that drops other objects: then they wait for their turn
    /// as the taking apart does.
    const LAST_WORDS_NEST: bool = true;

    /// Keeps the object for another life instead of freeing it; answers whether it did.
    ///
    /// # Safety
    /// To be called from `tp_dealloc`, after the finalizer.
    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        let _ = slf;
        false
    }

    /// Drops what PyO3's function does not know of.
    ///
    /// # Safety
    /// To be called from `tp_dealloc`, right before that function.
    unsafe fn strip(slf: &Bound<'_, Self>) {
        let _ = slf;
    }

    /// `__del__`: what a class derived in Python calls instead of the slot.
    fn finalize(slf: &Bound<'_, Self>) {
        #[cfg(not(Py_3_13))]
        if !written::is_written(slf) {
            return;
        }
        if Self::has_last_words(slf) {
            Self::last_words(slf);
        }
    }
}

unsafe extern "C" fn finalize<T: Deallocate>(object: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this attached, with a live instance of `T` or a subclass.
    let object = unsafe {
        let py = Python::assume_attached();
        Bound::from_borrowed_ptr(py, object).cast_into_unchecked::<T>()
    };
    #[cfg(not(Py_3_13))]
    if !written::is_written(&object) {
        return;
    }
    if !T::has_last_words(&object) {
        return;
    }
    let speak = |py: Python<'_>| {
        // A finalizer may run while an exception is on its way.
        let _pending = Pending::put_aside(py);
        contained_unraisable(py, || T::last_words(&object));
    };
    // SAFETY: the thread is attached; this tells PyO3, which otherwise would put off every drop.
    unsafe { Python::attach_unchecked(speak) };
}

unsafe extern "C" fn deallocate<T: Deallocate>(object: *mut ffi::PyObject) {
    // SAFETY: called attached, with an instance of `T` or a subclass whose count is zero; its
    // native part is intact until it is taken apart.
    unsafe {
        let py = Python::assume_attached();
        // Borrowed without counting: the count is zero and must stay so.
        let instance = std::mem::ManuallyDrop::new(
            Bound::from_owned_ptr(py, object).cast_into_unchecked::<T>(),
        );
        #[cfg(not(Py_3_13))]
        if !written::is_written(&instance) {
            return written::give_back::<T>(py, object);
        }
        let speaks = T::has_last_words(&instance);
        if speaks && !T::LAST_WORDS_NEST && ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
            return; // Resurrected.
        }
        T::detach(&instance);
        if ffi::PyType_IS_GC(ffi::Py_TYPE(object)) != 0 {
            ffi::PyObject_GC_UnTrack(object.cast());
        }
        if speaks && T::LAST_WORDS_NEST {
            trashcan::finish_or_put_off(object, finalize_and_take_apart::<T>);
        } else {
            trashcan::take_apart_or_put_off(object, take_apart::<T>);
        }
    }
}

/// The second half of [`deallocate`] for an object with last words.
///
/// # Safety
/// To be called as [`trashcan`] does.
unsafe fn finalize_and_take_apart<T: Deallocate>(object: *mut ffi::PyObject) {
    // SAFETY: attached, with a whole object whose count is zero; it is tracked while its finalizer
    // runs and hidden again after, as `take_apart` expects it.
    unsafe {
        let collected = ffi::PyType_IS_GC(ffi::Py_TYPE(object)) != 0;
        if collected {
            ffi::PyObject_GC_Track(object.cast());
        }
        if ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
            return; // Resurrected.
        }
        let py = Python::assume_attached();
        // What the last words have done is to be undone once more.
        T::detach(&std::mem::ManuallyDrop::new(
            Bound::from_owned_ptr(py, object).cast_into_unchecked::<T>(),
        ));
        if collected {
            ffi::PyObject_GC_UnTrack(object.cast());
        }
        take_apart::<T>(object);
    }
}

/// The second half of [`deallocate`] for one without.
///
/// # Safety
/// To be called as [`trashcan`] does.
unsafe fn take_apart<T: Deallocate>(object: *mut ffi::PyObject) {
    // SAFETY: attached; the object is whole until PyO3's function runs, which is the last to
    // touch it. Its count stays zero, as in `deallocate`.
    unsafe {
        let py = Python::assume_attached();
        let instance = std::mem::ManuallyDrop::new(
            Bound::from_owned_ptr(py, object).cast_into_unchecked::<T>(),
        );
        // An object of which the taking apart panics stays as it is, for ever.
        contained_unraisable(py, || {
            if T::shelve(&instance) {
                return;
            }
            T::strip(&instance);
            if let Some(original) = T::original().get() {
                original(object);
            }
        });
    }
}

/// Gives class `T` its finalizer and its way of deallocation.
pub(crate) fn install_deallocate<T: Deallocate>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: see the top of the file; both functions fit the slots' contracts.
    unsafe {
        if let Some(original) = (*class).tp_dealloc {
            T::original().get_or_init(|| original);
            (*class).tp_dealloc = Some(deallocate::<T>);
            (*class).tp_finalize = Some(finalize::<T>);
        }
        ffi::PyType_Modified(class);
    }
}

/// The error with which `send` and `throw` answer the end of an iteration.
pub(crate) fn ended_with(py: Python<'_>, result: Py<PyAny>) -> PyErr {
    if result.is_none(py) {
        return PyErr::new::<pyo3::exceptions::PyStopIteration, _>(());
    }
    PyErr::new::<pyo3::exceptions::PyStopIteration, _>((result,))
}

/// What one step of a coroutine-like object gives.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// It awaits this.
    Yielded(Py<PyAny>),
    /// It is done.
    Returned(Py<PyAny>),
    /// It raised.
    Raised(PyErr),
}

/// A class whose instances can be stepped by `PyIter_Send`.
pub(crate) trait Resume: PyClass<Frozen = True> + Sync {
    /// Whether a step may drop a `Py`, which PyO3 puts off unless it knows that it is attached.
    const DROPS: bool = true;

    /// One step, with the value that the awaited object answered.
    fn resume(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Resumed;

    /// The same, if it drops no `Py` and calls nothing of Python's, whatever [`Resume::DROPS`] says of other steps.
    #[inline]
    fn resume_plainly(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Option<Resumed> {
        let _ = (slf, value);
        None
    }
}

/// A step of the object with this value; what a panic leaves is an error.
///
/// # Safety
/// The thread must be attached, `object` a live instance of `T`, and `value` live.
#[inline]
unsafe fn step<T: Resume, R>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    hand_out: impl Fn(Python<'_>, Resumed) -> R,
) -> R {
    // SAFETY: the caller's promise.
    let (py, object, value) = unsafe {
        let py = Python::assume_attached();
        let object = Borrowed::from_ptr(py, object).cast_unchecked::<T>();
        (py, object, Borrowed::from_ptr(py, value))
    };
    match contained(|| T::resume_plainly(&object, &value)) {
        Ok(None) => {}
        Ok(Some(resumed)) => return hand_out(py, resumed),
        Err(panic) => return hand_out(py, Resumed::Raised(panic)),
    }
    let resume = |py: Python<'_>| {
        hand_out(py, contained(|| T::resume(&object, &value)).unwrap_or_else(Resumed::Raised))
    };
    // SAFETY: the thread is attached; this tells PyO3, too.
    if T::DROPS { unsafe { Python::attach_unchecked(resume) } } else { resume(py) }
}

unsafe extern "C" fn send<T: Resume>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    answer: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    let hand_out = |py: Python<'_>, resumed| {
        let (handed, status) = match resumed {
            Resumed::Yielded(awaited) => (awaited.into_ptr(), ffi::PySendResult::PYGEN_NEXT),
            Resumed::Returned(result) => (result.into_ptr(), ffi::PySendResult::PYGEN_RETURN),
            Resumed::Raised(error) => {
                error.restore(py);
                (ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR)
            }
        };
        // SAFETY: there is room for an answer.
        unsafe { *answer = handed };
        status
    };
    // SAFETY: called attached, with a live instance of `T` and a live value.
    unsafe { step::<T, _>(object, value, hand_out) }
}

unsafe extern "C" fn next<T: Resume>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    let hand_out = |py: Python<'_>, resumed| match resumed {
        Resumed::Yielded(awaited) => awaited.into_ptr(),
        Resumed::Returned(result) => {
            stop_iteration(py, result);
            ptr::null_mut()
        }
        Resumed::Raised(error) => {
            error.restore(py);
            ptr::null_mut()
        }
    };
    // SAFETY: as in `send`.
    unsafe { step::<T, _>(object, ffi::Py_None(), hand_out) }
}

unsafe extern "C" fn itself(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called attached, with a live object.
    unsafe { ffi::Py_NewRef(object) }
}

/// Sets the error that ends an iteration with `result`, as cheaply as the interpreter allows.
#[cfg(Py_3_12)]
fn stop_iteration(py: Python<'_>, result: Py<PyAny>) {
    if result.is_none(py) {
        result.drop_ref(py);
        return; // NULL without an error is `StopIteration(None)`.
    }
    // SAFETY: attached; `tp_new` of an exception takes over the arguments as they are and makes an
    // object of exactly this class, whose `value` nobody has set: `tp_init` would do that.
    unsafe {
        let class = ffi::PyExc_StopIteration.cast::<ffi::PyTypeObject>();
        let arguments = ffi::PyTuple_New(1);
        let (Some(new), false) = ((*class).tp_new, arguments.is_null()) else { return };
        ffi::PyTuple_SET_ITEM(arguments, 0, result.clone_ref(py).into_ptr());
        let error = new(class, arguments, ptr::null_mut());
        ffi::Py_DECREF(arguments);
        if !error.is_null() {
            (*error.cast::<ffi::PyStopIterationObject>()).value = result.into_ptr();
            ffi::PyErr_SetRaisedException(error);
        }
    }
}

/// As above; this version makes no object unless it has to.
#[cfg(not(Py_3_12))]
fn stop_iteration(py: Python<'_>, result: Py<PyAny>) {
    if result.is_none(py) {
        result.drop_ref(py);
        return; // NULL without an error is `StopIteration(None)`.
    }
    // SAFETY: attached; `result` is live. `PyErr_SetObject` would take a tuple for the arguments
    // and an exception for the error itself, so these two are wrapped.
    unsafe {
        let wrap = ffi::PyTuple_Check(result.as_ptr()) != 0
            || ffi::PyExceptionInstance_Check(result.as_ptr()) != 0;
        if wrap {
            attached(py, || ended_with(py, result).restore(py));
        } else {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, result.as_ptr());
            result.drop_ref(py);
        }
    }
}

/// Gives class `T` its `am_send`, `__next__`, `__await__` and `__iter__` slots; it is its own iterator.
pub(crate) fn install_resume<T: Resume>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: as for `install_steps`.
    unsafe {
        (*class).tp_iter = Some(itself);
        if let Some(methods) = (*class).tp_as_async.as_mut() {
            methods.am_await = Some(itself);
        }
    }
    install_steps::<T>(py);
}

/// Gives class `T` its `am_send` and `__next__` slots.
pub(crate) fn install_steps<T: Resume>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: see the top of the file; a heap type made from a spec with an async or iterator
    // slot has room for both, and a null table is left alone.
    unsafe {
        (*class).tp_iternext = Some(next::<T>);
        if let Some(methods) = (*class).tp_as_async.as_mut() {
            methods.am_send = Some(send::<T>);
        }
        ffi::PyType_Modified(class);
    }
}

/// A class of which `await` steps through the object itself.
pub(crate) trait Await: Resume {
    /// Whether it can be awaited.
    ///
    /// # Errors
    /// What awaiting the object raises at once.
    fn check(slf: &Bound<'_, Self>) -> PyResult<()>;
}

unsafe extern "C" fn checked<T: Await>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called attached, with a live instance of `T`.
    unsafe {
        let py = Python::assume_attached();
        let object_of_class = Borrowed::from_ptr(py, object).cast_unchecked::<T>();
        match contained_result(|| T::check(&object_of_class)) {
            Ok(()) => ffi::Py_NewRef(object),
            Err(error) => {
                error.restore(py);
                ptr::null_mut()
            }
        }
    }
}

/// Makes `await` step through instances of `T`. What `iter` and the method `__await__` give stays.
pub(crate) fn install_await<T: Await>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: see the top of the file and `install_resume`.
    unsafe {
        (*class).tp_iternext = Some(next::<T>);
        if let Some(methods) = (*class).tp_as_async.as_mut() {
            methods.am_await = Some(checked::<T>);
            methods.am_send = Some(send::<T>);
        }
        ffi::PyType_Modified(class);
    }
}
