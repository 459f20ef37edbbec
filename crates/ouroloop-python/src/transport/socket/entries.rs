//! What the loop tells a stream transport, as entries of its queue.

use super::SocketTransport;
use crate::transport::news::news;

news! {
    /// It is to call its protocol's `connection_made`.
    Open of SocketTransport: "socket.open", by on_open;
    /// It is to call its protocol's `connection_lost`.
    Lost of SocketTransport: "socket.lost", by on_lost;
    /// Its descriptor is readable.
    Readable of SocketTransport: "socket.readable", by on_readable;
    /// Its descriptor is writable.
    Writable of SocketTransport: "socket.writable", by on_writable;
}
