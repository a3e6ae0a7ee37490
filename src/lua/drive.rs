//! The coroutines of one process and who of them runs: a scheduler within a step.
//!
//! Every coroutine is resumed from here, also those that another one resumes in the script: that one waits, as one that
//! sleeps waits, and no C stack lies between them. So a wait suspends exactly the coroutine that waits and those that wait
//! for it, and a hook can preempt at any depth.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use mlua::thread::ThreadStatus;
use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Thread, Value};
use parking_lot::Mutex;

use super::call::{self, Reply, Waiting, encode};
use super::meter::Look;
use super::own::{Order, Own};
use super::upgrade::Next;
use super::vm::Vm;
use crate::limits::{WaitReason, forget_waits, waits_for_message};
use crate::process::Progress;

/// How the script of a process ended by itself.
pub(super) enum Finished {
    /// Its method returned.
    Returned(MultiValue),
    /// Nobody caught this.
    Raised(Value),
    /// Lua failed, most often for want of memory.
    Failed(mlua::Error),
    /// Every coroutine waits for another one.
    Stuck,
}

/// What a turn of the coroutines led to.
pub(super) enum Turn {
    /// The process goes on later.
    Waits(Progress),
    /// The script is over.
    Finished(Finished),
    /// The process is over, whatever its script says; the meter knows how.
    Ending,
    /// The process goes on as this.
    Upgrade(Box<Next>),
}

/// Which coroutines there are, beside the one that runs. Functions of the VM ask it, too.
#[derive(Default)]
pub(super) struct Coroutines {
    /// Those that another one resumed, with that one.
    resumed_by: HashMap<usize, Thread>,
    /// Those that the driver itself started.
    own: HashSet<usize>,
    /// Those that wait for a word of another one.
    parked: HashMap<usize, Thread>,
    /// Those who got the word before they waited for it.
    permits: HashSet<usize>,
}

/// What a coroutine is known by, as long as somebody holds it.
fn key(thread: &Thread) -> usize {
    thread.state() as usize
}

impl Coroutines {
    /// What `coroutine.status` answers.
    pub(super) fn status(&self, lua: &Lua, thread: &Thread) -> &'static str {
        if key(&lua.current_thread()) == key(thread) {
            return "running";
        }
        match thread.status() {
            ThreadStatus::Finished | ThreadStatus::Error => "dead",
            _ if self.is_active(thread) => "normal",
            _ => "suspended",
        }
    }

    /// Whether none runs, waits for another one, or is to hear a word of another one.
    pub(super) fn is_quiet(&self) -> bool {
        self.resumed_by.is_empty() && self.own.is_empty() && self.parked.is_empty() && self.permits.is_empty()
    }

    /// Whether it is up to the driver when it goes on.
    fn is_active(&self, thread: &Thread) -> bool {
        self.resumed_by.contains_key(&key(thread)) || self.own.contains(&key(thread))
    }

    pub(super) fn is_nested(&self, thread: &Thread) -> bool {
        self.resumed_by.contains_key(&key(thread))
    }
}

/// Who gets the result of a wait.
enum Target {
    Coroutine(Thread),
    /// `core.complete`, with this number.
    Completion,
}

/// A wait that has not ended.
struct Task {
    waiting: Waiting,
    reason: WaitReason,
    target: Target,
    waker: Waker,
}

/// The tasks that were woken, and whom to wake for them.
struct Wakes {
    woken: Mutex<Vec<u64>>,
    process: Mutex<Waker>,
}

/// The waker of one task: a process with thousands of waits looks only after those that were woken.
struct TaskWaker {
    id: u64,
    is_woken: AtomicBool,
    wakes: Arc<Wakes>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.wakes.woken.lock().push(self.id);
            let process = self.wakes.process.lock().clone();
            process.wake();
        }
    }
}

/// The driver of a process.
pub(super) struct Driver {
    vm: Vm,
    main: Thread,
    ready: VecDeque<(Thread, MultiValue)>,
    /// The first of those that are ready was preempted where no other one may run before it.
    is_exclusive: bool,
    /// The first of those that are ready was given something out of the mailbox and has not seen it yet.
    has_taken: bool,
    tasks: HashMap<u64, (Task, Arc<TaskWaker>)>,
    /// How many tasks wait for each reason.
    reasons: [usize; WaitReason::ALL.len()],
    wakes: Arc<Wakes>,
    /// Numbers of waits of coroutines; those of tasks beside them are given by [`Own`] and have the other sign.
    next_wait: u64,
}

/// Waits of coroutines are numbered from here on, so that they have numbers of their own.
const FIRST_WAIT: u64 = 1 << 63;

