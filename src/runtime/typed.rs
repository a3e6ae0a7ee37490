//! Entries as functions of Rust types: compared with the guest once, then called.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Runtime;
use crate::batch::{Done, Fed, Feed, ItemError, Map};
use crate::function::{Call, CallError, Functions};
use crate::limits::LimitExceeded;
use crate::process::{Exit, HostKind, Manager, Payload, ProcessHandle, SpawnError, Start};
use crate::registry::{EntryId, LimitsSpec};
use crate::scheduler::current;
use crate::wasm::value::{Signature, ValueError, WitParams, WitReturn, WitType, fits, result_type, signature_of};

/// An entry as a function of Rust types; see [`Runtime::typed`]. Cheap to clone.
pub struct TypedEntry<P, R> {
    entry: EntryId,
    target: Target,
    /// What it returns; unknown of scripts and native programs.
    result: Option<Arc<WitType>>,
    types: PhantomData<fn(P) -> R>,
}

#[derive(Clone)]
enum Target {
    Process(Arc<Manager>, EntryId),
    Function(Functions),
}

/// Why an entry can't be had as a function of these types.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TypedEntryError {
    /// There is no such entry, or no host for it.
    #[error(transparent)]
    Entry(#[from] SpawnError),
    /// It has other types.
    #[error("`{entry}` is `{found}`, not `{wanted}`")]
    Signature {
        /// The entry.
        entry: EntryId,
        /// The signature of the guest in WIT.
        found: String,
        /// The signature of the Rust types in WIT.
        wanted: String,
    },
    /// It is a command, which takes words and ends with an exit code.
    #[error("`{entry}` is a command, which has no types: start it with `Runtime::spawn`")]
    Command {
        /// The entry.
        entry: EntryId,
    },
}

/// Why a typed call has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TypedError {
    /// No process was started.
    #[error(transparent)]
    NotStarted(#[from] SpawnError),
    /// The function could not be called, or its process ended otherwise.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The process ended otherwise.
    #[error("{}", ended(.entry, .exit))]
    Ended {
        /// The entry.
        entry: EntryId,
        /// How.
        exit: Box<Exit>,
    },
    /// It returned a value of another type; a guest whose types are known never does.
    #[error("`{entry}`: {error}")]
    Value {
        /// The entry.
        entry: EntryId,
        /// What is wrong with it.
        error: Box<ValueError>,
    },
    /// A blocking call was asked for on a worker, where it would wait for itself.
    #[error("`{entry}`: a blocking call on a worker would never end; await `call_async`")]
    Deadlock {
        /// The entry.
        entry: EntryId,
    },
}

/// How a process ended; a failure says itself of which entry.
fn ended(entry: &EntryId, exit: &Exit) -> String {
    match exit {
        Exit::Failed(failure) => failure.message.clone(),
        exit => format!("`{entry}`: {exit}"),
    }
}

impl TypedError {
    /// How the process ended, if it did otherwise than with a value.
    #[must_use]
    pub fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Ended { exit, .. } | Self::Call(CallError::Ended { exit, .. }) => Some(exit),
            _ => None,
        }
    }

    /// The limit that ended the process, if one did.
    #[must_use]
    pub fn limit(&self) -> Option<&LimitExceeded> {
        match self.exit()? {
            Exit::LimitExceeded(limit) => Some(limit),
            _ => None,
        }
    }
}

