//! One message and the recognition of its reply.
//!
//! An exchange begins when its request is handed to the socket and is over when the reply is
//! complete. A connection has one exchange under way at most, so bytes beyond the reply's end are an
//! error of the server.

use std::fmt;

/// What the server answers with.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The bytes that it was sent.
    Echo {
        /// The length of a message.
        size: usize,
        /// Whether a message ends with a newline, its only one.
        line: bool,
        /// Whether the content is compared, not only the length.
        check: bool,
    },
    /// An HTTP/1.1 response with a `Content-Length`.
    Http,
}

/// The server sent something that the protocol does not allow.
#[derive(Debug)]
pub enum Violation {
    /// More bytes than the reply has.
    Surplus,
    /// A byte that differs from the one sent.
    Content {
        /// The byte's place in the message.
        offset: usize,
    },
    /// A response head that is too long, not a 200, or without `Content-Length`.
    Head(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Surplus => f.write_str("the server sent more bytes than the reply has"),
            Self::Content { offset } => {
                write!(f, "byte {offset} of the reply was not the one sent")
            }
            Self::Head(head) => write!(f, "unexpected response head: {head:?}"),
        }
    }
}

impl std::error::Error for Violation {}

const LONGEST_HEAD: usize = 16 * 1024;

/// The request of one connection and how much of its reply has come.
#[derive(Debug)]
pub struct Exchange {
    kind: Kind,
    request: Vec<u8>,
    received: usize,
    head: Vec<u8>,
    body_left: Option<usize>,
    sequence: u64,
}

impl Exchange {
    /// Makes the exchange of connection `id`.
    #[must_use]
    pub fn new(kind: Kind, id: usize) -> Self {
        let request = match kind {
            Kind::Echo { size, line, .. } => {
                let mut request: Vec<u8> =
                    (b'a'..=b'z').cycle().skip(id % 26).take(size.max(1)).collect();
                if line {
                    request.pop();
                    request.push(b'\n');
                }
                request
            }
            Kind::Http => b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".to_vec(),
        };
        // The high half tells connections apart, the low half the messages of one.
        let sequence = (id as u64) << 32;
        Self { kind, request, received: 0, head: Vec::new(), body_left: None, sequence }
    }

    /// The bytes to send.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Gets ready for the next message.
    pub fn begin(&mut self) {
        self.received = 0;
        self.head.clear();
        self.body_left = None;
        if let Kind::Echo { check: true, .. } = self.kind {
            self.sequence += 1;
            self.stamp();
        }
    }

    /// Takes in bytes of the reply; answers whether it is complete.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        match self.kind {
            Kind::Echo { check, .. } => self.receive_echo(bytes, check),
            Kind::Http => self.receive_response(bytes),
        }
    }

    /// Writes the sequence number over the message's start, a digit a letter, so that a reply that
    /// belongs to another connection or message differs from ours.
    fn stamp(&mut self) {
        let mut rest = self.sequence;
        let end = self.request.len() - 1;
        for byte in self.request[..end].iter_mut().take(16) {
            *byte = b'A' + (rest & 0xf) as u8;
            rest >>= 4;
        }
    }

    fn receive_echo(&mut self, bytes: &[u8], check: bool) -> Result<bool, Violation> {
        let start = self.received;
        let expected = self.request.get(start..start + bytes.len()).ok_or(Violation::Surplus)?;
        if check && expected != bytes {
            let wrong = expected.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            return Err(Violation::Content { offset: start + wrong });
        }
        self.received += bytes.len();
        Ok(self.received == self.request.len())
    }

    fn receive_response(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        let body = if let Some(left) = self.body_left {
            (left, bytes.len())
        } else {
            self.head.extend_from_slice(bytes);
            let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else {
                if self.head.len() > LONGEST_HEAD {
                    return Err(bad_head(&self.head));
                }
                return Ok(false);
            };
            let length =
                content_length(&self.head[..end]).ok_or_else(|| bad_head(&self.head[..end]))?;
            (length, self.head.len() - end - 4)
        };
        let left = body.0.checked_sub(body.1).ok_or(Violation::Surplus)?;
        self.body_left = Some(left);
        Ok(left == 0)
    }
}

fn bad_head(head: &[u8]) -> Violation {
    Violation::Head(String::from_utf8_lossy(head).into_owned())
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    if lines.next()?.split(' ').nth(1)? != "200" {
        return None;
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-length: 5\r\n\r\nhello";

    #[test]
    fn a_response_may_come_in_any_two_pieces() {
        let mut exchange = Exchange::new(Kind::Http, 0);
        for cut in 1..RESPONSE.len() {
            exchange.begin();
            assert!(!exchange.receive(&RESPONSE[..cut]).expect("a valid start"));
            assert!(exchange.receive(&RESPONSE[cut..]).expect("a valid rest"));
        }
    }

    #[test]
    fn surplus_and_strange_responses_are_violations() {
        let mut exchange = Exchange::new(Kind::Http, 0);
        let longer = [RESPONSE, b"!"].concat();
        assert!(matches!(exchange.receive(&longer), Err(Violation::Surplus)));
        for head in ["HTTP/1.1 500 Oh\r\nContent-Length: 0", "HTTP/1.1 200 OK\r\nA: b", "nonsense"]
        {
            exchange.begin();
            let answer = exchange.receive(format!("{head}\r\n\r\n").as_bytes());
            assert!(matches!(answer, Err(Violation::Head(_))), "{head}");
        }
    }

    #[test]
    fn an_echo_is_checked_byte_by_byte() {
        let kind = Kind::Echo { size: 40, line: true, check: true };
        let (mut mine, mut other) = (Exchange::new(kind, 1), Exchange::new(kind, 27));
        mine.begin();
        other.begin();
        let reply = mine.request().to_vec();
        assert_eq!(reply.iter().position(|&byte| byte == b'\n'), Some(39));
        assert!(!mine.receive(&reply[..7]).expect("our own bytes"));
        assert!(mine.receive(&reply[7..]).expect("our own bytes"));
        assert!(matches!(other.receive(&reply), Err(Violation::Content { .. })));
        mine.begin();
        assert!(matches!(mine.receive(&reply), Err(Violation::Content { offset: 0 })));
    }

    #[test]
    fn an_echo_that_is_too_long_is_a_violation() {
        let mut exchange = Exchange::new(Kind::Echo { size: 3, line: false, check: false }, 0);
        exchange.begin();
        assert!(matches!(exchange.receive(b"abcd"), Err(Violation::Surplus)));
    }
}
