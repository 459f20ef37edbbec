//! Objects of Python's own types and the texts that go into them, made fallibly.
//!
//! PyO3's constructors of these panic when the interpreter has no memory, and the panic of a method that
//! cannot even make the exception which tells of it ends the process. These answer `MemoryError`.

use std::collections::TryReserveError;
use std::fmt::{self, Write as _};

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use pyo3::{IntoPyObjectExt, PyTypeInfo};

use crate::interpreter::pending::Pending;
use crate::interpreter::room::{Grow, taken};

/// The length as the interpreter has it; no slice is longer.
fn signed(length: usize) -> ffi::Py_ssize_t {
    ffi::Py_ssize_t::try_from(length).unwrap_or(ffi::Py_ssize_t::MAX)
}

/// An owned reference as an object of the class that it has.
///
/// # Safety
/// The pointer is an owned reference to an object of exactly class `T`, or NULL with an error set.
#[inline]
unsafe fn made<T>(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<Bound<'_, T>> {
    // SAFETY: the caller's promise.
    unsafe { Ok(Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked()) }
}

/// An empty `dict`.
///
/// # Errors
/// `MemoryError`, as of all of these.
#[inline]
pub(crate) fn dict(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    // SAFETY: attached; the call makes a dict.
    unsafe { made(py, ffi::PyDict_New()) }
}

/// A copy of the text.
pub(crate) fn string<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyString>> {
    let length = signed(text.len());
    // The other function that does this may answer another text (`interpreter/spares.rs`).
    // SAFETY: attached; the call copies the text, which is UTF-8, to a string.
    unsafe {
        let text = text.as_ptr().cast();
        made(py, ffi::PyUnicode_DecodeUTF8(text, length, std::ptr::null()))
    }
}

/// The texts, one behind the other.
pub(crate) fn joined<'py, const N: usize>(
    py: Python<'py>,
    texts: [Bound<'py, PyString>; N],
) -> PyResult<Bound<'py, PyString>> {
    texts.into_iter().try_fold(string(py, "")?, |all, text| {
        // SAFETY: attached; both are strings, and so is the answer.
        unsafe { made(py, ffi::PyUnicode_Concat(all.as_ptr(), text.as_ptr())) }
    })
}

/// A name that is not written in the code where it is asked for, interned.
pub(crate) fn interned<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyString>> {
    let mut name = string(py, name)?.into_ptr();
    // SAFETY: attached; the call puts another reference to an equal string in the place of an owned one.
    unsafe {
        ffi::PyUnicode_InternInPlace(&raw mut name);
        made(py, name)
    }
}

/// What a `str` says, with marks in the place of what is no text.
///
/// PyO3's own conversion panics where there is no memory.
pub(crate) fn content(text: &Bound<'_, PyString>) -> PyResult<String> {
    let py = text.py();
    match text.to_str() {
        Ok(content) => copied(py, content),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(py) => {
            let how = (intern!(py, "utf-8"), intern!(py, "surrogatepass"));
            let bytes = text.call_method1(intern!(py, "encode"), how)?;
            copied(py, &String::from_utf8_lossy(bytes.cast::<PyBytes>()?.as_bytes()))
        }
        Err(error) => Err(error),
    }
}

fn copied(py: Python<'_>, content: &str) -> PyResult<String> {
    let mut copy = String::new();
    taken(py, copy.try_reserve_exact(content.len()))?;
    copy.push_str(content);
    Ok(copy)
}

/// `format!` for what a program may make as long as it likes: the `repr` of an object, a name.
///
/// # Errors
/// No memory.
#[cold]
pub(crate) fn text(arguments: fmt::Arguments<'_>) -> PyResult<String> {
    let mut text = Growing { text: String::new(), refused: None };
    // What cannot be shown has been reported by PyO3, and shows as nothing.
    let _ = text.write_fmt(arguments);
    text.finish()
}

/// The words with `between` in between.
///
/// # Errors
/// No memory.
pub(crate) fn listed(words: &[String], between: &str) -> PyResult<String> {
    let mut listed = Growing { text: String::new(), refused: None };
    for (number, word) in words.iter().enumerate() {
        // Once refused, nothing more is added.
        let _ = listed
            .write_str(if number == 0 { "" } else { between })
            .and_then(|()| listed.write_str(word));
    }
    listed.finish()
}

/// An error of the given class with such a text, or the one that says that there is no memory for it.
#[cold]
pub(crate) fn error_saying<T: PyTypeInfo>(message: fmt::Arguments<'_>) -> PyErr {
    text(message).map_or_else(std::convert::identity, error::<T>)
}

/// A text that asks for room before it grows.
struct Growing {
    text: String,
    refused: Option<TryReserveError>,
}

impl Growing {
    fn finish(self) -> PyResult<String> {
        // SAFETY: whoever makes a text of objects is attached.
        let py = unsafe { Python::assume_attached() };
        taken(py, self.refused.map_or(Ok(()), Err))?;
        Ok(self.text)
    }
}

impl fmt::Write for Growing {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.refused.is_some() {
            return Err(fmt::Error);
        }
        self.text.try_reserve(more.len()).map_err(|refused| {
            self.refused = Some(refused);
            fmt::Error
        })?;
        self.text.push_str(more);
        Ok(())
    }
}

/// What is in a dictionary now, whatever becomes of it while that is looked at.
///
/// PyO3's own iterator panics if the dictionary grows meanwhile, and what it refers to finds it by the garbage
/// collector, however private it is.
pub(crate) fn items<'py>(
    dict: &Bound<'py, PyDict>,
) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    let py = dict.py();
    let mut items = Vec::new();
    // Nothing runs meanwhile that could change it.
    for item in dict {
        taken(py, items.grow(item))?;
    }
    Ok(items)
}

