//! One entry over many inputs: starts processes ahead, hands out what they led to.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::captured::Captured;
use super::chunk::{Lane, Tried};
use super::feed::{Fed, Feed};
use super::item::{Begun, Done, ItemError};
use super::ready::Ready;
use super::turns::Turns;
use crate::process::{
    Exit, HostKind, Manager, Payload, ProcessHandle, ResultStyle, Sink, SpawnError, Start, State, Stdio,
};
use crate::registry::{EntryId, LimitsSpec};

/// Items in flight for each worker, where nothing else is said: enough that no worker runs dry while the consumer of the
/// results looks elsewhere.
const WINDOW_PER_WORKER: usize = 64;

/// The same for items that may do without a process: they wait on both ways for the one thread that looks at them, which has to
/// share the processors with the workers.
const LANE_PER_WORKER: usize = 256;

/// The most items in flight.
pub const WINDOW_MAX: usize = 1 << 20;

/// In order, results that are ahead of their turn wait for it: at most so many windows of them, then nothing new begins.
const AHEAD_WINDOWS: usize = 8;

/// How long a consumer that waits for several completions may be late for the first of them.
const LATE: Duration = Duration::from_millis(1);

/// Who waited for less than this is worth a longer wait for more.
const BRISK: Duration = Duration::from_micros(200);

/// One entry over many inputs: [`Runtime::map`](crate::Runtime::map).
///
/// An iterator, and a [`Stream`], of what became of the items, in the order of the inputs or, after
/// [`unordered`](Self::unordered), in that of their ends. It starts items as it is asked for results, so its memory is bounded by
/// the [`window`](Self::window), however many inputs there are. Dropping it ends, by force, what has not ended.
#[must_use]
pub struct Map<F> {
    manager: Arc<Manager>,
    entry: EntryId,
    host: EntryId,
    limits: LimitsSpec,
    style: ResultStyle,
    window: usize,
    /// Of items that may do without a process.
    lane_window: usize,
    retries: u32,
    capture: Option<usize>,

    feed: F,
    has_ended: bool,
    /// Items for which there was no room: retries, and at most one that has not begun yet.
    refused: VecDeque<Begun>,
    next_index: u64,
    ready: Arc<Ready>,
    /// The way of items that may do without a process; none where there is no such way, or nobody has looked.
    lane: Option<Lane>,
    has_looked: bool,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    completed: Vec<usize>,
    turns: Turns,
    /// How many completions are worth waking for.
    pace: usize,
}

struct Slot {
    item: Begun,
    process: ProcessHandle,
    captured: Option<Arc<Captured>>,
}

/// What a map has to give within a time.
#[allow(clippy::large_enum_variant, reason = "it is looked at where it is returned, and never kept")]
#[derive(Debug)]
pub enum Next {
    /// An item is over.
    Done(Done),
    /// None was within the time.
    Later,
    /// All are over.
    End,
}

/// Wakes a map that waits for its feed.
#[derive(Clone, Default)]
pub struct Poker(Arc<Ready>);

impl Poker {
    /// The feed has something new, or has ended.
    pub fn poke(&self) {
        self.0.poke();
    }
}

impl<F: Feed> Map<F> {
    /// A map of `entry` over what `feed` gives, on `host` or, without one, on the only `process.host` there is.
    ///
    /// # Errors
    /// There is no such entry or host.
    pub fn new(manager: Arc<Manager>, entry: EntryId, host: Option<EntryId>, feed: F) -> Result<Self, SpawnError> {
        let style = manager.program(&entry)?.result_style();
        let host = match host {
            Some(host) => host,
            None => manager.only_host(HostKind::Process)?.id().clone(),
        };
        Ok(Self {
            manager,
            entry,
            host,
            limits: LimitsSpec::default(),
            style,
            window: WINDOW_PER_WORKER * crate::sync::cores(),
            lane_window: LANE_PER_WORKER * crate::sync::cores(),
            retries: 0,
            capture: None,
            feed,
            has_ended: false,
            refused: VecDeque::new(),
            next_index: 0,
            ready: Arc::default(),
            lane: None,
            has_looked: false,
            slots: Vec::new(),
            free: Vec::new(),
            completed: Vec::new(),
            turns: Turns::from(0),
            pace: 1,
        })
    }

