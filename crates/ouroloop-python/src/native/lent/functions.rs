//! The interpreter's functions that are watched.
//!
//! `build.rs` reads the names from this file and hands them to the linker's `--wrap`: a call of `f`
//! goes to `__wrap_f` here, and `__real_f` is the interpreter's.

#![expect(non_snake_case, reason = "the functions have the interpreter's names")]

use std::ffi::{c_char, c_double, c_int, c_long, c_longlong, c_ulonglong, c_void};

use pyo3::ffi::{Py_buffer, Py_ssize_t, PyObject, PyThreadState};

type Object = *mut PyObject;

unsafe extern "C" {
    fn __real__Py_DecRef(object: Object);
    fn __real__Py_Dealloc(object: Object);
}

/// Drops a reference, the last one or not, up to 3.11.
///
/// # Safety
/// As the interpreter's.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap__Py_DecRef(object: Object) {
    super::check_drop(object);
    // SAFETY: the caller's promise.
    unsafe { __real__Py_DecRef(object) }
}

/// Counts a drop from 3.12 on, and nothing else; it does not say of what, so only the last drop of
/// an object is caught there.
#[unsafe(no_mangle)]
extern "C" fn __wrap__Py_DECREF_DecRefTotal() {}

/// The end of an object whose last reference was dropped.
///
/// # Safety
/// As the interpreter's.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap__Py_Dealloc(object: Object) {
    super::check_drop(object);
    // SAFETY: the caller's promise.
    unsafe { __real__Py_Dealloc(object) }
}

macro_rules! watched {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $answer:ty)?;)*) => {
        mod real {
            use super::*;

            unsafe extern "C" {
                $(
                    #[link_name = concat!("__real_", stringify!($name))]
                    pub(super) fn $name($($argument: $kind),*) $(-> $answer)?;
                )*
            }
        }

        mod wrapped {
            use super::*;

            $(
                #[unsafe(export_name = concat!("__wrap_", stringify!($name)))]
                unsafe extern "C" fn $name($($argument: $kind),*) $(-> $answer)? {
                    crate::native::lent::check(stringify!($name));
                    // SAFETY: the caller's promise is the interpreter's.
                    unsafe { real::$name($($argument),*) }
                }
            )*
        }
    };
}

