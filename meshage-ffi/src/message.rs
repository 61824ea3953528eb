//! Messages: one type for those built by hand and those received.

use std::ffi::{CString, c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use bytes::Bytes;
use meshage::message::{Encoding, Message, Outgoing};
use meshage::name::{Names, NodeName};

use crate::boundary::{Failure, c_string, create, free, status, value};
use crate::convert::{body, required, text};
use crate::names::{c_strings, nth};
use crate::status::meshage_status::{self, MESHAGE_ERR_INVALID, MESHAGE_ERR_STATE};

/// A message: received, or built by hand to be sent. One that is not being changed may be read by
/// any number of threads.
pub struct meshage_message {
    content: Content,
    source: OnceLock<CString>,
    recipients: OnceLock<Vec<CString>>,
    route: OnceLock<Vec<CString>>,
}

#[derive(Clone)]
enum Content {
    Received(Message),
    Built { body: Bytes, encoding: Encoding, recipients: Names },
}

/// What a message callback is.
pub(crate) type MessageFn =
    unsafe extern "C" fn(user_data: *mut c_void, owned: *mut meshage_message);

/// What a snoop callback is.
pub(crate) type SnoopFn =
    unsafe extern "C" fn(user_data: *mut c_void, borrowed: *const meshage_message);

/// Called with a message, which is the callback's to free with `meshage_message_free`, then or
/// later.
pub type meshage_message_cb =
    Option<unsafe extern "C" fn(user_data: *mut c_void, owned: *mut meshage_message)>;

/// Called with a message that passes through. The message is borrowed: it lives until the callback
/// returns; `meshage_message_clone` makes one to keep.
pub type meshage_snoop_cb =
    Option<unsafe extern "C" fn(user_data: *mut c_void, borrowed: *const meshage_message)>;

impl meshage_message {
    fn new(content: Content) -> Self {
        let (source, recipients, route) = <(OnceLock<_>, OnceLock<_>, OnceLock<_>)>::default();
        Self { content, source, recipients, route }
    }

    pub(crate) fn received(message: Message) -> Self {
        Self::new(Content::Received(message))
    }

    pub(crate) fn publish(message: Message) -> *mut Self {
        Box::into_raw(Box::new(Self::received(message)))
    }

    pub(crate) fn outgoing(&self) -> Outgoing {
        let recipients = self.recipient_names();
        let outgoing = match recipients {
            [] => Outgoing::broadcast(self.body().clone()),
            _ => Outgoing::set(recipients.iter().cloned(), self.body().clone()),
        };
        outgoing.encoding(self.encoding())
    }

    fn body(&self) -> &Bytes {
        match &self.content {
            Content::Received(message) => &message.body,
            Content::Built { body, .. } => body,
        }
    }

    fn encoding(&self) -> Encoding {
        match &self.content {
            Content::Received(message) => message.encoding,
            Content::Built { encoding, .. } => *encoding,
        }
    }

    fn recipient_names(&self) -> &[NodeName] {
        match &self.content {
            Content::Received(message) => &message.recipients,
            Content::Built { recipients, .. } => recipients,
        }
    }

    fn arrived(&self) -> Option<&Message> {
        match &self.content {
            Content::Received(message) => Some(message),
            Content::Built { .. } => None,
        }
    }

    fn c_source(&self) -> &CString {
        let name = || self.arrived().map_or("", |message| message.source.as_str());
        self.source.get_or_init(|| c_string(name()))
    }

    fn c_recipients(&self) -> &[CString] {
        self.recipients.get_or_init(|| c_strings(self.recipient_names()))
    }

    fn c_route(&self) -> &[CString] {
        let route = || self.arrived().map_or([].as_slice(), |message| &message.route);
        self.route.get_or_init(|| c_strings(route()))
    }
}

fn read_only() -> Failure {
    let text = "a received message does not change: create one with its body";
    Failure::new(MESHAGE_ERR_STATE, text)
}

/// A message to send with `meshage_send`. The body is copied; it may be NULL where `len` is 0. No
/// recipients means broadcast; the encoding is bytes.
///
/// Yours to free with `meshage_message_free`. NULL where `body` is NULL though `len` is not 0, or
/// where `len` is more than any node takes (1 GiB); `meshage_last_error` says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_message_create(
    body: *const c_void,
    len: usize,
) -> *mut meshage_message {
    create(|| {
        // SAFETY: the caller's promise.
        let body = unsafe { self::body(body, len)? };
        let (encoding, recipients) = (Encoding::BYTES, Names::new());
        Ok(meshage_message::new(Content::Built { body, encoding, recipients }))
    })
}

