//! Send, receive and close under every schedule: no wake-up is lost, and a message is read once or counted as unread.

use std::sync::Arc as StdArc;
use std::task::Wake;

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::sync::Condvar;

/// Where a thread of the model waits for its waker.
#[derive(Default)]
struct Bed {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Bed {
    fn wake(self: StdArc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }
}

/// Polls until it is ready, asleep in between: a lost wake-up is a deadlock, which loom reports.
fn wait_for<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let bed = StdArc::new(Bed::default());
    let waker = Waker::from(StdArc::clone(&bed));
    loop {
        if let Poll::Ready(value) = poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let mut woken = bed.woken.lock();
        while !std::mem::replace(&mut *woken, false) {
            bed.changed.wait(&mut woken);
        }
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(3));
    builder.check(model);
}

fn message(number: i64) -> Message {
    Message::new("t".parse().expect("a topic"), [number])
}

fn mailbox(messages: usize) -> Arc<Mailbox> {
    Arc::new(Mailbox::new(MailboxBounds { messages, bytes: usize::MAX / 2 }, true))
}

/// Sends as soon as there is room; whether it was taken.
fn send(mailbox: &Mailbox, number: i64) -> bool {
    let (mut offered, mut turn) = (Some(message(number)), None);
    wait_for(|context| mailbox.poll_push(&mut offered, &mut turn, context)).is_ok()
}

#[test]
fn loom_a_reader_gets_what_two_senders_send_through_one_place() {
    check(|| {
        let mailbox = mailbox(1);
        let senders = [1, 2].map(|number| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || assert!(send(&mailbox, number)))
        });
        let read = [(); 2].map(|()| wait_for(|context| mailbox.poll_message(context)));
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
        let read = read.map(|message| message.payloads[0].clone());
        assert!(read == [1.into(), 2.into()] || read == [2.into(), 1.into()]);
    });
}

#[test]
fn loom_an_end_counts_or_refuses_what_is_sent_meanwhile() {
    check(|| {
        let mailbox = mailbox(1);
        let sender = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || [1, 2].into_iter().filter(|number| send(&mailbox, *number)).count()
        });
        let read = mailbox.poll_message(&mut Context::from_waker(Waker::noop())).is_ready();
        mailbox.close();
        let taken = sender.join().expect("no panic");
        assert_eq!(taken as u64, mailbox.stats().unread + u64::from(read));
    });
}

#[test]
fn loom_an_event_wakes_a_reader_that_a_message_would_wake_too() {
    check(|| {
        let mailbox = mailbox(1);
        let caller = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || {
                let waker = mailbox.push_event(Event::Cancel { from: None, reason: String::new() });
                waker.into_iter().for_each(Waker::wake);
            }
        });
        let sender = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || assert!(mailbox.push(message(1)).is_ok())
        });
        let read = [(); 2].map(|()| wait_for(|context| mailbox.poll_signal(context)));
        assert!(read.iter().any(|signal| matches!(signal, Signal::Event(_))));
        caller.join().expect("no panic");
        sender.join().expect("no panic");
    });
}

#[test]
fn loom_a_sender_that_leaves_the_line_hands_on_its_turn() {
    check(|| {
        let mailbox = mailbox(1);
        assert!(mailbox.push(message(0)).is_ok());
        let (mut offered, mut turn) = (Some(message(1)), None);
        assert!(mailbox.poll_push(&mut offered, &mut turn, &mut Context::from_waker(Waker::noop())).is_pending());
        let sender = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || assert!(send(&mailbox, 2))
        });
        let leaving = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.leave_line(turn.expect("it waits"))
        });
        let read = [(); 2].map(|()| wait_for(|context| mailbox.poll_message(context)).payloads[0].clone());
        assert_eq!(read, [0.into(), 2.into()]);
        sender.join().expect("no panic");
        leaving.join().expect("no panic");
    });
}
