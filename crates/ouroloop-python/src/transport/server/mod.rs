//! `Server`: listening sockets, and the connections that came through them.
//!
//! | state | `sockets` | `serving` | `waiters` | left by |
//! | --- | --- | --- | --- | --- |
//! | bound | some | no | some | `start_serving`, `serve_forever` |
//! | serving | some | yes | some | `close` |
//! | closing | none | no | some | the last connection's end |
//! | closed | none | no | none | – |
//!
//! `close` skips `closing` where no connection is open. The server does not own its connections:
//! it knows them by their addresses in memory, and each of them says when it ends.

mod class;
mod object;

use pyo3::prelude::*;

use crate::native::{instance_dict, slots};

pub(crate) use object::Server;

/// Makes the class complete.
pub(crate) fn install(py: Python<'_>) {
    instance_dict::install::<Server>(py);
    slots::install_deallocate::<Server>(py);
}
