//! Hands the running interpreter's version to `cfg(Py_3_12)` and friends.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
