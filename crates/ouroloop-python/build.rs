//! Hands the running interpreter's version to `cfg(Py_3_12)` and friends, and to the linker what goes
//! through functions of ours: the language's personality routine (`src/interpreter/thread_end.rs`), what PyO3 takes for
//! granted that there is memory for (`src/interpreter/spares.rs`), and what the build that checks lent state watches.

const SPARED: [&str; 4] =
    ["PyDict_New", "PyTuple_New", "PyType_GetQualName", "PyUnicode_FromStringAndSize"];

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    println!("cargo:rustc-check-cfg=cfg(unwinds_threads, keeps_spares)");
    if unwinds_threads() {
        println!("cargo:rustc-cfg=unwinds_threads");
        wrap("rust_eh_personality");
    }
    if std::env::var_os("CARGO_CFG_OUROLOOP_CHECK_LENT").is_some() {
        wrap_watched();
    } else if target("OS") == "linux" {
        // The other build watches the same functions.
        println!("cargo:rustc-cfg=keeps_spares");
        SPARED.into_iter().for_each(wrap);
    }
}

/// Has the calls of `name` go to `__wrap_` and the name.
fn wrap(name: &str) {
    println!("cargo:rustc-cdylib-link-arg=-Wl,--wrap={name}");
}

/// What Cargo says of the platform.
fn target(name: &str) -> String {
    std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default()
}

/// Whether the interpreter ends threads by unwinding them: up to 3.13, with glibc. On 32-bit ARM unwinding
/// works in another way.
fn unwinds_threads() -> bool {
    let version = pyo3_build_config::get().version();
    target("OS") == "linux"
        && target("ENV") == "gnu"
        && target("ARCH") != "arm"
        && (version.major, version.minor) < (3, 14)
}

/// Has the calls of every function in `src/native/lent/functions.rs` go through that file.
fn wrap_watched() {
    let path = "src/native/lent/functions.rs";
    println!("cargo:rerun-if-changed={path}");
    let source = std::fs::read_to_string(path).expect("the list is part of the crate");
    for line in source.lines() {
        let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
        let Some((name, _)) = name.filter(|(name, _)| !name.starts_with('$')) else { continue };
        // The real ones are declared too: to name a function twice does no harm.
        let name = name.trim_start_matches("__wrap_").trim_start_matches("__real_");
        wrap(name);
    }
}