impl Runtime {
    /// An entry as a function of these types: a tuple of parameters, and a result. The types are compared with those of the
    /// guest's method here, once, so that a call has nothing left to refuse.
    ///
    /// A process entry is started on the only `process.host`, as by [`spawn`](Self::spawn); a function is called through its
    /// pool, as by [`call`](Self::call). Both have the limits of the entry. A script or a native program has no types: what
    /// does not fit is told by each call.
    ///
    /// ```
    /// use wippy::Runtime;
    ///
    /// let runtime = Runtime::builder().load("fixtures/apps/mission").build()?;
    /// let multiply = runtime.typed::<(i64, i64), i64>("myns:compute_worker")?;
    /// assert_eq!(multiply.call((6, 7))?, 42);
    ///
    /// let error = runtime.typed::<(String,), i64>("myns:compute_worker").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`myns:compute_worker` is `func(a: s64, b: s64) -> s64`, not `func(p0: string) -> s64`"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`TypedEntryError`].
    pub fn typed<P: WitParams, R: WitReturn>(&self, entry: &str) -> Result<TypedEntry<P, R>, TypedEntryError> {
        let id = EntryId::resolve(entry, "").map_err(|error| SpawnError::InvalidId { cause: error.to_string() })?;
        let is_function = self.functions.stats(&id).is_some();
        if !is_function {
            self.manager.program(&id)?;
        }
        let result = match self.signatures.get(&id) {
            Some(signature) => {
                check::<P, R>(&id, signature)?;
                result_type(signature).map(Arc::new)
            }
            None if self.registry.get(&id).is_some_and(|entry| entry.spec().wasm().is_some()) => {
                return Err(TypedEntryError::Command { entry: id });
            }
            None => None,
        };
        let target = match is_function {
            true => Target::Function(self.functions.clone()),
            false => {
                Target::Process(Arc::clone(&self.manager), self.manager.only_host(HostKind::Process)?.id().clone())
            }
        };
        Ok(TypedEntry { entry: id, target, result, types: PhantomData })
    }
}

fn check<P: WitParams, R: WitReturn>(entry: &EntryId, signature: &Signature) -> Result<(), TypedEntryError> {
    if fits::<P, R>(signature) {
        return Ok(());
    }
    let (found, wanted) = (signature.to_string(), signature_of::<P, R>().to_string());
    Err(TypedEntryError::Signature { entry: entry.clone(), found, wanted })
}

impl<P: WitParams, R: WitReturn> TypedEntry<P, R> {
    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &EntryId {
        &self.entry
    }

    /// Calls it and blocks this thread until it has answered.
    ///
    /// # Errors
    /// See [`TypedError`]; on a worker it is [`TypedError::Deadlock`], and nothing was started.
    pub fn call(&self, params: P) -> Result<R, TypedError> {
        if current::on_worker() {
            return Err(TypedError::Deadlock { entry: self.entry.clone() });
        }
        match &self.target {
            Target::Process(..) => self.spawn(params)?.wait(),
            Target::Function(functions) => {
                let answer = functions.call(&self.entry.to_string(), params.into_payloads()).wait();
                self.value(answer?)
            }
        }
    }

    /// Calls it. The call goes on from now on; await it on any executor. Dropping it ends it.
    ///
    /// ```
    /// use wippy::Runtime;
    ///
    /// let runtime = Runtime::builder().load("fixtures/apps/functions").build()?;
    /// let add = runtime.typed::<(i64, i64), i64>("app:add")?;
    /// let sum = async { add.call_async((40, 2)).await };
    /// assert_eq!(smol::block_on(sum)?, 42); // or in a `main` of tokio
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call_async(&self, params: P) -> TypedCall<R> {
        let state = match &self.target {
            Target::Process(..) => match self.spawn(params) {
                Ok(process) => CallState::Process(process),
                Err(error) => CallState::Refused(Some(error.into())),
            },
            Target::Function(functions) => {
                let call = functions.call(&self.entry.to_string(), params.into_payloads());
                CallState::Function(call, self.reader())
            }
        };
        TypedCall { state }
    }

    /// Starts a process of it, which goes on whatever becomes of the handle.
    ///
    /// # Errors
    /// See [`SpawnError`]; functions are called, not started.
    pub fn spawn(&self, params: P) -> Result<TypedProcess<R>, SpawnError> {
        let Target::Process(manager, host) = &self.target else {
            return Err(SpawnError::UnknownEntry { entry: self.entry.clone(), known: Vec::new() });
        };
        let start = Start::new(self.entry.clone(), host.clone()).input(params.into_payloads());
        Ok(TypedProcess { process: manager.spawn(start)?, reader: self.reader() })
    }

