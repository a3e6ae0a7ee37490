use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::super::Payload;
use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        (Arc::clone(&count), count.into())
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn message(topic: &str, number: i64) -> Message {
    Message::new(topic.parse().unwrap(), [number])
}

fn tell(mailbox: &Mailbox, event: Event) {
    mailbox.push_event(event).into_iter().for_each(Waker::wake);
}

fn mailbox(messages: usize) -> Mailbox {
    Mailbox::new(MailboxBounds { messages, ..MailboxBounds::default() }, true)
}

fn numbers(mailbox: &Mailbox) -> Vec<Payload> {
    let mut context = Context::from_waker(Waker::noop());
    let mut read = Vec::new();
    while let Poll::Ready(message) = mailbox.poll_message(&mut context) {
        read.extend(message.payloads);
    }
    read
}

#[test]
fn what_is_sent_is_read_in_order_up_to_the_bound() {
    let mailbox = mailbox(2);
    assert_eq!(mailbox.push(message("t", 1)), Ok(Taken::Queued));
    assert_eq!(mailbox.push(message("t", 2)), Ok(Taken::Queued));
    assert_eq!(mailbox.push(message("t", 3)), Err(Refusal::Full { bound: "max_messages", allowed: 2 }));
    assert_eq!(mailbox.stats(), MailboxStats { depth: 2, accepted: 2, refused: 1, ..sizes(&mailbox) });
    assert_eq!(numbers(&mailbox), [1.into(), 2.into()]);
    assert_eq!(mailbox.stats().bytes, 0);
}

fn sizes(mailbox: &Mailbox) -> MailboxStats {
    MailboxStats { bytes: mailbox.stats().bytes, ..MailboxStats::default() }
}

#[test]
fn bytes_are_bounded_too_and_what_never_fits_is_told_apart() {
    let size = message("t", 1).size();
    let mailbox = Mailbox::new(MailboxBounds { messages: 10, bytes: 2 * size }, true);
    assert!(mailbox.push(message("t", 1)).is_ok() && mailbox.push(message("t", 2)).is_ok(), "at the bound");
    let full = Refusal::Full { bound: "max_bytes", allowed: 2 * size };
    assert_eq!(mailbox.push(message("t", 3)).unwrap_err(), full);
    let large = Message::new("t".parse().unwrap(), [vec![0_u8; 2 * size]]);
    let bytes = large.size();
    assert_eq!(mailbox.push(large).unwrap_err(), Refusal::Oversized { bytes, allowed: 2 * size });
    assert_eq!(numbers(&mailbox).len(), 2);
}

#[test]
fn of_a_drop_oldest_topic_the_newest_stay_and_others_are_left_alone() {
    let mailbox = mailbox(3);
    mailbox.push(message("tick", 1)).unwrap();
    assert!(mailbox.drop_oldest("tick".parse().unwrap()), "also what came before counts");
    mailbox.push(message("order", 2)).unwrap();
    mailbox.push(message("tick", 3)).unwrap();
    for number in [4, 5] {
        assert_eq!(mailbox.push(message("tick", number)), Ok(Taken::Queued));
    }
    assert!(mailbox.push(message("order", 6)).is_err(), "nobody gives way to another topic");
    assert_eq!(mailbox.stats().dropped, 2);
    assert_eq!(numbers(&mailbox), [2.into(), 4.into(), 5.into()]);
    for number in 7..10 {
        mailbox.push(message("order", number)).unwrap();
    }
    assert!(mailbox.push(message("tick", 10)).is_err(), "there is none of its own to give way");
    for number in 1..DROP_OLDEST_MAX {
        assert!(mailbox.drop_oldest(format!("topic-{number}").parse().unwrap()));
    }
    assert!(!mailbox.drop_oldest("one-more".parse().unwrap()));
    assert!(mailbox.drop_oldest("tick".parse().unwrap()), "it is there already");
}

