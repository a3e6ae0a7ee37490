//! `process.exec`: a process as a call. It is started, waited for, and its value or error is the answer.

use std::sync::Arc;
use std::task::{Poll, Waker};

use mlua::Lua;
use parking_lot::Mutex;

use super::start;
use crate::limits::{WaitReason, wait_for};
use crate::lua::call::{Answer, Args, Reply};
use crate::lua::own::Own;
use crate::lua::ports::outcome;
use crate::process::{Exit, Pid};

/// The exit that is waited for, and who waits.
#[derive(Default)]
struct Awaited {
    exit: Option<Exit>,
    waker: Option<Waker>,
}

pub(super) fn exec(_: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let (start, _) = start(args)?;
    let entry = start.entry.clone();
    let awaited = Arc::new(Mutex::new(Awaited::default()));
    let told = Arc::clone(&awaited);
    own.peers.spawn(start.for_result().watch(move |_: &Pid, exit: &Exit| {
        let mut awaited = told.lock();
        awaited.exit = Some(exit.clone());
        let waker = awaited.waker.take();
        drop(awaited);
        waker.into_iter().for_each(Waker::wake);
    }))?;
    let ended = wait_for(WaitReason::Function, move |context| {
        let mut awaited = awaited.lock();
        match awaited.exit.take() {
            Some(exit) => Poll::Ready(exit),
            None => {
                awaited.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    });
    let peers = own.peers.clone();
    Reply::wait(WaitReason::Function, ended, move |lua, exit| {
        Reply::values(lua, outcome(lua, &peers, Some(&entry), &exit)?)
    })
}