    /// Runs it over many inputs; see [`Runtime::map`]. Functions have no processes of their own.
    ///
    /// ```
    /// use wippy::Runtime;
    ///
    /// let runtime = Runtime::builder().load("fixtures/apps/mission").build()?;
    /// let multiply = runtime.typed::<(i64, i64), i64>("myns:compute_worker")?;
    /// let mut sum = 0;
    /// for done in multiply.map((1..=1000).map(|factor| (factor, 2)))? {
    ///     sum += done.result?;
    /// }
    /// assert_eq!(sum, 1_001_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The entry is a function.
    pub fn map<I>(&self, inputs: I) -> Result<TypedMap<R, I::IntoIter>, SpawnError>
    where
        I: IntoIterator<Item = P, IntoIter: Send>,
    {
        let Target::Process(manager, host) = &self.target else {
            return Err(SpawnError::UnknownEntry { entry: self.entry.clone(), known: Vec::new() });
        };
        let feed = TypedInputs(inputs.into_iter());
        let map = Map::new(Arc::clone(manager), self.entry.clone(), Some(host.clone()), feed)?;
        Ok(TypedMap { map, reader: self.reader() })
    }

    fn reader(&self) -> Reader<R> {
        Reader { entry: self.entry.clone(), result: self.result.clone(), types: PhantomData }
    }

    fn value(&self, value: Payload) -> Result<R, TypedError> {
        read(&self.entry, self.result.as_deref(), value)
    }
}

fn read<R: WitReturn>(entry: &EntryId, ty: Option<&WitType>, value: Payload) -> Result<R, TypedError> {
    R::from_return(value, ty).map_err(|error| TypedError::Value { entry: entry.clone(), error: Box::new(error) })
}

/// Reads what an entry returns.
struct Reader<R> {
    entry: EntryId,
    result: Option<Arc<WitType>>,
    types: PhantomData<fn() -> R>,
}

impl<R: WitReturn> Reader<R> {
    fn value(&self, value: Payload) -> Result<R, TypedError> {
        read(&self.entry, self.result.as_deref(), value)
    }

    fn exit(&self, exit: Exit) -> Result<R, TypedError> {
        match exit {
            Exit::Returned(value) => self.value(value),
            exit => Err(TypedError::Ended { entry: self.entry.clone(), exit: Box::new(exit) }),
        }
    }

    /// What became of an item: a map takes a WIT `result` apart.
    fn item(&self, result: Result<Payload, ItemError>) -> Result<R, TypedError> {
        let side = |name: &str, value| [(name, value)].into_iter().collect::<Payload>();
        let is_result = matches!(self.result.as_deref(), Some(WitType::Result { .. }));
        match result {
            Ok(value) if is_result => self.value(side("ok", value)),
            Ok(value) => self.value(value),
            Err(ItemError::Returned(error)) => self.value(side("err", error)),
            Err(ItemError::NotStarted(error)) => Err(error.into()),
            Err(ItemError::Ended(exit)) => self.exit(exit),
            Err(ItemError::Input(message)) => Err(SpawnError::InvalidId { cause: message }.into()),
        }
    }
}

/// A started process whose value has a Rust type: a [`Future`] of it on any executor. Dropping it changes nothing for the
/// process.
pub struct TypedProcess<R> {
    process: ProcessHandle,
    reader: Reader<R>,
}

impl<R: WitReturn> TypedProcess<R> {
    /// The process.
    #[must_use]
    pub fn handle(&self) -> &ProcessHandle {
        &self.process
    }

    /// Blocks this thread until it has ended.
    ///
    /// # Errors
    /// It ended otherwise than with a value; on a worker it is [`TypedError::Deadlock`].
    pub fn wait(self) -> Result<R, TypedError> {
        if current::on_worker() {
            return Err(TypedError::Deadlock { entry: self.reader.entry });
        }
        self.reader.exit(self.process.wait())
    }
}

impl<R: WitReturn> Future for TypedProcess<R> {
    type Output = Result<R, TypedError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let exit = ready!(Pin::new(&mut self.process).poll(context));
        Poll::Ready(self.reader.exit(exit))
    }
}

/// A typed call that goes on: a [`Future`] of its value on any executor. Dropping it ends it.
#[must_use = "dropping a call ends it"]
pub struct TypedCall<R> {
    state: CallState<R>,
}

enum CallState<R> {
    Refused(Option<TypedError>),
    Process(TypedProcess<R>),
    Function(Call, Reader<R>),
}

