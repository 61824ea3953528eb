//! Messages: one type for those that the application creates and those that it receives.

use std::ffi::{CString, c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use bytes::Bytes;
use meshage::message::{Encoding, Message, Outgoing};
use meshage::name::{Names, NodeName};

use crate::boundary::{c_string, create, free, read, status, value};
use crate::convert::{body, required, text};
use crate::failure::Failure;
use crate::names::{c_strings, nth};
use crate::status::meshage_status::{self, MESHAGE_ERR_INVALID, MESHAGE_ERR_STATE};

/// A message: received, or created to be sent. Any number of threads may read a message while no
/// thread changes it.
pub struct meshage_message {
    content: Content,
    source: OnceLock<CString>,
    recipients: OnceLock<Vec<CString>>,
    route: OnceLock<Vec<CString>>,
}

#[derive(Clone)]
enum Content {
    Received(Message),
    Created { body: Bytes, encoding: Encoding, recipients: Names },
}

/// The type of a message callback that is not NULL.
pub(crate) type MessageFn =
    unsafe extern "C" fn(user_data: *mut c_void, owned: *mut meshage_message);

/// The type of a snoop callback that is not NULL.
pub(crate) type SnoopFn =
    unsafe extern "C" fn(user_data: *mut c_void, borrowed: *const meshage_message);

/// Called with a message. The callback owns it and frees it with `meshage_message_free`, at any
/// time.
pub type meshage_message_cb =
    Option<unsafe extern "C" fn(user_data: *mut c_void, owned: *mut meshage_message)>;

/// Called with a message in transit. The message is borrowed: it is valid until the callback
/// returns. `meshage_message_clone` makes a copy to keep.
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

    pub(crate) fn new_raw(message: Message) -> *mut Self {
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
            Content::Created { body, .. } => body,
        }
    }

    fn encoding(&self) -> Encoding {
        match &self.content {
            Content::Received(message) => message.encoding,
            Content::Created { encoding, .. } => *encoding,
        }
    }

    fn recipient_names(&self) -> &[NodeName] {
        match &self.content {
            Content::Received(message) => &message.recipients,
            Content::Created { recipients, .. } => recipients,
        }
    }

    fn as_received(&self) -> Option<&Message> {
        match &self.content {
            Content::Received(message) => Some(message),
            Content::Created { .. } => None,
        }
    }

    fn c_source(&self) -> &CString {
        let name = || self.as_received().map_or("", |message| message.source.as_str());
        self.source.get_or_init(|| c_string(name()))
    }

    fn c_recipients(&self) -> &[CString] {
        self.recipients.get_or_init(|| c_strings(self.recipient_names()))
    }

    fn c_route(&self) -> &[CString] {
        let route = || self.as_received().map_or([].as_slice(), |message| &message.route);
        self.route.get_or_init(|| c_strings(route()))
    }
}

fn read_only() -> Failure {
    let text = "a received message cannot be changed: create a new one with its body";
    Failure::new(MESHAGE_ERR_STATE, text)
}

/// Creates a message to be sent with `meshage_send`. The body is copied. `body` may be NULL if
/// `len` is 0. The new message has no recipients, which makes it a broadcast, and the encoding
/// `MESHAGE_ENCODING_BYTES`.
///
/// Free the result with `meshage_message_free`. Returns NULL if `body` is NULL and `len` is not 0,
/// or if `len` is more than 1 GiB, the largest body of any node; `meshage_last_error` gives the
/// reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_message_create(
    body: *const c_void,
    len: usize,
) -> *mut meshage_message {
    create(|| {
        // SAFETY: the caller's promise.
        let body = unsafe { self::body(body, len)? };
        let (encoding, recipients) = (Encoding::BYTES, Names::new());
        Ok(meshage_message::new(Content::Created { body, encoding, recipients }))
    })
}

