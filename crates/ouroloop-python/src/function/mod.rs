//! Native functions and methods as Python's own functions show themselves.
//!
//! asyncio's functions are written in Python, and programs ask them what they are: `inspect.iscoroutinefunction`
//! before a call, `unittest.mock` for what to put in their place, tools for the `__code__` that they wrap. A
//! descriptor of the interpreter's for C functions has no answers, so a `Function` stands in its place. Calls
//! go through it to the native code ([`calls`]): the class is a method descriptor with vectorcall, and
//! immutable, without which the interpreter would not remember where it found the method. Bound it is an
//! ordinary `types.MethodType`.
//!
//! What it answers for `__code__` and its kin comes from a *stand-in* ([`stand_in`]), a Python function that does
//! nothing but call the native one; it is made when somebody asks. Who sets the code or the defaults of a
//! function means its calls: from then on those go to the stand-in.
//!
//! [`dress`] puts functions into classes and into the module.

mod calls;
mod class;
mod dress;
mod object;
mod stand_in;

pub(crate) use class::install;
pub(crate) use dress::dress;