#[test]
fn who_waits_for_room_comes_in_by_turn() {
    let mailbox = mailbox(1);
    mailbox.push(message("t", 0)).unwrap();
    let (first_woken, first) = Count::new();
    let (second_woken, second) = Count::new();
    let (mut one, mut one_turn) = (Some(message("t", 1)), None);
    let (mut two, mut two_turn) = (Some(message("t", 2)), None);
    assert!(mailbox.poll_push(&mut one, &mut one_turn, &mut Context::from_waker(&first)).is_pending());
    assert!(mailbox.poll_push(&mut two, &mut two_turn, &mut Context::from_waker(&second)).is_pending());
    let noop = &mut Context::from_waker(Waker::noop());
    assert!(mailbox.poll_message(noop).is_ready());
    assert_eq!((first_woken.get(), second_woken.get()), (1, 0));
    assert!(
        mailbox.poll_push(&mut two, &mut two_turn, &mut Context::from_waker(&second)).is_pending(),
        "it is not its turn"
    );
    let sent = mailbox.poll_push(&mut one, &mut one_turn, &mut Context::from_waker(&first));
    assert_eq!((sent, one_turn), (Poll::Ready(Ok(Taken::Queued)), None));
    assert_eq!(second_woken.get(), 0, "there is no room");
    let mut three_turn = None;
    let (third_woken, third) = Count::new();
    let mut three = Some(message("t", 3));
    assert!(mailbox.poll_push(&mut three, &mut three_turn, &mut Context::from_waker(&third)).is_pending());
    assert!(mailbox.poll_message(noop).is_ready());
    assert_eq!(second_woken.get(), 1);
    mailbox.leave_line(two_turn.expect("it waits"));
    assert_eq!(third_woken.get(), 1, "who leaves hands on the room");
    assert!(mailbox.poll_push(&mut three, &mut three_turn, &mut Context::from_waker(&third)).is_ready());
    assert_eq!(mailbox.stats().refused, 0, "who waits is not refused");
}

#[test]
fn an_end_tells_those_who_wait_and_counts_what_is_left() {
    let mailbox = mailbox(1);
    mailbox.push(message("t", 0)).unwrap();
    let (woken, waker) = Count::new();
    let (mut waiting, mut turn) = (Some(message("t", 1)), None);
    assert!(mailbox.poll_push(&mut waiting, &mut turn, &mut Context::from_waker(&waker)).is_pending());
    mailbox.close();
    assert_eq!(woken.get(), 1);
    let told = mailbox.poll_push(&mut waiting, &mut turn, &mut Context::from_waker(&waker));
    assert_eq!(told, Poll::Ready(Err(Refusal::Closed)));
    assert_eq!(mailbox.push(message("t", 2)).unwrap_err(), Refusal::Closed);
    assert_eq!((mailbox.stats().unread, mailbox.stats().depth), (1, 0));
}

#[test]
fn events_and_messages_keep_their_common_order() {
    let mailbox = mailbox(8);
    let cancel = |reason: &str| Event::Cancel { from: None, reason: reason.into() };
    mailbox.push(message("t", 1)).unwrap();
    tell(&mailbox, cancel("first"));
    tell(&mailbox, cancel("second"));
    mailbox.push(message("t", 2)).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut read = Vec::new();
    while let Poll::Ready(signal) = mailbox.poll_signal(&mut context) {
        read.push(signal);
    }
    let expected = [Signal::Message(message("t", 1)), Signal::Event(cancel("first")), Signal::Message(message("t", 2))];
    assert_eq!(read, expected, "of several requests to cancel the first one is kept");
    tell(&mailbox, cancel("third"));
    assert_eq!(mailbox.poll_event(&mut context), Poll::Ready(cancel("third")));
}

#[test]
fn a_reader_is_woken_by_what_comes() {
    let mailbox = mailbox(8);
    let (woken, waker) = Count::new();
    let mut context = Context::from_waker(&waker);
    assert!(mailbox.poll_ready(&mut context, true, false).is_pending());
    mailbox.push(message("t", 1)).unwrap();
    mailbox.push(message("t", 2)).unwrap();
    assert_eq!(woken.get(), 1, "once is enough until it looks again");
    assert!(mailbox.poll_ready(&mut context, true, false).is_ready());
    assert!(mailbox.poll_ready(&mut context, false, true).is_pending());
    tell(&mailbox, Event::Cancel { from: None, reason: String::new() });
    assert_eq!(woken.get(), 2);
    assert!(mailbox.poll_ready(&mut context, false, true).is_ready());
}

#[test]
fn a_process_that_can_not_receive_discards_and_counts() {
    let mailbox = Mailbox::new(MailboxBounds { messages: 1, bytes: 1 }, false);
    let taken: Vec<_> = (0..3).map(|number| mailbox.push(message("t", number)).unwrap()).collect();
    assert_eq!(taken, [Taken::DiscardedFirst, Taken::Discarded, Taken::Discarded]);
    tell(&mailbox, Event::Cancel { from: None, reason: String::new() });
    assert_eq!(mailbox.stats(), MailboxStats { discarded: 3, ..MailboxStats::default() });
    mailbox.close();
    assert_eq!(mailbox.push(message("t", 4)), Err(Refusal::Closed));
    assert_eq!(mailbox.stats().discarded, 3, "who has ended gets nothing that could be discarded");
}
