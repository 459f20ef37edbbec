//! How a native class is made, and how its objects live and die.

#[macro_use]
pub(crate) mod copying;
#[macro_use]
pub(crate) mod slots;
#[macro_use]
pub(crate) mod instance_dict;
#[macro_use]
pub(crate) mod shelf;
pub(crate) mod cell;
pub(crate) mod constructor;
pub(crate) mod embedded;
pub(crate) mod first_import;
pub(crate) mod kinship;
#[cfg(ouroloop_check_lent)]
mod lent;
pub(crate) mod live_dict;
pub(crate) mod method;
pub(crate) mod overrides;
pub(crate) mod trashcan;
#[cfg(not(Py_3_13))]
mod written;
