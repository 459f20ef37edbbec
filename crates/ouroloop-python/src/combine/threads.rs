//! `to_thread`: a function's call awaited while another thread makes it.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::context::copy_current;
use crate::coroutine::{Body, Coroutine, Incoming, iterator_of, step_into};
use crate::executor::Call;
use crate::future::Future;
use crate::future::iter::await_step;
use crate::interpreter::fresh;
use crate::native::slots::Resumed;
use crate::standard::Standard;
use crate::turn::Loop;
use crate::waiting::running_loop;

/// The body of `to_thread`.
enum ToThread {
    Fresh {
        function: Py<PyAny>,
        arguments: Py<PyTuple>,
        keywords: Option<Py<PyDict>>,
    },
    /// For a native loop's future.
    Native(Py<Future>),
    /// For what a foreign loop has answered, or an executor of the program's.
    Foreign(Py<PyAny>),
}

/// Hands the call to the default executor, in a copy of the context; answers the body that waits.
fn submit(
    function: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<ToThread> {
    let py = function.py();
    let event_loop = running_loop(py)?;
    let context = copy_current(py)?;
    if let Ok(native) = event_loop.cast::<Loop>()
        && Loop::calls_natively(native)?
    {
        let call = Call {
            function: function.clone().unbind(),
            arguments: arguments.clone().unbind(),
            keywords: keywords.map(|keywords| keywords.clone().unbind()),
            context: Some(context.clone_ref(py)),
        };
        if let Some(future) = Loop::call_in_thread(native, call)? {
            return Ok(ToThread::Native(future.unbind()));
        }
    }
    let run = context.bind(py).getattr(intern!(py, "run"))?;
    let all: Vec<_> = [run, function.clone()].into_iter().chain(arguments.iter()).collect();
    let call = Standard::get(py)?.partial.bind(py).call(fresh::tuple(py, all)?, keywords)?;
    let submitted = event_loop.call_method1(intern!(py, "run_in_executor"), (py.None(), call))?;
    Ok(ToThread::Foreign(iterator_of(&submitted)?.unbind()))
}

impl Body for ToThread {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        if let Self::Fresh { function, arguments, keywords } = self {
            let keywords = keywords.as_ref().map(|keywords| keywords.bind(py));
            match submit(function.bind(py), arguments.bind(py), keywords) {
                Ok(waiting) => drop(std::mem::replace(self, waiting)),
                Err(error) => return Resumed::Raised(error),
            }
        }
        match self {
            Self::Native(future) => match incoming {
                Ok(_) => await_step(future.bind(py)),
                Err(error) => Resumed::Raised(error),
            },
            Self::Foreign(iterator) => step_into(iterator.bind(py), incoming),
            Self::Fresh { .. } => Resumed::Returned(py.None()),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Fresh { function, arguments, keywords } => {
                visit.call(function)?;
                visit.call(arguments)?;
                visit.call(keywords)
            }
            Self::Native(future) => visit.call(future),
            Self::Foreign(iterator) => visit.call(iterator),
        }
    }

    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self {
            Self::Native(future) => Some(future.clone_ref(py).into_any()),
            Self::Foreign(iterator) => Some(iterator.clone_ref(py)),
            Self::Fresh { .. } => None,
        }
    }
}

/// Call `func(*args, **kwargs)` in a thread of the default executor and wait for its result.
///
/// The function sees a copy of the current context.
#[pyfunction]
#[pyo3(signature = (func, /, *args, **kwargs))]
fn to_thread<'py>(
    func: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Coroutine>> {
    let body = ToThread::Fresh {
        function: func.clone().unbind(),
        arguments: args.clone().unbind(),
        keywords: kwargs.map(|kwargs| kwargs.clone().unbind()),
    };
    Coroutine::of(func.py(), "to_thread", body)
}

pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(to_thread, module)?)
}
