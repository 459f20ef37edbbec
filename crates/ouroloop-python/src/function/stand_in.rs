//! The Python function that a native one would be: its code, its defaults, its namespace.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::object::{Function, Kind};
use crate::interpreter::fresh::Text;
use crate::interpreter::once::Once as _;
use crate::native::embedded;

/// Not in a file, so that nothing shows lines of another for it.
const FILE: &str = "<ouroloop>";

/// Arguments are declared without their defaults, which may be any objects and are set afterwards.
const MAKER: &str = "
def make(native, qualified, module, opening, calling):
    from inspect import Parameter, signature

    declared, passed, defaults, keyword_defaults = [], [], [], {}
    by_position = False
    for parameter in signature(native).parameters.values():
        name, kind = parameter.name, parameter.kind
        if by_position and kind is not Parameter.POSITIONAL_ONLY:
            declared.append('/')
        # Methods in Python take themselves by name, too.
        by_position = kind is Parameter.POSITIONAL_ONLY and name != 'self'
        if kind is Parameter.KEYWORD_ONLY:
            if not any(it.startswith('*') for it in declared):
                declared.append('*')
            declared.append(name)
            passed.append(f'{name}={name}')
            if parameter.default is not Parameter.empty:
                keyword_defaults[name] = parameter.default
            continue
        stars = {Parameter.VAR_POSITIONAL: '*', Parameter.VAR_KEYWORD: '**'}.get(kind, '')
        declared.append(stars + name)
        passed.append(stars + name)
        if parameter.default is not Parameter.empty:
            defaults.append(parameter.default)
    if by_position:
        declared.append('/')
    source = f'{opening} {native.__name__}({\", \".join(declared)}):\\n {calling} native({\", \".join(passed)})\\n'
    names = {'__name__': module, '__builtins__': __builtins__, 'native': native}
    made = {}
    exec(compile(source, make.__code__.co_filename, 'exec'), names, made)
    function = made[native.__name__]
    function.__code__ = function.__code__.replace(co_qualname=qualified)
    function.__qualname__ = qualified
    function.__doc__ = native.__doc__
    function.__defaults__ = tuple(defaults) or None
    function.__kwdefaults__ = keyword_defaults or None
    return function
";

impl Function {
    /// The function's stand-in, which is made now if nobody has asked before.
    ///
    /// # Errors
    /// Those of running Python code.
    pub(super) fn stand_in<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        Ok(self.stand_in.find(py, || make(py, self))?.bind(py))
    }
}

fn make(py: Python<'_>, function: &Function) -> PyResult<Py<PyAny>> {
    static DEFINED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let defined = DEFINED.find(py, || embedded::define(py, &[], MAKER, FILE))?;
    let (opening, calling) = match function.kind {
        Kind::Coroutine => ("async def", "return await"),
        Kind::Generator => ("def", "yield from"),
        Kind::Plain => ("def", "return"),
    };
    let arguments = (
        &function.native,
        &function.qualified_name,
        function.module(py)?,
        Text(opening),
        Text(calling),
    );
    let make = defined.bind(py).as_any().get_item(intern!(py, "make"))?;
    Ok(make.call1(arguments)?.unbind())
}
