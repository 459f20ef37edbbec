//! `SubprocessTransport`: a child process, the pipes to it, and the protocol that hears of both.
//!
//! `subprocess.Popen` spawns ([`spawning`]), so that everything between fork and exec is as Python
//! has it; its pipes get transports of [`super::pipe`], whose protocols are [`PipeProtocol`]s;
//! [`exit`] finds out about the child's end.
//!
//! # States
//!
//! | state | `connected` | `returncode` | pipes | left by |
//! | --- | --- | --- | --- | --- |
//! | connecting | no | any | opened | the `Connected` event, behind those of the pipes |
//! | running | yes | none | any | the child's end |
//! | exited | yes | known | not all disconnected | the last pipe's `connection_lost` |
//! | finished | yes | known | all disconnected | the `connection_lost` call |
//! | lost | yes | known | all disconnected | – |
//!
//! `closed` is independent of these: `close()` closes the pipes and kills a child that runs, and
//! the states are gone through as before.
//!
//! # What the protocol hears, and when
//!
//! Every call of the protocol is a `ProtocolCall` that waits in `calls` for a turn of its own, in the
//! order in which things happened; until the transport is connected they wait without turns, and
//! `connection_made` goes before them.

mod calls;
mod class;
mod exit;
mod object;
mod pipe_protocol;
mod spawning;

use pyo3::prelude::*;

use crate::native::{instance_dict, slots};

#[cfg(not(Py_3_14))]
pub(crate) use exit::child_exited;
pub(crate) use object::{PipeProtocol, SubprocessTransport};
pub(crate) use spawning::Spawner;

/// Makes the class complete.
pub(crate) fn install(py: Python<'_>) {
    instance_dict::install::<SubprocessTransport>(py);
    pipe_protocol::make_known(py);
    slots::install_deallocate::<SubprocessTransport>(py);
}
