use super::*;
use crate::wire::frame;
use std::task::Wake;

fn push(outbound: &Outbound, class: Class, len: usize) -> Result<(), Full> {
    outbound.push(class, FrameKind::Data, &Bytes::from(vec![7; len]), |_| ()).map(|_| ())
}

/// The lengths of the frames' bodies that are taken next.
fn take(outbound: &Outbound, bytes_max: usize) -> Vec<usize> {
    let mut batch = Batch::default();
    outbound.try_take(bytes_max, &mut batch);
    lengths(&batch)
}

fn lengths(batch: &Batch) -> Vec<usize> {
    let mut bytes = Vec::new();
    for buffer in &batch.buffers {
        bytes.extend_from_slice(&buffer.bytes);
        bytes.extend_from_slice(&buffer.body);
    }
    let lengths: Vec<usize> =
        frame::frames(&bytes).map(|frame| frame.len() - frame::PREFIX_BYTES).collect();
    assert_eq!(lengths.len(), batch.frames);
    lengths
}

#[test]
fn control_goes_first_and_one_chunk_goes_between_small_messages() {
    let outbound = Outbound::default();
    let long = COPIED_BYTES_MAX + 1;
    for (class, len) in [
        (Class::Large, long),
        (Class::Large, long + 1),
        (Class::Small, 3),
        (Class::Ack, 2),
        (Class::Control, 1),
    ] {
        push(&outbound, class, len).expect("room");
    }
    assert_eq!(take(&outbound, usize::MAX), [1, 2, 3, long]);
    push(&outbound, Class::Small, 3).expect("room");
    assert_eq!(take(&outbound, usize::MAX), [3, long + 1]);
}

#[test]
fn a_full_queue_refuses_and_reports_when_it_has_room_again() {
    let outbound = Outbound::default();
    let mut sent = 0;
    while push(&outbound, Class::Small, 32 << 10).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, MESSAGE_BYTES_MAX / ((32 << 10) + frame::PREFIX_BYTES));
    assert_eq!(push(&outbound, Class::Control, 1), Ok(()), "the other queues have room");
    let writable = |bytes_max| {
        let mut batch = Batch::default();
        outbound.try_take(bytes_max, &mut batch);
        batch.writable
    };
    assert!(!writable(1 << 20));
    assert!(writable(2 << 20));
    assert!(!writable(2 << 20), "reported once");
}

#[test]
fn a_closed_queue_can_be_emptied_and_then_ends() {
    let outbound = Outbound::default();
    push(&outbound, Class::Small, 1).expect("room");
    outbound.close();
    assert_eq!(push(&outbound, Class::Control, 1), Err(Full));
    let mut cx = Context::from_waker(Waker::noop());
    let mut batch = Batch::default();
    assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_ready());
    assert_eq!(lengths(&batch), [1]);
    batch.advance(batch.bytes);
    assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_ready());
    assert_eq!(batch.bytes, 0);
}

#[test]
fn short_frames_share_a_buffer_and_long_bodies_are_not_copied() {
    let outbound = Outbound::default();
    let long = Bytes::from(vec![7; COPIED_BYTES_MAX + 1]);
    push(&outbound, Class::Small, 1).expect("room");
    push(&outbound, Class::Small, 2).expect("room");
    outbound.push(Class::Small, FrameKind::Data, &long, |_| ()).expect("room");
    push(&outbound, Class::Small, 3).expect("room");
    let mut batch = Batch::default();
    outbound.try_take(usize::MAX, &mut batch);
    assert_eq!(batch.buffers.len(), 2);
    assert_eq!(batch.buffers[0].body.as_ptr(), long.as_ptr());
    assert_eq!(lengths(&batch), [1, 2, COPIED_BYTES_MAX + 1, 3]);
}

#[test]
fn bytes_that_a_socket_took_are_not_written_again() {
    for step in 1..50 {
        let outbound = Outbound::default();
        for len in [1, 2000, 3] {
            push(&outbound, Class::Small, len).expect("room");
        }
        let mut batch = Batch::default();
        outbound.try_take(usize::MAX, &mut batch);
        while batch.bytes > 0 {
            let left = batch.bytes;
            let sent = step.min(left);
            batch.advance(sent);
            assert_eq!(batch.buffers.iter().map(WriteBuffer::len).sum::<usize>(), left - sent);
        }
        assert!(batch.buffers.is_empty());
    }
}

/// A socket that takes so many bytes at a time.
struct Takes(usize);

impl DirectWrite for Takes {
    fn allowance(&self) -> usize {
        usize::MAX
    }

