//! The end of a process beside those who undo what they have to do with it, under every schedule.

use loom::thread;

use super::super::cell::Beginning;
use super::super::ground::{Ground, Spot};
use super::super::mailbox::{Mailbox, MailboxBounds};
use super::super::manager::Realm;
use super::*;
use crate::limits::{Limits, Usage};
use crate::process::{ArgumentError, Birth, CallChain, Payload, Process, Program, ResultStyle};
use crate::reactor::Clock;
use crate::registry::EntryId;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(3));
    builder.check(model);
}

/// Of no process here is ever a step taken.
struct Nothing(EntryId);

impl Program for Nothing {
    fn entry(&self) -> &EntryId {
        &self.0
    }

    fn check(&self, _: &[Payload]) -> Result<(), ArgumentError> {
        Ok(())
    }

    fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(Vec::new())
    }

    fn create(&self, _: Birth) -> Box<dyn Process> {
        unreachable!("nothing runs in a model of cells")
    }

    fn result_style(&self) -> ResultStyle {
        ResultStyle::Value
    }
}

fn cell(number: u64, traps_links: bool) -> Arc<ProcessCell> {
    let id: EntryId = "app:p".parse().expect("an ID");
    let beginning = Beginning { parent: None, calls: CallChain::default(), traps_links, watchers: Vec::new() };
    let mailbox = Mailbox::new(MailboxBounds::default(), true);
    let usage = Arc::new(Usage::new(Limits::default(), 0));
    let spot = Spot::new(&(Arc::new(Nothing(id.clone())) as Arc<dyn Program>));
    let ground = Ground::bare(Realm::default(), Clock::manual());
    Arc::new(ProcessCell::new(Pid::new(id, number), spot, ground, usage, mailbox, beginning))
}

fn failure() -> Exit {
    Exit::Failed(Failure::new(FailureKind::Host, "as told"))
}

#[test]
fn loom_nothing_is_told_of_an_end_after_a_monitor_is_undone() {
    check(|| {
        let (watcher, target) = (cell(1, false), cell(2, false));
        monitor(&watcher, &target.pid, Some(&target)).expect("both live");
        let ending = thread::spawn({
            let target = Arc::clone(&target);
            move || part(&target, &failure())
        });
        unmonitor(&watcher, &target);
        let told = watcher.mailbox.stats().events;
        ending.join().expect("no panic");
        assert_eq!(watcher.mailbox.stats().events, told);
    });
}

#[test]
fn loom_an_end_has_no_consequence_after_a_link_is_undone() {
    for traps in [true, false] {
        check(move || {
            let (one, other) = (cell(1, traps), cell(2, false));
            link(&one, &other).expect("both live");
            let ending = thread::spawn({
                let other = Arc::clone(&other);
                move || part(&other, &failure())
            });
            unlink(&one, &other);
            let consequence = || (one.mailbox.stats().events, one.requested());
            let settled = consequence();
            ending.join().expect("no panic");
            assert_eq!(consequence(), settled);
        });
    }
}

#[test]
fn loom_a_monitor_meets_the_end_and_is_told_once() {
    check(|| {
        let (watcher, target) = (cell(1, false), cell(2, false));
        let ending = thread::spawn({
            let target = Arc::clone(&target);
            move || part(&target, &failure())
        });
        monitor(&watcher, &target.pid, Some(&target)).expect("the watcher lives");
        ending.join().expect("no panic");
        assert_eq!(watcher.mailbox.stats().events, 1);
    });
}

#[test]
fn loom_two_linked_ones_that_end_together_leave_nothing_behind() {
    check(|| {
        let (one, other) = (cell(1, true), cell(2, true));
        link(&one, &other).expect("both live");
        monitor(&one, &other.pid, Some(&other)).expect("both live");
        let ending = thread::spawn({
            let other = Arc::clone(&other);
            move || part(&other, &failure())
        });
        part(&one, &failure());
        ending.join().expect("no panic");
        for cell in [one, other] {
            assert!(cell.ties.lock().has_ended() && cell.ties.lock().bonds.is_none());
            assert_eq!(Arc::strong_count(&cell), 1);
        }
    });
}
