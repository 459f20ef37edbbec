//! A function as Python sees it.

use std::ffi::c_void;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::calls::{call_native, call_stand_in};
use super::object::{Function, FunctionKind, Way};
use crate::interpreter::fresh;
use crate::standard::Standard;

impl Function {
    /// One that calls `native`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn new<'py>(
        native: &Bound<'py, PyAny>,
        qualified_name: Bound<'py, PyAny>,
        kind: FunctionKind,
    ) -> PyResult<Bound<'py, Self>> {
        // SAFETY: attached, with a live object.
        let native_call = unsafe { ffi::PyVectorcall_Function(native.as_ptr()) }
            // C functions that want a tuple have none, and the interpreter makes one.
            .unwrap_or(ffi::PyObject_Vectorcall);
        let function = Self {
            vectorcall: AtomicPtr::new(call_native as *mut c_void),
            native: native.clone().unbind(),
            native_call,
            qualified_name: qualified_name.unbind(),
            kind,
            way: Way::to(native, kind),
            stand_in: OnceLock::new(),
        };
        Bound::new(native.py(), function)
    }

    /// Changes the stand-in, to which calls go from now on.
    fn change(slf: &Bound<'_, Self>, attribute: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let function = slf.get();
        function.stand_in(slf.py())?.setattr(fresh::interned(slf.py(), attribute)?, value)?;
        function.vectorcall.store(call_stand_in as *mut c_void, Ordering::Relaxed);
        Ok(())
    }
}

#[pymethods]
impl Function {
    /// To whoever asks `isinstance` it is a function.
    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(Standard::get(py)?.function.clone_ref(py))
    }

    #[getter(__name__)]
    fn name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.native.bind(py).getattr(intern!(py, "__name__"))
    }

    #[getter(__qualname__)]
    fn qualified_name(&self, py: Python<'_>) -> Py<PyAny> {
        self.qualified_name.clone_ref(py)
    }

    #[getter(__module__)]
    pub(super) fn module<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let native = self.native.bind(py);
        let home = native.getattr_opt(intern!(py, "__objclass__"))?;
        home.as_ref().unwrap_or(native).getattr(intern!(py, "__module__"))
    }

    #[getter(__doc__)]
    fn doc<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.native.bind(py).getattr(intern!(py, "__doc__"))
    }

    #[getter(__text_signature__)]
    /// Python's own methods take themselves by name, too, which a dollar sign would deny.
    fn text_signature<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let text = self.native.bind(py).getattr(intern!(py, "__text_signature__"))?;
        if text.is_none() {
            return Ok(text);
        }
        text.call_method1(intern!(py, "replace"), ("($self", "(self"))
    }

    #[getter(__code__)]
    fn code<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stand_in(py)?.getattr(intern!(py, "__code__"))
    }

    #[setter(__code__)]
    fn set_code(slf: &Bound<'_, Self>, code: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::change(slf, "__code__", code)
    }

    #[getter(__defaults__)]
    fn defaults<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stand_in(py)?.getattr(intern!(py, "__defaults__"))
    }

    #[setter(__defaults__)]
    fn set_defaults(slf: &Bound<'_, Self>, defaults: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::change(slf, "__defaults__", defaults)
    }

    #[getter(__kwdefaults__)]
    fn keyword_defaults<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stand_in(py)?.getattr(intern!(py, "__kwdefaults__"))
    }

    #[setter(__kwdefaults__)]
    fn set_keyword_defaults(slf: &Bound<'_, Self>, defaults: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::change(slf, "__kwdefaults__", defaults)
    }

    #[getter(__globals__)]
    fn globals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stand_in(py)?.getattr(intern!(py, "__globals__"))
    }

    #[getter(__builtins__)]
    fn builtins<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stand_in(py)?.getattr(intern!(py, "__builtins__"))
    }

    #[getter(__closure__)]
    fn closure<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stand_in(py)?.getattr(intern!(py, "__closure__"))
    }

    #[getter(__annotations__)]
    fn annotations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stand_in(py)?.getattr(intern!(py, "__annotations__"))
    }

    #[cfg(Py_3_12)]
    #[getter(__type_params__)]
    fn type_parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stand_in(py)?.getattr(intern!(py, "__type_params__"))
    }

    #[cfg(Py_3_14)]
    #[getter(__annotate__)]
    fn annotate<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.stand_in(py)?.getattr(intern!(py, "__annotate__"))
    }

    /// The name under which it is found again, of which copies and pickles consist.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.native.bind(py).call_method0(intern!(py, "__reduce__"))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get().qualified_name.bind(slf.py()).str()?;
        Ok(format!("<function {} at {:p}>", name.to_string_lossy(), slf.as_ptr()))
    }

    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: &Bound<'py, PyAny>,
        owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = owner;
        // SAFETY: attached; both objects are alive. `bind` answers a new reference or an error.
        unsafe {
            let bound = bind(slf.as_ptr(), instance.as_ptr(), ptr::null_mut());
            Bound::from_owned_ptr_or_err(slf.py(), bound)
        }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // By vectorcall, which wins over the slot that this method is.
        slf.as_any().call(args, kwargs)
    }
}

unsafe extern "C" {
    /// Of the interpreter's public interface since ever; PyO3 does not have it.
    fn PyMethod_New(
        function: *mut ffi::PyObject,
        instance: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

unsafe extern "C" fn bind(
    function: *mut ffi::PyObject,
    instance: *mut ffi::PyObject,
    _owner: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called attached, with live objects; without an instance it was the class that was asked.
    unsafe {
        if instance.is_null() || instance == ffi::Py_None() {
            ffi::Py_NewRef(function)
        } else {
            PyMethod_New(function, instance)
        }
    }
}

/// Makes the class complete: has calls go by vectorcall, and tells the interpreter that it may leave out the
/// bound method of a call.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let class = <Function as pyo3::type_object::PyTypeInfo>::type_object_raw(py);
    let any = py.get_type::<Function>().getattr(intern!(py, "__reduce__"))?;
    let sample = Function::new(&any, any.getattr(intern!(py, "__name__"))?, FunctionKind::Plain)?;
    let field = ptr::from_ref(&sample.get().vectorcall).cast::<u8>();
    // SAFETY: attached; nobody but this function has seen the class. The field lies inside of the object, at the
    // same place in each, since no class derives from this one; it holds a `vectorcallfunc` from the
    // beginning to the end.
    unsafe {
        (*class).tp_vectorcall_offset = field.offset_from(sample.as_ptr().cast::<u8>());
        (*class).tp_flags |= ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR;
        (*class).tp_descr_get = Some(bind);
        ffi::PyType_Modified(class);
    }
    Ok(())
}
