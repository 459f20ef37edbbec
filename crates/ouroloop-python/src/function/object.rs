//! What a function holds, and where its calls are to go.

use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::AtomicPtr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// What a call answers, by asyncio's function of the same name.
#[derive(Clone, Copy, Debug)]
pub(super) enum FunctionKind {
    Coroutine,
    Generator,
    /// Anything else.
    Plain,
}

// A native function, or a method that is not bound. (No documentation, which would be that of each function.)
//
// It lives as long as the module, which makes all of them and goes with the process, so the garbage collector has no
// part in it. (Before Python 3.13 the collector could come while the Rust value is not yet written: a new object
// gets its dictionary first.)
#[pyclass(frozen, dict, weakref, immutable_type, name = "function", module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Function {
    /// A `vectorcallfunc`, which the interpreter finds by the class's `tp_vectorcall_offset`.
    pub(super) vectorcall: AtomicPtr<c_void>,
    pub(super) native: Py<PyAny>,
    pub(super) native_call: ffi::vectorcallfunc,
    pub(super) qualified_name: Py<PyAny>,
    pub(super) kind: FunctionKind,
    pub(super) way: Way,
    pub(super) stand_in: OnceLock<Py<PyAny>>,
}

/// Where the C function is, and what it is called with.
#[derive(Debug)]
pub(super) enum Way {
    Nullary {
        class: Py<PyType>,
        code: ffi::PyCFunction,
    },
    Method {
        class: Py<PyType>,
        code: ffi::PyCFunctionFastWithKeywords,
    },
    Function {
        first: Py<PyAny>,
        code: ffi::PyCFunctionFastWithKeywords,
    },
    /// By the protocol.
    Object,
}

impl Way {
    /// The shortest way to a descriptor, a C function or any other callable.
    pub(super) fn to(native: &Bound<'_, PyAny>, kind: FunctionKind) -> Self {
        if !matches!(kind, FunctionKind::Coroutine) {
            return Self::Object;
        }
        let (py, object) = (native.py(), native.as_ptr());
        // SAFETY: attached; the objects are of the types that are looked for, exactly, and a C function is of the
        // kind that its flags tell. A class that has methods has a definition for each, which stays.
        unsafe {
            if ffi::Py_TYPE(object) == &raw mut ffi::PyMethodDescr_Type {
                let descriptor = object.cast::<ffi::PyMethodDescrObject>();
                let class = (*descriptor).d_common.d_type.cast();
                let class = || Bound::from_borrowed_ptr(py, class).cast_into_unchecked().unbind();
                let method = &*(*descriptor).d_method;
                match method.ml_flags {
                    ffi::METH_NOARGS => {
                        return Self::Nullary { class: class(), code: method.ml_meth.PyCFunction };
                    }
                    FAST => {
                        let code = method.ml_meth.PyCFunctionFastWithKeywords;
                        return Self::Method { class: class(), code };
                    }
                    _ => {}
                }
            } else if ffi::PyCFunction_CheckExact(object) != 0
                && ffi::PyCFunction_GetFlags(object) == FAST
                && let function = object.cast::<ffi::PyCFunctionObject>()
                && !(*function).m_self.is_null()
            {
                let code = (*(*function).m_ml).ml_meth.PyCFunctionFastWithKeywords;
                let first = Bound::from_borrowed_ptr(py, (*function).m_self).unbind();
                return Self::Function { first, code };
            }
        }
        Self::Object
    }
}

const FAST: std::ffi::c_int = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
