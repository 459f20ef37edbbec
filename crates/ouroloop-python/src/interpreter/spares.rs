//! Objects kept for when there is no memory for what PyO3 makes on its own.
//!
//! PyO3 makes the arguments of a call (`*args`, `**kwargs`), the texts of its errors and the exception that
//! tells of a panic by functions that panic when they fail: two failures end the process. So the linker has
//! those functions of the interpreter go through ours (`build.rs`). When one fails, a spare object stands in.
//! What the call does next then finds no memory in the ordinary way, and raises `MemoryError`.

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::interpreter::fresh;

type Object = *mut ffi::PyObject;
type Spares<const N: usize> = [AtomicPtr<ffi::PyObject>; N];

/// Calls may nest, and each takes one.
static DICTS: Spares<8> = [const { AtomicPtr::new(ptr::null_mut()) }; 8];
/// Tuples of one item, of two, and so on.
static TUPLES: [Spares<4>; 4] = [const { [const { AtomicPtr::new(ptr::null_mut()) }; 4] }; 4];
/// What is said when there is no memory for saying it. It is never given up.
static TEXT: AtomicPtr<ffi::PyObject> = AtomicPtr::new(ptr::null_mut());
/// Whether a spare has been taken, or could not be made.
static INCOMPLETE: AtomicBool = AtomicBool::new(true);

/// Makes the spares.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn keep(py: Python<'_>) -> PyResult<()> {
    if TEXT.load(Ordering::Relaxed).is_null() {
        TEXT.store(fresh::string(py, "no memory to tell more")?.into_ptr(), Ordering::Relaxed);
    }
    // SAFETY: attached, and no error is set.
    unsafe { complete() };
    Ok(())
}

/// Has an error about arguments be made once: at the first, PyO3 looks up names that are not in reserve.
///
/// # Errors
/// Those of a module that has no such function.
pub(crate) fn rehearse(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let function = module.getattr(fresh::Text("adopt"))?;
    let none = module.py().None();
    drop(function.call1((&none, &none)));
    Ok(())
}

unsafe extern "C" {
    fn __real_PyUnicode_FromStringAndSize(text: *const c_char, length: ffi::Py_ssize_t) -> Object;
    fn __real_PyType_GetQualName(class: *mut ffi::PyTypeObject) -> Object;
    fn __real_PyDict_New() -> Object;
    fn __real_PyTuple_New(length: ffi::Py_ssize_t) -> Object;
}

/// Makes a text, or answers the one that stands in: for a sentence, and not for a name by which something is
/// looked up.
///
/// # Safety
/// As the interpreter's.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_PyUnicode_FromStringAndSize(
    text: *const c_char,
    length: ffi::Py_ssize_t,
) -> Object {
    // SAFETY: the caller's promise.
    let made = unsafe { __real_PyUnicode_FromStringAndSize(text, length) };
    let Some(length) = usize::try_from(length).ok().filter(|_| made.is_null() && !text.is_null())
    else {
        return made;
    };
    // SAFETY: the caller's promise; an error is set.
    unsafe {
        let text = std::slice::from_raw_parts(text.cast::<u8>(), length);
        if text.contains(&b' ') { spare_text() } else { made }
    }
}

/// The name of a class, asked for where an error tells of it; without memory, a text that stands in.
///
/// # Safety
/// As the interpreter's.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_PyType_GetQualName(class: *mut ffi::PyTypeObject) -> Object {
    // SAFETY: the caller's promise; without an answer an error is set.
    unsafe {
        let name = __real_PyType_GetQualName(class);
        if name.is_null() { spare_text() } else { name }
    }
}

/// Makes an empty `dict`, or answers a spare one.
///
/// # Safety
/// As the interpreter's.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_PyDict_New() -> Object {
    // SAFETY: the caller's promise; without an answer an error is set.
    unsafe { or_spare(__real_PyDict_New(), &DICTS, cfg!(Py_3_14)) }
}