// Calls, attributes, items, comparisons, conversions; exceptions, which are made and
// dropped; whatever is allocated, because a collection may begin there; and the GIL's release.
watched! {
    fn _PyObject_MakeTpCall(thread: *mut PyThreadState, callable: Object, arguments: *const Object, number: Py_ssize_t, keywords: Object) -> Object;
    fn PyBuffer_Release(view: *mut Py_buffer);
    fn PyBuffer_ToContiguous(place: *mut c_void, view: *const Py_buffer, length: Py_ssize_t, order: c_char) -> c_int;
    fn PyByteArray_FromStringAndSize(text: *const c_char, length: Py_ssize_t) -> Object;
    fn PyBytes_FromStringAndSize(text: *const c_char, length: Py_ssize_t) -> Object;
    fn PyContext_Copy(context: Object) -> Object;
    fn PyContext_CopyCurrent() -> Object;
    fn PyContext_Enter(context: Object) -> c_int;
    fn PyContext_Exit(context: Object) -> c_int;
    fn PyContext_New() -> Object;
    fn PyDict_Clear(dictionary: Object);
    fn PyDict_Contains(dictionary: Object, key: Object) -> c_int;
    fn PyDict_Copy(dictionary: Object) -> Object;
    fn PyDict_DelItem(dictionary: Object, key: Object) -> c_int;
    fn PyDict_GetItemWithError(dictionary: Object, key: Object) -> Object;
    fn PyDict_Keys(dictionary: Object) -> Object;
    fn PyDict_New() -> Object;
    fn PyDict_SetItem(dictionary: Object, key: Object, value: Object) -> c_int;
    fn PyErr_CheckSignals() -> c_int;
    fn PyErr_Clear();
    fn PyErr_NormalizeException(class: *mut Object, value: *mut Object, traceback: *mut Object);
    fn PyErr_SetObject(class: Object, value: Object);
    fn PyErr_SetString(class: Object, text: *const c_char);
    fn PyErr_WarnEx(category: Object, text: *const c_char, level: Py_ssize_t) -> c_int;
    fn PyErr_WriteUnraisable(object: Object);
    fn PyEval_SaveThread() -> *mut PyThreadState;
    fn PyFloat_AsDouble(object: Object) -> c_double;
    fn PyFloat_FromDouble(value: c_double) -> Object;
    fn PyImport_Import(name: Object) -> Object;
    fn PyIter_Next(iterator: Object) -> Object;
    fn PyIter_Send(iterator: Object, value: Object, answer: *mut Object) -> c_int;
    fn PyList_Append(list: Object, item: Object) -> c_int;
    fn PyList_New(length: Py_ssize_t) -> Object;
    fn PyLong_AsLong(object: Object) -> c_long;
    fn PyLong_AsLongLongAndOverflow(object: Object, overflow: *mut c_int) -> c_longlong;
    fn PyLong_AsUnsignedLongLong(object: Object) -> c_ulonglong;
    fn PyLong_FromLong(value: c_long) -> Object;
    fn PyLong_FromSsize_t(value: Py_ssize_t) -> Object;
    fn PyLong_FromUnsignedLongLong(value: c_ulonglong) -> Object;
    fn PyMemoryView_FromObject(object: Object) -> Object;
    fn PyNumber_Add(left: Object, right: Object) -> Object;
    fn PyNumber_Index(object: Object) -> Object;
    fn PyNumber_Multiply(left: Object, right: Object) -> Object;
    fn PyObject_Call(callable: Object, arguments: Object, keywords: Object) -> Object;
    fn PyObject_CallNoArgs(callable: Object) -> Object;
    fn PyObject_ClearWeakRefs(object: Object);
    fn PyObject_DelItem(object: Object, key: Object) -> c_int;
    fn PyObject_GetAttr(object: Object, name: Object) -> Object;
    fn PyObject_GetBuffer(object: Object, view: *mut Py_buffer, flags: c_int) -> c_int;
    fn PyObject_GetItem(object: Object, key: Object) -> Object;
    fn PyObject_GetIter(object: Object) -> Object;
    fn PyObject_Hash(object: Object) -> Py_ssize_t;
    fn PyObject_IsInstance(object: Object, class: Object) -> c_int;
    fn PyObject_IsTrue(object: Object) -> c_int;
    fn PyObject_LengthHint(object: Object, default: Py_ssize_t) -> Py_ssize_t;
    fn PyObject_Repr(object: Object) -> Object;
    fn PyObject_RichCompare(left: Object, right: Object, operator: c_int) -> Object;
    fn PyObject_SetAttr(object: Object, name: Object, value: Object) -> c_int;
    fn PyObject_SetAttrString(object: Object, name: *const c_char, value: Object) -> c_int;
    fn PyObject_SetItem(object: Object, key: Object, value: Object) -> c_int;
    fn PyObject_Size(object: Object) -> Py_ssize_t;
    fn PyObject_Str(object: Object) -> Object;
    fn PyObject_Vectorcall(callable: Object, arguments: *const Object, number: usize, keywords: Object) -> Object;
    fn PyObject_VectorcallDict(callable: Object, arguments: *const Object, number: usize, keywords: Object) -> Object;
    fn PyObject_VectorcallMethod(name: Object, arguments: *const Object, number: usize, keywords: Object) -> Object;
    fn PySequence_Contains(sequence: Object, item: Object) -> c_int;
    fn PySequence_DelItem(sequence: Object, place: Py_ssize_t) -> c_int;
    fn PySequence_DelSlice(sequence: Object, from: Py_ssize_t, to: Py_ssize_t) -> c_int;
    fn PySet_Add(set: Object, item: Object) -> c_int;
    fn PySet_Clear(set: Object) -> c_int;
    fn PySet_Discard(set: Object, item: Object) -> c_int;
    fn PySet_New(items: Object) -> Object;
    fn PySlice_New(from: Object, to: Object, step: Object) -> Object;
    fn PyTuple_GetSlice(tuple: Object, from: Py_ssize_t, to: Py_ssize_t) -> Object;
    fn PyTuple_New(length: Py_ssize_t) -> Object;
    fn PyUnicode_DecodeFSDefaultAndSize(text: *const c_char, length: Py_ssize_t) -> Object;
    fn PyUnicode_DecodeUTF8(text: *const c_char, length: Py_ssize_t, errors: *const c_char) -> Object;
    fn PyUnicode_FromStringAndSize(text: *const c_char, length: Py_ssize_t) -> Object;
    fn PyWeakref_NewRef(object: Object, callback: Object) -> Object;
    fn Py_GenericAlias(origin: Object, arguments: Object) -> Object;
}