impl Driver {
    /// A driver that starts with this function, given to `core.guarded`.
    pub(super) fn new(vm: Vm, body: &Function, arguments: MultiValue) -> mlua::Result<Self> {
        let main = vm.lua.create_thread(vm.guarded.clone())?;
        let mut values = arguments;
        values.push_front(Value::Function(body.clone()));
        vm.own.coroutines.lock().own.insert(key(&main));
        let wakes = Arc::new(Wakes { woken: Mutex::default(), process: Mutex::new(vm.own.waker()) });
        Ok(Self {
            ready: VecDeque::from([(main.clone(), values)]),
            main,
            vm,
            is_exclusive: false,
            has_taken: false,
            tasks: HashMap::new(),
            reasons: [0; WaitReason::ALL.len()],
            wakes,
            next_wait: FIRST_WAIT,
        })
    }

    pub(super) fn vm(&self) -> &Vm {
        &self.vm
    }

    /// The VM alone, when nothing goes on in it.
    pub(super) fn into_quiet_vm(self: Box<Self>) -> Result<Vm, Box<Self>> {
        if self.ready.is_empty() && self.tasks.is_empty() && self.own().is_quiet() { Ok(self.vm) } else { Err(self) }
    }

    fn own(&self) -> &Arc<Own> {
        &self.vm.own
    }

    /// Runs what can run until the slice is over, everybody waits, or the script has ended.
    pub(super) fn turn(&mut self, context: &Context<'_>) -> Turn {
        self.own().enter(context);
        self.own().meter.begin();
        *self.wakes.process.lock() = context.waker().clone();
        match self.run() {
            Ok(turn) => turn,
            Err(error) => Turn::Finished(Finished::Failed(error)),
        }
    }

    fn run(&mut self) -> mlua::Result<Turn> {
        // The mailbox is looked at when the process was woken, before it waits, at each tick, and as long as there is something
        // in it that somebody waits for. Between two such things somebody else has a turn.
        let (mut is_looked_for, mut are_others_first) = (true, false);
        loop {
            if !self.is_exclusive {
                self.poll_woken()?;
                let is_due = is_looked_for && !are_others_first || self.ready.is_empty();
                if is_due && !self.has_taken && self.own().ports.is_watched() {
                    self.has_taken = self.pump()?;
                    is_looked_for = self.has_taken;
                }
            }
            match self.own().meter.look() {
                Look::End => return Ok(Turn::Ending),
                Look::Preempt => return Ok(Turn::Waits(Progress::Preempted)),
                Look::Rotate => is_looked_for = true,
                Look::GoOn => {}
            }
            let Some((thread, values)) = self.ready.pop_front() else { return Ok(self.wait()) };
            self.is_exclusive = false;
            are_others_first = std::mem::take(&mut self.has_taken);
            if let Some(turn) = self.resume(thread, values)? {
                return Ok(turn);
            }
        }
    }

    /// Everybody waits: for what, and whether anybody can end it.
    fn wait(&self) -> Turn {
        forget_waits();
        for reason in WaitReason::ALL {
            if self.reasons[reason as usize] > 0 {
                reason.note();
            }
        }
        if self.own().ports.is_watched() {
            WaitReason::Message.note();
        } else if self.tasks.is_empty() {
            return Turn::Finished(Finished::Stuck);
        }
        Turn::Waits(if waits_for_message() { Progress::Idle } else { Progress::Blocked })
    }

    /// Hands the next thing that came in to whoever waits for it, and lets that one run next: in between nobody can end the
    /// script, and so nothing is taken out of the mailbox that is not seen. Whether there was something.
    fn pump(&mut self) -> mlua::Result<bool> {
        let (waiting, was_handed): (usize, bool) = self.vm.pump.call(())?;
        self.obey()?;
        if waiting == 0 {
            self.own().ports.unwatch();
        }
        if was_handed && let Some(taker) = self.ready.pop_back() {
            self.ready.push_front(taker);
        }
        Ok(was_handed)
    }

    /// One coroutine until it yields or ends.
    fn resume(&mut self, thread: Thread, values: MultiValue) -> mlua::Result<Option<Turn>> {
        let own = Arc::clone(self.own());
        own.meter.has_others.store(!self.ready.is_empty(), Ordering::Relaxed);
        let result = thread.resume::<MultiValue>(values);
        if own.meter.is_ending() {
            return Ok(Some(Turn::Ending));
        }
        let turn = match result {
            Err(error) => return Ok(Some(Turn::Finished(Finished::Failed(error)))),
            Ok(values) if thread.is_resumable() => self.yielded(thread, values)?,
            Ok(values) => self.ended(&thread, values)?,
        };
        self.obey()?;
        Ok(turn)
    }