    /// At most so many items are in flight: from 1 to [`WINDOW_MAX`]. Without this it is 64 for each core, or 256 of items that
    /// need no process.
    pub fn window(mut self, items: usize) -> Self {
        self.window = items.clamp(1, WINDOW_MAX);
        self.lane_window = self.window;
        self
    }

    /// Hands out items as they end.
    pub fn unordered(mut self) -> Self {
        self.turns.without_order();
        self
    }

    /// Tries an item that fails so many times more. One that could not be started because of its arguments, or was asked
    /// to end, is not tried again.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Limits of each item, before those of the entry.
    pub fn limits(mut self, limits: LimitsSpec) -> Self {
        self.limits = limits;
        self
    }

    /// Keeps what each item writes, at most so many bytes of each stream, instead of giving it to the log.
    pub fn capture(mut self, bytes_max: usize) -> Self {
        self.capture = Some(bytes_max);
        self
    }

    /// The index of the first input, zero without this.
    pub fn starting_at(mut self, index: u64) -> Self {
        self.next_index = index;
        self.turns.start_at(index);
        self
    }

    /// `poker` tells this map that its feed has something new. Before the first item.
    pub fn poked_by(mut self, poker: &Poker) -> Self {
        self.ready = Arc::clone(&poker.0);
        self
    }

    /// Where the inputs come from.
    #[must_use]
    pub fn feed(&self) -> &F {
        &self.feed
    }

    /// Where the inputs come from.
    pub fn feed_mut(&mut self) -> &mut F {
        &mut self.feed
    }

