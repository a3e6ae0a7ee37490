//! `funcs`: calls of functions. A call that is waited for suspends its coroutine; one that goes on meanwhile is a future. Both
//! end with the process.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mlua::{Lua, Table, Value};

use super::PayloadObject;
use super::manner::Manner;
use super::time::nanos_of;
use crate::function::{Call, CallError, CallOptions, WeakFunctions};
use crate::limits::{Charge, WaitReason};
use crate::lua::call::{Answer, Args, Refusal, Reply, waiting};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::own::Own;
use crate::lua::value;
use crate::lua::vm::Builder;
use crate::process::Payload;
use crate::reactor::Reactor;
use crate::registry::ParseIdError;

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let lua = builder.lua;
    let (fields, parts) = (lua.create_table()?, lua.create_table()?);
    parts.raw_set("call", builder.raw("call", call)?)?;
    parts.raw_set("begin", builder.raw("async", begin)?)?;
    parts.raw_set(
        "canceled",
        builder.raw("cancel", |_, _, _| Err(ErrorObject::new(Kind::Canceled, "the call was canceled").into()))?,
    )?;
    builder.run::<()>("funcs", include_str!("funcs.lua"), (builder.core, &fields, parts))?;
    Ok(fields)
}

/// A call that was made.
struct Asked {
    call: Call,
    target: String,
    /// How long it may take, waiting for its turn included.
    timeout: Option<Duration>,
    /// For its arguments, which are outside of the VM until it is over.
    _held: Charge,
}

impl Asked {
    /// Makes a call: settings, target, arguments.
    fn of(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Result<Self, Refusal> {
        let settings = args.aside()?;
        let target = args.text()?;
        let Manner { context, actor, scope } = Manner::of(&settings)?;
        let timeout = match settings.raw_get::<Value>("timeout")? {
            Value::Nil => None,
            timeout => {
                // A bare number counts milliseconds here, and nowhere else: so Wippy's documents have it.
                let timeout = match timeout {
                    Value::Integer(millis) => Value::Integer(millis.saturating_mul(1_000_000)),
                    Value::Number(millis) => Value::Number(millis * 1e6),
                    other => other,
                };
                let nanos =
                    nanos_of(&timeout).map_err(|problem| ErrorObject::invalid(format!("timeout: {problem}")))?;
                Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
            }
        };
        let input = args.payloads()?;
        let held = own.hold(lua, input.iter().map(Payload::size).sum())?;
        let mut options = CallOptions::default();
        (options.context, options.actor, options.scope) = (context, actor, scope);
        let call = own.shared.world.functions.call_with(&own.peers, &target, input, options);
        Ok(Self { call, target, timeout, _held: held })
    }

    /// What it leads to, in the form that scripts see.
    async fn answer(self, functions: WeakFunctions, reactor: Arc<Reactor>) -> Result<Payload, ErrorObject> {
        let Self { mut call, target, timeout, _held } = self;
        let mut late = timeout.map(|timeout| reactor.sleep(timeout));
        let answered = poll_fn(|context| match Pin::new(&mut call).poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => match &mut late {
                Some(late) => Pin::new(late).poll(context).map(|()| None),
                None => Poll::Pending,
            },
        })
        .await;
        let Some(answer) = answered else {
            let timeout = timeout.unwrap_or_default();
            return Err(ErrorObject::new(Kind::Timeout, format!("`{target}`: no answer within {timeout:?}")));
        };
        let value = answer?;
        // It has answered, so the text names a function.
        let entry = target.parse().map_err(|error: ParseIdError| ErrorObject::invalid(error.to_string()))?;
        let form = functions.for_scripts(&entry, &value);
        form.map(Cow::into_owned).map_err(|problem| ErrorObject::invalid(problem.to_string()))
    }
}

/// Calls, and waits for the answer.
fn call(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let answer = Asked::of(lua, own, args)?.answer(own.shared.world.functions.clone(), Arc::clone(&own.reactor));
    Reply::wait(WaitReason::Function, answer, |lua, answer| {
        let value = value::to_lua(lua, &answer?)?;
        Reply::values(lua, value)
    })
}

/// Calls; the number by which the answer is told.
fn begin(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let asked = Asked::of(lua, own, args)?;
    if let Some(error) = asked.call.refusal() {
        return Err(ErrorObject::from(error.clone()).into());
    }
    let answer = waiting(asked.answer(own.shared.world.functions.clone(), Arc::clone(&own.reactor)), |lua, answer| {
        let payload = PayloadObject::to_lua(lua, answer?)?;
        Reply::values(lua, payload)
    });
    match own.beside(WaitReason::Function, answer) {
        Some(id) => Reply::values(lua, i64::try_from(id).unwrap_or(i64::MAX)),
        None => {
            let message = "too many calls and waits at once: `max_handles` under `limits:` of the entry";
            Err(ErrorObject::new(Kind::RateLimited, message).into())
        }
    }
}

impl From<CallError> for ErrorObject {
    fn from(error: CallError) -> Self {
        if let CallError::Ended { exit, .. } = &error
            && let Some(ended) = Self::of_exit(exit)
        {
            return ended;
        }
        // Both have Wippy's names.
        let kind = Kind::of(error.kind().name()).unwrap_or_default();
        Self { retryable: Some(kind == Kind::RateLimited), ..Self::new(kind, error.to_string()) }
    }
}