/// Adds a recipient. The name is copied.
///
/// Errors: NULL; UTF8; INVALID (no name: `meshage_last_error` says what is wrong with it); STATE (a
/// received message does not change).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_message_add_recipient(
    message: Option<&mut meshage_message>,
    name: *const c_char,
) -> meshage_status {
    status(|| {
        let message = required(message, "message")?;
        // SAFETY: the caller's promise.
        let name = NodeName::new(unsafe { text(name, "name")? })?;
        let Content::Built { recipients, .. } = &mut message.content else {
            return Err(read_only());
        };
        // What was lent out stays where it is: only the list of C strings moves, not the strings.
        if let Some(lent) = message.recipients.get_mut() {
            lent.push(c_string(name.as_str()));
        }
        recipients.push(name);
        Ok(())
    })
}

/// Says how the body is to be read: a `meshage_encoding`, or an application's own from 1024 on.
///
/// Errors: NULL; INVALID (negative); STATE (a received message does not change).
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_set_encoding(
    message: Option<&mut meshage_message>,
    encoding: i32,
) -> meshage_status {
    status(|| {
        let message = required(message, "message")?;
        let value = u32::try_from(encoding).map_err(|_| {
            Failure::new(MESHAGE_ERR_INVALID, format!("an encoding of {encoding}: 0 or more"))
        })?;
        let Content::Built { encoding, .. } = &mut message.content else {
            return Err(read_only());
        };
        *encoding = Encoding(value);
        Ok(())
    })
}

/// The node that sent it; "" of one built by hand; NULL for NULL. Borrowed: lives as long as the
/// message.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_source(message: Option<&meshage_message>) -> *const c_char {
    value(ptr::null(), || message.map_or(ptr::null(), |message| message.c_source().as_ptr()))
}

/// The body, and its length in `*len` (which may be NULL). Never NULL but for NULL, of an empty
/// body neither. Borrowed, not copied: lives as long as the message. No NUL follows it, and it has
/// no alignment: copy numbers out of it with `memcpy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_message_body(
    message: Option<&meshage_message>,
    len: *mut usize,
) -> *const c_void {
    // SAFETY: the caller's promise.
    let len = unsafe { crate::convert::out(len, 0) };
    value(ptr::null(), || {
        let Some(message) = message else { return ptr::null() };
        let body = message.body();
        if let Some(len) = len {
            *len = body.len();
        }
        if body.is_empty() { c"".as_ptr().cast() } else { body.as_ptr().cast() }
    })
}

/// How the body is to be read: a `meshage_encoding`, or an application's own; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_encoding(message: Option<&meshage_message>) -> i32 {
    value(0, || message.map_or(0, |message| message.encoding().0.cast_signed()))
}

/// Its number at the life of the source that sent it; 0 of one built by hand and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_id(message: Option<&meshage_message>) -> u64 {
    value(0, || message.and_then(meshage_message::arrived).map_or(0, |message| message.id.0))
}

/// The life of the source that sent it: a node that restarts has a new one. 0 of one built by hand
/// and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_instance(message: Option<&meshage_message>) -> u64 {
    value(0, || message.and_then(meshage_message::arrived).map_or(0, |message| message.instance.0))
}

/// How many recipients it names; 0 of a broadcast and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_recipient_count(message: Option<&meshage_message>) -> usize {
    value(0, || message.map_or(0, |message| message.recipient_names().len()))
}

/// The `i`th recipient; NULL past the end or for NULL. Borrowed: lives as long as the message.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_recipient(
    message: Option<&meshage_message>,
    i: usize,
) -> *const c_char {
    value(ptr::null(), || message.map_or(ptr::null(), |message| nth(message.c_recipients(), i)))
}

/// How many nodes put it on a link: the source, then each relay. 0 of one built by hand and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_hop_count(message: Option<&meshage_message>) -> usize {
    value(0, || message.and_then(meshage_message::arrived).map_or(0, |message| message.route.len()))
}

/// The `i`th node of its route; NULL past the end or for NULL. Borrowed: lives as long as the
/// message.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_hop(
    message: Option<&meshage_message>,
    i: usize,
) -> *const c_char {
    value(ptr::null(), || message.map_or(ptr::null(), |message| nth(message.c_route(), i)))
}

/// Another handle of the same message, which shares the body. Yours to free with
/// `meshage_message_free`. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_clone(message: Option<&meshage_message>) -> *mut meshage_message {
    create(|| {
        let message = required(message, "message")?;
        Ok(meshage_message::new(message.content.clone()))
    })
}

/// Frees a message. NULL is nothing to free. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_message_free(message: *mut meshage_message) {
    // SAFETY: the caller's promise.
    unsafe { free(message) }
}