    fn yielded(&mut self, thread: Thread, mut values: MultiValue) -> mlua::Result<Option<Turn>> {
        let own = Arc::clone(self.own());
        let lua = self.vm.lua.clone();
        let code = match values.pop_front() {
            // A hook, or work that took as long.
            None | Some(Value::Integer(call::AGAIN)) => {
                let stopped = own.meter.take_stop();
                if stopped.is_critical {
                    self.is_exclusive = true;
                    self.ready.push_front((thread, values));
                } else {
                    self.ready.push_back((thread, values));
                }
                return Ok((stopped.look == Look::Preempt).then_some(Turn::Waits(Progress::Preempted)));
            }
            Some(Value::Integer(code)) => code,
            Some(_) => -1,
        };
        match code {
            call::WAIT => {
                if let Some((reason, waiting)) = own.pending.lock().take() {
                    self.next_wait += 1;
                    let id = self.next_wait;
                    self.start_task(id, reason, waiting, Target::Coroutine(thread))?;
                }
            }
            call::PARK => {
                let mut coroutines = own.coroutines.lock();
                if coroutines.permits.remove(&key(&thread)) {
                    drop(coroutines);
                    self.ready.push_back((thread, call::VALUES.into_lua_multi(&lua)?));
                } else {
                    coroutines.parked.insert(key(&thread), thread);
                }
            }
            call::RESUME => {
                let target = values.pop_front();
                let refusal = match &target {
                    Some(Value::Thread(target)) => own.coroutines.lock().refuse_resume(target, own.allowed()),
                    _ => Some("cannot resume what is no coroutine"),
                };
                match (target, refusal) {
                    (Some(Value::Thread(target)), None) => {
                        own.coroutines.lock().resumed_by.insert(key(&target), thread);
                        values.push_front(Value::Integer(call::VALUES));
                        self.ready.push_front((target, values));
                    }
                    (_, refusal) => {
                        let answer = (call::VALUES, false, refusal).into_lua_multi(&lua)?;
                        self.ready.push_front((thread, answer));
                    }
                }
            }
            call::YIELD => {
                let resumer = own.coroutines.lock().resumed_by.remove(&key(&thread));
                match resumer {
                    Some(resumer) => {
                        values.push_front(Value::Boolean(true));
                        values.push_front(Value::Integer(call::VALUES));
                        self.ready.push_front((resumer, values));
                    }
                    None => {
                        let text = "attempt to yield from outside a coroutine";
                        let answer = encode(&lua, &own, Err(call::Refusal::raise(text)))?;
                        self.ready.push_front((thread, answer));
                    }
                }
            }
            call::UPGRADE => return Ok(own.next.lock().take().map(Turn::Upgrade)),
            code => {
                let message = format!("a coroutine yielded {code}, which means nothing");
                return Ok(Some(Turn::Finished(Finished::Failed(mlua::Error::runtime(message)))));
            }
        }
        Ok(None)
    }

    /// The body of a coroutine has ended: `true` with what it returned, or `false` with what it raised.
    fn ended(&mut self, thread: &Thread, mut values: MultiValue) -> mlua::Result<Option<Turn>> {
        let own = Arc::clone(self.own());
        let mut coroutines = own.coroutines.lock();
        coroutines.permits.remove(&key(thread));
        if let Some(resumer) = coroutines.resumed_by.remove(&key(thread)) {
            drop(coroutines);
            values.push_front(Value::Integer(call::VALUES));
            self.ready.push_front((resumer, values));
            return Ok(None);
        }
        coroutines.own.remove(&key(thread));
        drop(coroutines);
        let is_good = matches!(values.pop_front(), Some(Value::Boolean(true)));
        if !is_good {
            return Ok(Some(Turn::Finished(Finished::Raised(values.pop_front().unwrap_or_default()))));
        }
        if key(thread) == key(&self.main) {
            return Ok(Some(Turn::Finished(Finished::Returned(values))));
        }
        own.held.fetch_sub(1, Ordering::Relaxed);
        Ok(None)
    }