    /// How many items are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.processes() + self.lane_items()
    }

    fn processes(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn lane_items(&self) -> usize {
        self.lane.as_ref().map_or(0, Lane::items)
    }

    /// The index of the next input: so many have begun.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.next_index
    }

    /// Begins no item from now on; those that have begun go on, with the tries they have left.
    pub fn stop(&mut self) {
        self.has_ended = true;
        let refused = self.refused.len();
        self.refused.retain(|item| item.attempts > 0);
        // In order, the index of the one that never began would be waited for.
        self.next_index -= (refused - self.refused.len()) as u64;
    }

    /// [`stop`](Self::stop), and ends those in flight by force.
    pub fn terminate(&mut self) {
        self.stop();
        self.retries = 0;
        self.slots.iter().flatten().for_each(|slot| slot.process.terminate());
        self.lane.iter().for_each(Lane::stop);
        for item in std::mem::take(&mut self.refused) {
            self.hand_out(Done::without_process(&item, ItemError::Ended(Exit::Terminated)));
        }
    }

    /// The next item that is over, at most after this time.
    pub fn next_within(&mut self, timeout: Duration) -> Next {
        self.next_by(Instant::now().checked_add(timeout))
    }

    fn next_by(&mut self, deadline: Option<Instant>) -> Next {
        loop {
            match self.advance(None) {
                Poll::Ready(Some(done)) => return Next::Done(done),
                Poll::Ready(None) => return Next::End,
                Poll::Pending => {}
            }
            if self.in_flight() == 0
                && let Some(item) = self.refused.pop_front()
            {
                // Others have all the room there is, and nobody here will make some.
                const LONG: Duration = Duration::from_secs(3600);
                let timeout = deadline.map_or(LONG, |deadline| deadline.saturating_duration_since(Instant::now()));
                if let Some((item, _)) = self.begin_by(item, |manager, start| manager.spawn_within(start, timeout)) {
                    self.refused.push_front(item);
                    if deadline.is_some() {
                        return Next::Later;
                    }
                }
                continue;
            }
            if !self.wait(deadline) {
                return Next::Later;
            }
        }
    }

    /// One look at everything: an item that is over, the end, or nothing yet.
    fn advance(&mut self, context: Option<&mut Context<'_>>) -> Poll<Option<Done>> {
        if self.turns.is_nobodys() || self.in_flight() <= self.window / 2 {
            self.collect();
            self.fill();
        }
        if let Some(done) = self.turns.next() {
            return Poll::Ready(Some(done));
        }
        if self.has_ended && self.in_flight() == 0 && self.refused.is_empty() && !self.turns.are_some_early() {
            return Poll::Ready(None);
        }
        if let Some(context) = context
            && self.ready.poll(context).is_ready()
        {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Blocks until there is something to look at; false when the deadline came first.
    ///
    /// When completions come fast, waking for each costs more than the items themselves: then it waits for more of them,
    /// a little at most.
    fn wait(&mut self, deadline: Option<Instant>) -> bool {
        let start = Instant::now();
        let patience = (self.pace > 1).then(|| start + LATE);
        let until = match (patience, deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let came = self.ready.wait(self.pace, until);
        let is_brisk = came && start.elapsed() < BRISK;
        self.pace = if is_brisk { (self.pace * 2).min(self.in_flight().div_ceil(2)).max(1) } else { 1 };
        came || until != deadline
    }

    /// Takes what has completed.
    fn collect(&mut self) {
        debug_assert!(self.completed.is_empty(), "they are looked at at once");
        let mut keys = std::mem::take(&mut self.completed);
        let returned = self.ready.take(&mut keys);
        for key in keys.drain(..) {
            let Some(slot) = self.slots[key].take() else { continue };
            self.free.push(key);
            let Slot { item, process, captured } = slot;
            let result = self.result(process.exit().unwrap_or(Exit::Terminated));
            self.over(item, result, |done| {
                done.output = captured.map(|captured| captured.take()).unwrap_or_default();
                (done.wall, done.cpu) = (process.wall(), process.usage().cpu());
                done.process = Some(process);
            });
        }
        self.completed = keys;
        for chunk in returned {
            let is_stopped = self.lane.as_mut().is_some_and(|lane| {
                lane.settle(&chunk);
                lane.is_stopped()
            });
            for Tried { item, ran } in chunk.items {
                match ran {
                    Some((exit, time)) => {
                        let result = self.result(exit);
                        self.over(item, result, |done| (done.wall, done.cpu) = (Some(time), time));
                    }
                    None if is_stopped => {
                        self.hand_out(Done::without_process(&item, ItemError::Ended(Exit::Terminated)));
                    }
                    None => self.begin(item),
                }
            }
        }
    }

    /// A try has ended: the item is over, or begins again.
    fn over(&mut self, item: Begun, result: Result<Payload, ItemError>, tell: impl FnOnce(&mut Done)) {
        if let Err(error) = &result
            && item.attempts <= self.retries
            && error.is_worth_a_retry()
        {
            self.begin(item);
            return;
        }
        let mut done = Done::of(&item, result);
        tell(&mut done);
        self.hand_out(done);
    }

    fn result(&self, exit: Exit) -> Result<Payload, ItemError> {
        match exit {
            Exit::Returned(value) => match (self.style, self.style.read(&value)) {
                (ResultStyle::Value | ResultStyle::Script, _) => Ok(value),
                (ResultStyle::Result, Ok(value)) => Ok(value.clone()),
                (ResultStyle::Result, Err(value)) => Err(ItemError::Returned(value.clone())),
            },
            Exit::Exited(0) => Ok(Payload::Nil),
            exit => Err(ItemError::Ended(exit)),
        }
    }

    fn hand_out(&mut self, done: Done) {
        self.turns.settle(done.index, Some(done));
    }

    /// Begins items up to the bounds.
    fn fill(&mut self) {
        self.fill_up();
        if let Some(lane) = &mut self.lane {
            lane.send(&self.ready);
        }
    }

    fn fill_up(&mut self) {
        for _ in 0..self.refused.len() {
            let Some(item) = self.refused.pop_front() else { break };
            self.begin(item);
        }
        while self.refused.is_empty() && !self.has_ended && self.has_room() {
            match self.feed.next() {
                Fed::Item(input) => {
                    let index = self.next_index;
                    self.next_index += 1;
                    self.begin_first(Begun { index, attempts: 0, input });
                }
                Fed::Unreadable(message) => {
                    let item = Begun { index: self.next_index, attempts: 0, input: Vec::new() };
                    self.next_index += 1;
                    self.hand_out(Done::without_process(&item, ItemError::Input(message)));
                }
                Fed::Skip => {
                    self.next_index += 1;
                    self.turns.settle(self.next_index - 1, None);
                }
                Fed::Later => return,
                Fed::End => self.has_ended = true,
            }
        }
    }

    fn has_room(&self) -> bool {
        let lane_items = self.lane_items();
        let in_flight = self.processes() + lane_items;
        let has_room = self.processes() < self.window && lane_items < self.lane_window;
        // Both together are within the larger one.
        has_room && in_flight < self.window.max(self.lane_window) && self.turns.len() < AHEAD_WINDOWS * self.window
    }

    /// The first try of an item.
    fn begin_first(&mut self, item: Begun) {
        if !std::mem::replace(&mut self.has_looked, true) {
            let prepared = self.manager.prepare(&self.entry, &self.host, &self.limits);
            self.lane = prepared.map(|prepared| Lane::new(prepared, self.lane_window));
        }
        let item = match &mut self.lane {
            Some(lane) => lane.take(item, &self.ready),
            None => Err(item),
        };
        if let Err(item) = item {
            self.begin(item);
        }
    }

    fn begin(&mut self, item: Begun) {
        if let Some((item, _)) = self.begin_by(item, |manager, start| manager.spawn(start)) {
            self.refused.push_back(item);
        }
    }

    /// Begins an item, or gives it back when there is no room now.
    fn begin_by(
        &mut self,
        mut item: Begun,
        spawn: impl FnOnce(&Manager, Start) -> Result<ProcessHandle, SpawnError>,
    ) -> Option<(Begun, SpawnError)> {
        let key = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let ready = Arc::clone(&self.ready);
        let mut start = Start::new(self.entry.clone(), self.host.clone())
            .input(item.input.iter().cloned())
            .limits(self.limits.clone())
            .watch(move |_: &_, _: &_| ready.push(key));
        let captured = self.capture.map(|bytes_max| Arc::new(Captured::new(bytes_max)));
        if let Some(captured) = &captured {
            start = start.stdio(Stdio::Sink(Arc::clone(captured) as Arc<dyn Sink>));
        }
        match spawn(&self.manager, start) {
            Ok(process) => {
                item.attempts += 1;
                self.slots[key] = Some(Slot { item, process, captured });
            }
            // Nobody's end makes room for what would not fit alone.
            Err(error @ SpawnError::Busy { allowed: 1.., .. }) => {
                self.free.push(key);
                return Some((item, error));
            }
            Err(error) => {
                self.free.push(key);
                self.hand_out(Done::without_process(&item, error.into()));
            }
        }
        None
    }
}

impl<F> fmt::Debug for Map<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("entry", &self.entry)
            .field("host", &self.host)
            .field("window", &self.window)
            .field("begun", &self.next_index)
            .finish_non_exhaustive()
    }
}