impl<R: WitReturn> Future for TypedCall<R> {
    type Output = Result<R, TypedError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            CallState::Refused(error) => Poll::Ready(Err(error.take().expect("a call has one answer"))),
            CallState::Process(process) => Pin::new(process).poll(context),
            CallState::Function(call, reader) => {
                let answer = ready!(Pin::new(call).poll(context));
                Poll::Ready(answer.map_err(TypedError::from).and_then(|value| reader.value(value)))
            }
        }
    }
}

impl<R> Drop for TypedCall<R> {
    fn drop(&mut self) {
        if let CallState::Process(TypedProcess { process, .. }) = &self.state
            && process.exit().is_none()
        {
            process.terminate();
        }
    }
}

/// A typed entry over many inputs: an iterator and a [`Stream`] of what became of each; see [`TypedEntry::map`].
#[must_use]
pub struct TypedMap<R, I> {
    map: Map<TypedInputs<I>>,
    reader: Reader<R>,
}

/// What became of an item.
#[derive(Debug)]
#[non_exhaustive]
pub struct TypedDone<R> {
    /// Its place among the inputs, from zero.
    pub index: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// What it returned.
    pub result: Result<R, TypedError>,
    /// The process of the last try; none when it could not be started.
    pub process: Option<ProcessHandle>,
}

/// The inputs of a typed map, as a feed of payloads.
struct TypedInputs<I>(I);

impl<I: Iterator<Item: WitParams> + Send> Feed for TypedInputs<I> {
    fn next(&mut self) -> Fed {
        self.0.next().map_or(Fed::End, |params| Fed::Item(params.into_payloads()))
    }

    fn left(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<R: WitReturn, I: Iterator<Item: WitParams> + Send> TypedMap<R, I> {
    /// See [`Map::window`].
    pub fn window(self, items: usize) -> Self {
        Self { map: self.map.window(items), ..self }
    }

    /// See [`Map::unordered`].
    pub fn unordered(self) -> Self {
        Self { map: self.map.unordered(), ..self }
    }

    /// See [`Map::retries`].
    pub fn retries(self, retries: u32) -> Self {
        Self { map: self.map.retries(retries), ..self }
    }

    /// See [`Map::limits`].
    pub fn limits(self, limits: LimitsSpec) -> Self {
        Self { map: self.map.limits(limits), ..self }
    }

    fn done(reader: &Reader<R>, done: Done) -> TypedDone<R> {
        let Done { index, attempts, result, process, .. } = done;
        TypedDone { index, attempts, result: reader.item(result), process }
    }
}

impl<R: WitReturn, I: Iterator<Item: WitParams> + Send> Iterator for TypedMap<R, I> {
    type Item = TypedDone<R>;

    /// Blocks until the next item is over. Not for a worker: use it as a [`Stream`] there.
    fn next(&mut self) -> Option<TypedDone<R>> {
        self.map.next().map(|done| Self::done(&self.reader, done))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.map.size_hint()
    }
}

impl<R: WitReturn, I: Iterator<Item: WitParams> + Send + Unpin> Stream for TypedMap<R, I> {
    type Item = TypedDone<R>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<TypedDone<R>>> {
        let done = ready!(Pin::new(&mut self.map).poll_next(context));
        Poll::Ready(done.map(|done| Self::done(&self.reader, done)))
    }
}

impl<P, R> Clone for TypedEntry<P, R> {
    fn clone(&self) -> Self {
        let Self { entry, target, result, .. } = self;
        Self { entry: entry.clone(), target: target.clone(), result: result.clone(), types: PhantomData }
    }
}

impl<P: WitParams, R: WitReturn> fmt::Debug for TypedEntry<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypedEntry(`{}`: {})", self.entry, signature_of::<P, R>())
    }
}

impl<R> fmt::Debug for TypedProcess<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedProcess").field(&self.process).finish()
    }
}

impl<R> fmt::Debug for TypedCall<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("TypedCall");
        match &self.state {
            CallState::Refused(error) => shown.field(error),
            CallState::Process(process) => shown.field(process),
            CallState::Function(call, _) => shown.field(call),
        };
        shown.finish()
    }
}

impl<R, I> fmt::Debug for TypedMap<R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedMap").field("entry", &self.reader.entry).finish_non_exhaustive()
    }
}