/// The slice from `start` to `stop`, or to the end.
///
/// PyO3's own keeps the numbers for ever.
pub(crate) fn slice(
    py: Python<'_>,
    start: usize,
    stop: Option<usize>,
) -> PyResult<Bound<'_, PyAny>> {
    let start = size(py, start)?;
    let stop = match stop {
        Some(stop) => size(py, stop)?.into_any(),
        None => py.None().into_bound(py),
    };
    // SAFETY: attached; answers a new reference, or NULL with an error.
    unsafe { made(py, ffi::PySlice_New(start.as_ptr(), stop.as_ptr(), std::ptr::null_mut())) }
}

/// A text that becomes a `str` where it is given to Python.
///
/// PyO3's own conversion of texts panics where there is no memory.
#[derive(Debug)]
pub(crate) struct Text<T>(pub(crate) T);

impl<'py, T: AsRef<str>> IntoPyObject<'py> for Text<T> {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        string(py, self.0.as_ref())
    }
}

/// A copy of the bytes.
#[inline]
pub(crate) fn bytes<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let length = signed(content.len());
    // SAFETY: attached; the call copies the content.
    unsafe { made(py, ffi::PyBytes_FromStringAndSize(content.as_ptr().cast(), length)) }
}

/// A copy of the bytes, which can be changed.
pub(crate) fn byte_array<'py>(
    py: Python<'py>,
    content: &[u8],
) -> PyResult<Bound<'py, PyByteArray>> {
    let length = signed(content.len());
    // SAFETY: attached; the call copies the content.
    unsafe { made(py, ffi::PyByteArray_FromStringAndSize(content.as_ptr().cast(), length)) }
}

/// A `float`.
#[inline]
pub(crate) fn float(py: Python<'_>, value: f64) -> PyResult<Bound<'_, PyFloat>> {
    // SAFETY: attached; the call makes a float.
    unsafe { made(py, ffi::PyFloat_FromDouble(value)) }
}

/// An `int`.
#[inline]
pub(crate) fn int(py: Python<'_>, value: i64) -> PyResult<Bound<'_, PyInt>> {
    // SAFETY: attached; the call makes an int.
    unsafe { made(py, ffi::PyLong_FromLongLong(value)) }
}

/// An `int` that counts bytes.
pub(crate) fn size(py: Python<'_>, value: impl TryInto<u64>) -> PyResult<Bound<'_, PyInt>> {
    let value = value.try_into().unwrap_or(u64::MAX);
    // SAFETY: attached; the call makes an int.
    unsafe { made(py, ffi::PyLong_FromUnsignedLongLong(value)) }
}

/// Two `int`s that count bytes, as a tuple.
pub(crate) fn sizes(py: Python<'_>, low: usize, high: usize) -> PyResult<Bound<'_, PyTuple>> {
    tuple(py, [size(py, low)?, size(py, high)?])
}

/// A tuple of objects.
pub(crate) fn tuple<'py, T>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
) -> PyResult<Bound<'py, PyTuple>>
where
    T: IntoPyObject<'py>,
{
    // SAFETY: the two functions are a tuple's.
    unsafe { filled(py, items, ffi::PyTuple_New, ffi::PyTuple_SET_ITEM) }
}

/// A tuple of objects of several classes, in a function that can raise.
macro_rules! pack {
    ($py:expr, $($item:expr),+) => {
        $crate::interpreter::fresh::tuple($py, [$(pyo3::IntoPyObjectExt::into_bound_py_any($item, $py)?),+])?
    };
}
pub(crate) use pack;

/// A list of objects.
pub(crate) fn list<'py, T>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
) -> PyResult<Bound<'py, PyList>>
where
    T: IntoPyObject<'py>,
{
    // SAFETY: the two functions are a list's.
    unsafe { filled(py, items, ffi::PyList_New, ffi::PyList_SET_ITEM) }
}

/// A sequence that `new` makes with room for so many, each of which `set` puts there.
///
/// # Safety
/// `new` and `set` are those of class `S`.
#[inline]
unsafe fn filled<'py, S, T>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    new: unsafe extern "C" fn(ffi::Py_ssize_t) -> *mut ffi::PyObject,
    set: unsafe fn(*mut ffi::PyObject, ffi::Py_ssize_t, *mut ffi::PyObject),
) -> PyResult<Bound<'py, S>>
where
    T: IntoPyObject<'py>,
{
    let items = items.into_iter();
    let length = items.len();
    // SAFETY: attached, and the caller's promise. Each place is set once, before Python code sees the
    // sequence; one that is not full is dropped with the rest NULL.
    unsafe {
        let sequence: Bound<'py, S> = made(py, new(signed(length)))?;
        for (place, item) in items.take(length).enumerate() {
            let item = item.into_bound_py_any(py)?;
            set(sequence.as_ptr(), signed(place), item.into_ptr());
        }
        Ok(sequence)
    }
}

/// An exception of class `T` with a message, or the `MemoryError` in its stead. Its context is what is handled
/// now, as of one that is raised here.
///
/// PyO3 would make it when it leaves a method, where nothing can go wrong any more.
#[cold]
pub(crate) fn error<T: PyTypeInfo>(message: impl AsRef<str>) -> PyErr {
    // SAFETY: whoever raises an error is attached; `attach` would refuse at the interpreter's end.
    let py = unsafe { Python::assume_attached() };
    let _pending = Pending::put_aside(py);
    match string(py, message.as_ref()) {
        Ok(message) => {
            // SAFETY: attached; both objects are alive. The call sets an error, of this class or another.
            unsafe { ffi::PyErr_SetObject(T::type_object_raw(py).cast(), message.as_ptr()) };
            PyErr::fetch(py)
        }
        Err(error) => error,
    }
}