impl<F: Feed> Iterator for Map<F> {
    type Item = Done;

    /// Blocks until the next item is over. Not for a worker: use it as a [`Stream`] there.
    fn next(&mut self) -> Option<Done> {
        match self.next_by(None) {
            Next::Done(done) => Some(done),
            Next::Later | Next::End => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = self.turns.len() + self.in_flight() + self.refused.len();
        let (least, most) = if self.has_ended { (0, Some(0)) } else { self.feed.left() };
        (here.saturating_add(least), most.and_then(|most| most.checked_add(here)))
    }
}

impl<F: Feed + Unpin> Stream for Map<F> {
    type Item = Done;

    /// When others hold all the room for processes and none of its own runs, the item ends with [`SpawnError::Busy`]: there is
    /// nobody who would wake it.
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Done>> {
        let map = self.get_mut();
        let polled = map.advance(Some(context));
        if polled.is_pending()
            && map.in_flight() == 0
            && let Some(item) = map.refused.pop_front()
        {
            if let Some((item, busy)) = map.begin_by(item, |manager, start| manager.spawn(start)) {
                map.hand_out(Done::without_process(&item, busy.into()));
            }
            return map.advance(Some(context));
        }
        polled
    }
}

impl<F> Drop for Map<F> {
    fn drop(&mut self) {
        self.lane.iter().for_each(Lane::stop);
        for slot in self.slots.iter().flatten() {
            if slot.process.state() != State::Complete {
                slot.process.terminate();
            }
        }
    }
}