/// Adds a recipient to a message. The name is copied. One thread at a time may change a message.
///
/// Errors: NULL; UTF8; INVALID (the name is not valid; `meshage_last_error` gives the reason);
/// STATE (the message was received). Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_message_add_recipient(
    message: Option<&mut meshage_message>,
    name: *const c_char,
) -> meshage_status {
    status(|| {
        let message = required(message, "message")?;
        // SAFETY: the caller's promise.
        let name = NodeName::new(unsafe { text(name, "name")? })?;
        let Content::Created { recipients, .. } = &mut message.content else {
            return Err(read_only());
        };
        // Strings that an accessor returned stay valid: the list may move, the strings do not.
        if let Some(converted) = message.recipients.get_mut() {
            converted.push(c_string(name.as_str()));
        }
        recipients.push(name);
        Ok(())
    })
}

/// Sets the encoding of the body: a `meshage_encoding`, or an application's own from 1024 upwards.
/// One thread at a time may change a message.
///
/// Errors: NULL; INVALID (`encoding` is negative); STATE (the message was received). Does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_set_encoding(
    message: Option<&mut meshage_message>,
    encoding: i32,
) -> meshage_status {
    status(|| {
        let message = required(message, "message")?;
        let value = u32::try_from(encoding).map_err(|_| {
            Failure::new(MESHAGE_ERR_INVALID, format!("{encoding} is not an encoding: 0 or more"))
        })?;
        let Content::Created { encoding, .. } = &mut message.content else {
            return Err(read_only());
        };
        *encoding = Encoding(value);
        Ok(())
    })
}

/// Returns the name of the node that sent the message; "" for a created message; NULL for NULL.
/// Borrowed: valid as long as the message.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_source(message: Option<&meshage_message>) -> *const c_char {
    read(message, ptr::null(), |message| message.c_source().as_ptr())
}

/// Returns the body of the message, and in `*len` its length in bytes; `len` may be NULL. The
/// result is NULL for NULL only, not for an empty body. Borrowed, not copied: valid as long as the
/// message. The body is neither NUL-terminated nor aligned: copy numbers out of it with `memcpy`.
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

/// Returns the encoding of the body: a `meshage_encoding`, or an application's own; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_encoding(message: Option<&meshage_message>) -> i32 {
    read(message, 0, |message| message.encoding().0.cast_signed())
}

/// Returns the number of the message, which is unique for its source and instance; 0 for a created
/// message and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_id(message: Option<&meshage_message>) -> u64 {
    read(message, 0, |message| message.as_received().map_or(0, |message| message.id.0))
}

/// Returns the instance of the node that sent the message; 0 for a created message and for NULL. A
/// node has a new instance after each start.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_instance(message: Option<&meshage_message>) -> u64 {
    read(message, 0, |message| message.as_received().map_or(0, |message| message.instance.0))
}

/// Returns the number of recipients that the message names; 0 for a broadcast and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_recipient_count(message: Option<&meshage_message>) -> usize {
    read(message, 0, |message| message.recipient_names().len())
}

/// Returns the name of recipient `i`, counted from 0; NULL if `i` is past the end or for NULL.
/// Borrowed: valid as long as the message.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_recipient(
    message: Option<&meshage_message>,
    i: usize,
) -> *const c_char {
    read(message, ptr::null(), |message| nth(message.c_recipients(), i))
}

/// Returns the number of nodes that sent the message over a link: the source and each relay. 0 for
/// a created message and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_hop_count(message: Option<&meshage_message>) -> usize {
    read(message, 0, |message| message.as_received().map_or(0, |message| message.route.len()))
}

/// Returns the name of node `i` on the message's route, counted from 0, which is the source; NULL
/// if `i` is past the end or for NULL. Borrowed: valid as long as the message.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_hop(
    message: Option<&meshage_message>,
    i: usize,
) -> *const c_char {
    read(message, ptr::null(), |message| nth(message.c_route(), i))
}

/// Returns a copy of a message, which shares the body. Free it with `meshage_message_free`. NULL
/// for NULL. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_message_clone(message: Option<&meshage_message>) -> *mut meshage_message {
    create(|| {
        let message = required(message, "message")?;
        Ok(meshage_message::new(message.content.clone()))
    })
}

/// Frees a message. Does nothing for NULL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_message_free(message: *mut meshage_message) {
    // SAFETY: the caller's promise.
    unsafe { free(message) }
}
