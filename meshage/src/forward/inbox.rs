//! The messages that wait for the application, bounded in number and in bytes.

use std::collections::VecDeque;

use crate::message::Message;

/// How many bytes of bodies may wait: 64 MiB. While at most half of that is in use, one message of
/// any size is accepted, so that a large body that has arrived completely is not refused because of
/// a small one before it.
pub const INBOX_BYTES_MAX: usize = 64 << 20;

/// The messages that wait for the application, in the order of their arrival.
#[derive(Debug)]
pub struct Inbox {
    messages: VecDeque<Message>,
    bytes: usize,
    messages_max: usize,
}

impl Inbox {
    /// An empty inbox for so many messages.
    pub fn new(messages_max: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, messages_max }
    }

    /// Whether there is room for a body of this length.
    pub fn has_room(&self, len: usize) -> bool {
        (self.messages.len() < self.messages_max || planted!(InboxUnbounded))
            && (self.bytes <= INBOX_BYTES_MAX / 2 || self.bytes + len <= INBOX_BYTES_MAX)
    }

    /// Appends a message, for which [`Inbox::has_room`] must be true.
    pub fn push(&mut self, message: Message) {
        debug_assert!(self.has_room(message.body.len()), "invariant I1: the inbox is bounded");
        self.bytes += message.body.len();
        self.messages.push_back(message);
    }

    /// Removes the first message.
    pub fn take_one(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.body.len();
        Some(message)
    }

    /// Removes up to `max` messages from the front.
    pub fn take(&mut self, max: usize) -> Vec<Message> {
        let count = max.min(self.messages.len());
        let taken: Vec<Message> = self.messages.drain(..count).collect();
        self.bytes -= taken.iter().map(|message| message.body.len()).sum::<usize>();
        taken
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether it is at most half full. Then the sources that were refused are notified.
    pub fn is_half_empty(&self) -> bool {
        self.messages.len() <= self.messages_max / 2 && self.bytes <= INBOX_BYTES_MAX / 2
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::message::Encoding;
    use crate::name::{Instance, MessageId, Names, NodeName};

    pub(crate) fn message(len: usize) -> Message {
        let source = NodeName::new("a").expect("valid");
        Message {
            source: source.clone(),
            instance: Instance(1),
            id: MessageId(1),
            recipients: Names::new(),
            route: source.into(),
            encoding: Encoding::BYTES,
            body: vec![0; len].into(),
        }
    }

    #[test]
    fn it_is_bounded_in_messages() {
        let mut inbox = Inbox::new(2);
        inbox.push(message(0));
        assert!(inbox.has_room(0));
        inbox.push(message(0));
        assert!(!inbox.has_room(0));
        assert!(inbox.take_one().is_some());
        assert!(inbox.has_room(0));
    }

    #[test]
    fn it_is_bounded_in_bytes_but_takes_any_one_message_while_it_is_half_empty() {
        let mut inbox = Inbox::new(10);
        inbox.push(message(INBOX_BYTES_MAX / 2));
        assert!(inbox.has_room(INBOX_BYTES_MAX + 1));
        inbox.push(message(INBOX_BYTES_MAX + 1));
        assert!(!inbox.has_room(0));
        assert_eq!(inbox.take(1).len(), 1);
        assert!(!inbox.has_room(0));
        assert_eq!(inbox.take(10).len(), 1);
        assert!(inbox.is_half_empty());
        assert!(inbox.has_room(INBOX_BYTES_MAX));
        inbox.push(message(INBOX_BYTES_MAX));
        assert!(!inbox.is_half_empty());
    }
}
