//! A build that catches Python code inside [`AttachedCell::with`](crate::native::cell::AttachedCell::with).
//!
//! The cell's rule cannot be said in types: a value that is assigned over is dropped in silence,
//! and mostly it is not the last reference, so no test ever sees the finalizer that one program
//! will put there. This module is compiled under `cfg(ouroloop_check_lent)` alone (`make test-lent`)
//! and makes the rule visible:
//!
//! - A cell notes for its thread that state is lent ([`Lent`]).
//! - The linker sends what the library calls of the interpreter through [`functions`]: whatever
//!   may run Python code, give the GIL away or allocate asks first whether state is lent.
//! - Every drop of a reference asks too. Under `cfg(py_sys_config = "Py_REF_DEBUG")` PyO3 drops by
//!   calling the interpreter: up to 3.11 each drop is seen, from 3.12 on the last one of an object.
//!
//! A breach is reported with the native stack. It ends the process, unless
//! `OUROLOOP_LENT_REPORTS` names a file: reports are then gathered there and the program goes on.

mod functions;

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::Write;

use pyo3::ffi;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// State is lent to this thread as long as this lives.
pub(crate) struct Lent(());

impl Lent {
    pub(crate) fn begin() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// What is asked before a reference is dropped. The end of a `bytes` object runs nothing: write
/// queues drop theirs as they are written.
fn check_drop(object: *mut ffi::PyObject) {
    // SAFETY: whoever drops a reference has one.
    if unsafe { ffi::PyBytes_CheckExact(object) } == 0 {
        check("a reference is dropped");
    }
}

/// What is asked before the interpreter's `function` is entered.
pub(crate) fn check(function: &str) {
    // A thread that ends has lent nothing.
    if DEPTH.try_with(Cell::get).unwrap_or(0) > 0 {
        report(function);
    }
}

#[cold]
fn report(function: &str) {
    let lent = DEPTH.replace(0);
    let text = format!("{function} while state is lent\n{}\n", Backtrace::force_capture());
    let Some(path) = std::env::var_os("OUROLOOP_LENT_REPORTS") else {
        eprintln!("{text}");
        std::process::abort();
    };
    let written = OpenOptions::new().create(true).append(true).open(path);
    if written.and_then(|mut file| file.write_all(text.as_bytes())).is_err() {
        std::process::abort();
    }
    DEPTH.set(lent);
}
