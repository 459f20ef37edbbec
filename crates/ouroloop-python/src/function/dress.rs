//! Which functions and methods are shown as Python's: those of which asyncio's counterparts are.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyModule, PyString, PyType};

use super::object::{Function, FunctionKind};
use crate::interpreter::fresh::Text;

/// The modules that define the functions, and classes with their modules, all under the names that they have here.
const FUNCTIONS: [&str; 5] =
    ["asyncio.tasks", "asyncio.futures", "asyncio.timeouts", "asyncio.threads", "asyncio.streams"];
const CLASSES: [(&str, &[&str]); 6] = [
    ("asyncio.locks", &["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"]),
    ("asyncio.queues", &["Queue", "PriorityQueue", "LifoQueue"]),
    ("asyncio.streams", &["StreamReader", "StreamWriter", "StreamReaderProtocol"]),
    ("asyncio.taskgroups", &["TaskGroup"]),
    ("asyncio.timeouts", &["Timeout"]),
    ("asyncio.base_events", &["Server"]),
];

/// Methods of a few nanoseconds, called in every turn of some loop, that are not coroutine functions: the interpreter
/// knows its own descriptors so well that it calls the C function itself, which is a sixth of such a call.
/// `run_in_executor` and the loop's `create_task` are known by their C functions elsewhere.
const HOT: [(&str, &[&str]); 9] = [
    (
        "Loop",
        &[
            "call_soon",
            "call_soon_threadsafe",
            "call_later",
            "call_at",
            "time",
            "create_future",
            "create_task",
            "run_in_executor",
            "get_debug",
            "is_running",
            "is_closed",
        ],
    ),
    ("Lock", &["release", "locked"]),
    ("Event", &["set", "is_set", "clear"]),
    ("Condition", &["release", "locked"]),
    ("Semaphore", &["release", "locked"]),
    ("BoundedSemaphore", &["release"]),
    ("Queue", &["put_nowait", "get_nowait", "task_done", "qsize", "empty", "full"]),
    ("StreamReader", &["feed_data", "at_eof"]),
    ("StreamWriter", &["is_closing"]),
];

fn is_hot(class: &str, method: &Bound<'_, PyString>) -> bool {
    let hot = HOT.iter().find(|(name, _)| *name == class);
    hot.is_some_and(|(_, methods)| methods.contains(&&*method.to_string_lossy()))
}

/// Flags of a code object, as `inspect` names them.
const CO_GENERATOR: u32 = 0x20;
const CO_COROUTINE: u32 = 0x80;

/// What a call of asyncio's function answers; `None` if it is not written in Python.
fn kind_of(counterpart: &Bound<'_, PyAny>) -> PyResult<Option<FunctionKind>> {
    // SAFETY: attached; compares the object's type.
    if unsafe { ffi::PyFunction_Check(counterpart.as_ptr()) } == 0 {
        return Ok(None);
    }
    let code = counterpart.getattr(Text("__code__"))?;
    let flags = code.getattr(Text("co_flags"))?.extract::<u32>()?;
    Ok(Some(if flags & CO_COROUTINE != 0 {
        FunctionKind::Coroutine
    } else if flags & CO_GENERATOR != 0 {
        FunctionKind::Generator
    } else {
        FunctionKind::Plain
    }))
}

/// Puts functions in the places of functions and methods of the module that are Python's in asyncio.
///
/// # Errors
/// `MemoryError`, and those of looking attributes up.
pub(crate) fn dress(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    for (home, classes) in CLASSES {
        let home = py.import(Text(home))?;
        for class in classes {
            dress_methods(module, class, &home.getattr(Text(class))?)?;
        }
    }
    let unix = py.import(Text("asyncio.unix_events"))?;
    let selector_loop = unix.getattr(Text("_UnixSelectorEventLoop"))?;
    dress_methods(module, "Loop", &selector_loop)?;
    for home in FUNCTIONS {
        dress_functions(module, &py.import(Text(home))?)?;
    }
    Ok(())
}

/// A class's own methods, but those that are too hot.
fn dress_methods(
    module: &Bound<'_, PyModule>,
    class_name: &str,
    standard: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let class = module.getattr(Text(class_name))?;
    let own = class.getattr(Text("__dict__"))?;
    let names = class.py().get_type::<PyList>().call1((&own,))?;
    for name in names.try_iter()? {
        let name = name?.cast_into::<PyString>()?;
        let method = own.get_item(&name)?;
        // SAFETY: attached; reads the object's type.
        let form = unsafe { ffi::Py_TYPE(method.as_ptr()) };
        let slot = form == &raw mut ffi::PyWrapperDescr_Type;
        if !slot && form != &raw mut ffi::PyMethodDescr_Type {
            continue;
        }
        let Some(counterpart) = standard.getattr_opt(&name)? else { continue };
        let Some(kind) = kind_of(&counterpart)? else { continue };
        let suspends = matches!(kind, FunctionKind::Coroutine);
        if !suspends && (slot || is_hot(class_name, &name)) {
            continue;
        }
        let qualified = counterpart.getattr(Text("__qualname__"))?;
        let function = Function::new(&method, qualified, kind)?;
        if slot {
            put_beside_slot(class.cast::<PyType>()?, &name, &function)?;
        } else {
            class.setattr(&name, function)?;
        }
    }
    Ok(())
}

/// Gives a class an attribute of which the interpreter has a slot, and leaves the slot as it is.
fn put_beside_slot(
    class: &Bound<'_, PyType>,
    name: &Bound<'_, PyString>,
    function: &Bound<'_, Function>,
) -> PyResult<()> {
    // SAFETY: attached; classes made at run time have their attributes in `tp_dict` in all versions, and whoever
    // has remembered some is told.
    unsafe {
        let class = class.as_type_ptr();
        if ffi::PyDict_SetItem((*class).tp_dict, name.as_ptr(), function.as_ptr()) < 0 {
            return Err(PyErr::fetch(name.py()));
        }
        ffi::PyType_Modified(class);
    }
    Ok(())
}

/// The functions of the module that are in one of asyncio's, too.
fn dress_functions(module: &Bound<'_, PyModule>, home: &Bound<'_, PyModule>) -> PyResult<()> {
    let own = module.dict();
    for (name, function) in own.copy()? {
        // SAFETY: attached; compares the object's type.
        if unsafe { ffi::PyCFunction_CheckExact(function.as_ptr()) } == 0 {
            continue;
        }
        let Some(counterpart) = home.dict().get_item(&name)? else { continue };
        if let Some(kind) = kind_of(&counterpart)? {
            let qualified = counterpart.getattr(Text("__qualname__"))?;
            own.set_item(&name, Function::new(&function, qualified, kind)?)?;
        }
    }
    Ok(())
}
