//! How many descriptors this process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows as many as the system lets the process have; a connection is one.
pub fn allow_many() {
    let limit = getrlimit(Resource::Nofile);
    // Refused, it stays as it is, which is enough for most loads.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