/// Makes a tuple whose items are not set yet, or answers a spare one.
///
/// # Safety
/// As the interpreter's.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_PyTuple_New(length: ffi::Py_ssize_t) -> Object {
    let place = length.checked_sub(1).and_then(|place| usize::try_from(place).ok());
    let spares = place.and_then(|place| TUPLES.get(place)).map_or(&[][..], |spares| spares);
    // SAFETY: the caller's promise; without an answer an error is set.
    unsafe { or_spare(__real_PyTuple_New(length), spares, true) }
}

/// # Safety
/// Attached; `made` is a new object, or NULL with an error set. `tracked` tells whether the collector is to
/// know the spares, as it knows a new object of their class.
#[inline]
unsafe fn or_spare(made: Object, spares: &[AtomicPtr<ffi::PyObject>], tracked: bool) -> Object {
    // SAFETY: the caller's promise.
    unsafe {
        if made.is_null() {
            return take(spares, tracked);
        }
        if INCOMPLETE.load(Ordering::Relaxed) && ffi::PyErr_Occurred().is_null() {
            complete();
        }
    }
    made
}

/// # Safety
/// As of [`or_spare`], an error being set.
#[cold]
unsafe fn take(spares: &[AtomicPtr<ffi::PyObject>], tracked: bool) -> Object {
    if !is_memory_error() {
        return ptr::null_mut();
    }
    let mut kept = spares.iter().map(|spare| spare.swap(ptr::null_mut(), Ordering::Relaxed));
    let Some(spare) = kept.find(|spare| !spare.is_null()) else { return ptr::null_mut() };
    INCOMPLETE.store(true, Ordering::Relaxed);
    // SAFETY: attached; nobody else has the object, which is as it was made.
    unsafe {
        ffi::PyErr_Clear();
        if tracked {
            ffi::PyObject_GC_Track(spare.cast());
        }
    }
    spare
}

/// # Safety
/// Attached, with an error set.
#[cold]
unsafe fn spare_text() -> Object {
    let spare = TEXT.load(Ordering::Relaxed);
    if spare.is_null() || !is_memory_error() {
        return ptr::null_mut();
    }
    // SAFETY: attached; the object is never given up.
    unsafe {
        ffi::PyErr_Clear();
        ffi::Py_NewRef(spare)
    }
}

/// Whether the error that is set, one of the interpreter's own, is for want of memory.
fn is_memory_error() -> bool {
    // SAFETY: asked by a thread that is attached, with an error set; compares classes.
    unsafe { ffi::PyErr_ExceptionMatches(ffi::PyExc_MemoryError) != 0 }
}

/// Makes what is missing, as far as there is memory.
///
/// # Safety
/// Attached, with no error set.
#[cold]
unsafe fn complete() {
    INCOMPLETE.store(false, Ordering::Relaxed);
    // SAFETY: the caller's promise; the lengths are positive.
    let done = unsafe {
        fill(&DICTS, || __real_PyDict_New())
            && TUPLES
                .iter()
                .zip(1..)
                .all(|(spares, length)| fill(spares, || __real_PyTuple_New(length)))
    };
    if !done {
        INCOMPLETE.store(true, Ordering::Relaxed);
        // SAFETY: attached; the error is that there is no memory yet.
        unsafe { ffi::PyErr_Clear() };
    }
}

/// Makes those that are missing, and says whether there was memory.
///
/// # Safety
/// Attached; `make` answers a new object that the collector may know, or NULL.
unsafe fn fill(spares: &[AtomicPtr<ffi::PyObject>], make: impl Fn() -> Object) -> bool {
    for spare in spares.iter().filter(|spare| spare.load(Ordering::Relaxed).is_null()) {
        let object = make();
        if object.is_null() {
            return false;
        }
        // SAFETY: a new object. The program must not find it, and items that are not set, by the collector.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
        // To make one may have had the collector run, and so this function.
        let other = spare.swap(object, Ordering::Relaxed);
        // SAFETY: attached; a spare that was made meanwhile, or NULL.
        unsafe { ffi::Py_XDECREF(other) };
    }
    true
}