    fn write(&self, batch: &Batch) -> DirectlyWritten {
        DirectlyWritten { bytes: self.0.min(batch.bytes), pending: false }
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_caller_writes_to_an_idle_link_and_its_rest_is_written_first() {
    let outbound = Outbound::default();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let mut batch = Batch::default();
    outbound.attach(Arc::new(Takes(usize::MAX)));
    assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_pending());
    push(&outbound, Class::Small, 3).expect("room");
    outbound.flush(true);
    assert_eq!((outbound.waiting_bytes(), wakes.0.load(Ordering::Relaxed)), (0, 0));

    outbound.attach(Arc::new(Takes(6)));
    push(&outbound, Class::Small, 3).expect("room");
    outbound.flush(true);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "the writer must write the rest");
    push(&outbound, Class::Control, 1).expect("room");
    assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_ready());
    assert_eq!(batch.buffers[0].bytes, [7, 7], "the rest of the frame");
    assert_eq!(batch.bytes, 2 + frame::PREFIX_BYTES + 1);
}

#[test]
fn frames_that_share_a_buffer_are_taken_one_by_one_if_few_bytes_are_asked_for() {
    let outbound = Outbound::default();
    let long = Bytes::from(vec![7; COPIED_BYTES_MAX + 1]);
    for len in [1, 2, 3] {
        push(&outbound, Class::Small, len).expect("room");
    }
    outbound.push(Class::Small, FrameKind::Data, &long, |_| ()).expect("room");
    assert_eq!(take(&outbound, 1), [1]);
    push(&outbound, Class::Control, 9).expect("room");
    assert_eq!(take(&outbound, 9 + frame::PREFIX_BYTES), [9], "control frames go between");
    assert_eq!(take(&outbound, 2 * frame::PREFIX_BYTES + 5), [2, 3]);
    assert_eq!(take(&outbound, 1), [COPIED_BYTES_MAX + 1]);
    assert_eq!(outbound.waiting_bytes(), 0);
}

#[test]
fn messages_wait_where_only_urgent_frames_are_taken() {
    let outbound = Outbound::default();
    let mut cx = Context::from_waker(Waker::noop());
    let mut batch = Batch::default();
    push(&outbound, Class::Small, 3).expect("room");
    push(&outbound, Class::Large, 4).expect("room");
    assert!(outbound.poll_take_urgent(&mut cx, &mut batch).is_pending());
    push(&outbound, Class::Ack, 2).expect("room");
    push(&outbound, Class::Control, 1).expect("room");
    assert!(outbound.poll_take_urgent(&mut cx, &mut batch).is_ready());
    assert_eq!(lengths(&batch), [1, 2]);
    outbound.close();
    let mut batch = Batch::default();
    assert!(outbound.poll_take_urgent(&mut cx, &mut batch).is_pending(), "messages wait");
    assert_eq!(take(&outbound, usize::MAX), [3, 4]);
}

/// A socket that must not be written to.
struct TakesNothing;

impl DirectWrite for TakesNothing {
    fn allowance(&self) -> usize {
        0
    }

    fn write(&self, _: &Batch) -> DirectlyWritten {
        panic!("nothing may be written")
    }
}

#[test]
fn a_link_without_an_allowance_is_left_to_its_writer() {
    let outbound = Outbound::default();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    outbound.attach(Arc::new(TakesNothing));
    let mut batch = Batch::default();
    assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_pending());
    push(&outbound, Class::Small, 3).expect("room");
    outbound.flush(true);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_busy_link_is_left_to_its_writer() {
    let outbound = Outbound::default();
    outbound.attach(Arc::new(Takes(usize::MAX)));
    push(&outbound, Class::Small, 3).expect("room");
    outbound.flush(true);
    assert!(outbound.waiting_bytes() > 0, "the writer is active");
}

/// A socket that accepts everything and sends nothing.
struct HoldsAll;

impl DirectWrite for HoldsAll {
    fn allowance(&self) -> usize {
        usize::MAX
    }

    fn write(&self, batch: &Batch) -> DirectlyWritten {
        DirectlyWritten { bytes: batch.bytes, pending: true }
    }
}

#[test]
fn the_writer_is_woken_to_send_what_the_link_holds_after_a_direct_write() {
    let outbound = Outbound::default();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let mut batch = Batch::default();
    outbound.attach(Arc::new(HoldsAll));
    assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_pending());
    push(&outbound, Class::Small, 3).expect("room");
    outbound.flush(true);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(outbound.waiting_bytes() > 0, "the link is not idle");
    assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_ready());
    assert_eq!((batch.bytes, batch.pending), (0, true));
    assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_pending(), "once");
    assert_eq!((outbound.waiting_bytes(), batch.pending), (0, false));
}

#[test]
fn a_link_that_is_closed_sends_what_it_holds_before_it_ends() {
    let outbound = Outbound::default();
    let mut cx = Context::from_waker(Waker::noop());
    let mut batch = Batch::default();
    outbound.send_pending();
    outbound.close();
    assert!(outbound.poll_take_urgent(&mut cx, &mut batch).is_ready());
    assert!(batch.pending);
    assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_ready());
    assert_eq!((batch.bytes, batch.pending), (0, false), "the end");
}