    /// Does what functions asked for while a coroutine ran.
    fn obey(&mut self) -> mlua::Result<()> {
        loop {
            let orders = std::mem::take(&mut *self.own().orders.lock());
            if orders.is_empty() {
                return Ok(());
            }
            for order in orders {
                match order {
                    Order::Unpark(thread) => self.unpark(thread)?,
                    Order::Start(thread, values) => {
                        self.own().held.fetch_add(1, Ordering::Relaxed);
                        self.own().coroutines.lock().own.insert(key(&thread));
                        self.ready.push_back((thread, values));
                    }
                    Order::Beside(id, reason, waiting) => {
                        self.own().held.fetch_add(1, Ordering::Relaxed);
                        if self.is_exclusive {
                            // Its end is told when nothing is half done.
                            let (task, waker) = self.task(id, reason, waiting, Target::Completion);
                            task.waker.wake_by_ref();
                            self.tasks.insert(id, (task, waker));
                        } else {
                            self.start_task(id, reason, waiting, Target::Completion)?;
                        }
                    }
                    Order::Drop(id) => {
                        if let Some((task, _)) = self.tasks.remove(&id) {
                            self.forget(&task);
                        }
                    }
                }
            }
        }
    }

    fn unpark(&mut self, thread: Thread) -> mlua::Result<()> {
        let own = Arc::clone(self.own());
        let mut coroutines = own.coroutines.lock();
        match coroutines.parked.remove(&key(&thread)) {
            Some(thread) => {
                drop(coroutines);
                let values = call::VALUES.into_lua_multi(&self.vm.lua)?;
                self.ready.push_back((thread, values));
            }
            None => drop(coroutines.permits.insert(key(&thread))),
        }
        Ok(())
    }

    fn task(&mut self, id: u64, reason: WaitReason, waiting: Waiting, target: Target) -> (Task, Arc<TaskWaker>) {
        let task_waker = Arc::new(TaskWaker { id, is_woken: AtomicBool::new(false), wakes: Arc::clone(&self.wakes) });
        let task = Task { waiting, reason, target, waker: Waker::from(Arc::clone(&task_waker)) };
        self.reasons[reason as usize] += 1;
        (task, task_waker)
    }

    fn start_task(&mut self, id: u64, reason: WaitReason, waiting: Waiting, target: Target) -> mlua::Result<()> {
        let (task, waker) = self.task(id, reason, waiting, target);
        self.poll_task(id, task, waker)
    }

    fn poll_task(&mut self, id: u64, mut task: Task, waker: Arc<TaskWaker>) -> mlua::Result<()> {
        // Before the poll: a wake during it counts.
        waker.is_woken.store(false, Ordering::Release);
        let polled = task.waiting.as_mut().poll(&mut Context::from_waker(&task.waker));
        let Poll::Ready(finish) = polled else {
            self.tasks.insert(id, (task, waker));
            return Ok(());
        };
        self.forget(&task);
        let lua = self.vm.lua.clone();
        let answer = finish(&lua);
        match task.target {
            Target::Coroutine(thread) => {
                // Another wait follows the first one.
                if let Ok(Reply::Wait(reason, waiting)) = answer {
                    return self.start_task(id, reason, waiting, Target::Coroutine(thread));
                }
                let values = encode(&lua, self.own(), answer)?;
                self.ready.push_back((thread, values));
                Ok(())
            }
            Target::Completion => {
                if let Ok(Reply::Wait(reason, waiting)) = answer {
                    self.own().held.fetch_add(1, Ordering::Relaxed);
                    return self.start_task(id, reason, waiting, Target::Completion);
                }
                let mut values = encode(&lua, self.own(), answer)?;
                values.pop_front();
                values.push_front(Value::Integer(i64::try_from(id).unwrap_or(i64::MAX)));
                self.vm.complete.call::<()>(values)?;
                self.obey()
            }
        }
    }

    /// A task is over.
    fn forget(&mut self, task: &Task) {
        self.reasons[task.reason as usize] -= 1;
        if let Target::Completion = task.target {
            self.own().held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn poll_woken(&mut self) -> mlua::Result<()> {
        let woken = std::mem::take(&mut *self.wakes.woken.lock());
        for id in woken {
            if let Some((task, waker)) = self.tasks.remove(&id) {
                self.poll_task(id, task, waker)?;
            }
        }
        Ok(())
    }
}

impl Coroutines {
    /// Why a coroutine can't be resumed by another one now; none when it can.
    fn refuse_resume(&self, target: &Thread, allowed: u64) -> Option<&'static str> {
        match target.status() {
            _ if self.resumed_by.len() as u64 >= allowed => {
                Some("too many coroutines wait for each other: `max_handles`")
            }
            ThreadStatus::Finished | ThreadStatus::Error => Some("cannot resume dead coroutine"),
            _ if self.is_active(target) => Some("cannot resume non-suspended coroutine"),
            ThreadStatus::Resumable => None,
            _ => Some("cannot resume non-suspended coroutine"),
        }
    }
}
