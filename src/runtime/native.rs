//! Programs of an embedder that are a function: typed parameters, a future, a typed result.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::RuntimeBuilder;
use crate::process::{
    ArgumentError, Birth, Exit, Failure, FailureKind, Payload, Process, Program, Progress, ResultStyle,
};
use crate::registry::EntryId;
use crate::wasm::HostError;
use crate::wasm::value::{Signature, WitParams, WitReturn, signature_of};

/// What is checked of the ID of a native program when the runtime is built.
pub(super) struct Native {
    pub(super) id: String,
    /// Makes the program, once its ID is known to be one.
    pub(super) make: Arc<Make>,
}

type Make = dyn Fn(EntryId) -> (Arc<dyn Program>, Arc<Signature>) + Send + Sync;

impl Clone for Native {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), make: Arc::clone(&self.make) }
    }
}

impl RuntimeBuilder {
    /// A program of the embedder as a function of Rust types: each of its processes is a call, polled on the workers like a
    /// guest. The [`Birth`] has what a process has: its pid, its limits, timers, the other processes. One that reads its
    /// mailbox, or is no future, implements [`Program`]: see [`program`](Self::program).
    ///
    /// What does not fit is refused when it is spawned. An error ends the process with [`Exit::Failed`], and so does a panic.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wippy::Runtime;
    /// use wippy::registry::Entry;
    ///
    /// let runtime = Runtime::builder()
    ///     .entry(Entry::host("app:processes"))
    ///     .native("app:later", |birth, (a, b): (i64, i64)| async move {
    ///         birth.reactor().sleep(Duration::from_millis(5)).await;
    ///         Ok(a + b)
    ///     })
    ///     .build()?;
    /// assert_eq!(runtime.spawn("app:later", [40, 2])?.wait().to_string(), "returned 42");
    /// assert_eq!(runtime.typed::<(i64, i64), i64>("app:later")?.call((40, 2))?, 42);
    /// let error = runtime.spawn("app:later", ["x"]).unwrap_err();
    /// assert!(error.to_string().contains("later: func(p0: s64, p1: s64) -> s64"), "{error}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn native<P: WitParams, R: WitReturn, F>(
        mut self,
        entry: impl Into<String>,
        function: impl Fn(Birth, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<R, HostError>> + Send + 'static,
    {
        let function = Arc::new(move |birth: Birth, params: P| -> Running {
            let answer = function(birth, params);
            Box::pin(async { answer.await.map(R::into_return) })
        });
        let make = move |entry: EntryId| {
            let signature = Arc::new(signature_of::<P, R>());
            let function = Arc::clone(&function);
            let begin = move |mut birth: Birth, signature: &Signature| {
                let types: Vec<_> = signature.params().iter().map(|param| param.ty.clone()).collect();
                let params = P::from_payloads(std::mem::take(&mut birth.input), &types)?;
                Ok(function(birth, params))
            };
            let program = Function { entry, signature: Arc::clone(&signature), begin: Box::new(begin) };
            (Arc::new(program) as Arc<dyn Program>, signature)
        };
        self.natives.push(Native { id: entry.into(), make: Arc::new(make) });
        self
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Payload, HostError>> + Send>>;

type Begin = dyn Fn(Birth, &Signature) -> Result<Running, HostError> + Send + Sync;

struct Function {
    entry: EntryId,
    signature: Arc<Signature>,
    begin: Box<Begin>,
}

impl Function {
    /// Arguments in the exact shape of the types. Where one takes every value there is no such shape.
    fn accept(&self, input: &[Payload]) -> Result<Vec<Payload>, ArgumentError> {
        let takes_any = self.signature.params().iter().any(|param| param.ty.refused().is_some());
        if takes_any && input.len() == self.signature.params().len() {
            return Ok(input.to_vec());
        }
        let accepted = self.signature.accept(self.entry.name(), input);
        accepted.map_err(|error| ArgumentError::new(error.to_string()))
    }
}

impl Program for Function {
    fn entry(&self) -> &EntryId {
        &self.entry
    }

    fn check(&self, input: &[Payload]) -> Result<(), ArgumentError> {
        self.accept(input).map(drop)
    }

    fn read_arguments(&self, text: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        let read = self.signature.read_arguments(self.entry.name(), text);
        read.map_err(|error| ArgumentError::new(error.to_string()))
    }

    fn create(&self, mut birth: Birth) -> Box<dyn Process> {
        let failed = |kind, message: String| Failure::new(kind, format!("`{}`: {message}", self.entry));
        match self.accept(&birth.input) {
            Ok(input) => birth.input = input,
            Err(error) => return Box::new(Call::Failed(failed(FailureKind::Arguments, error.message))),
        }
        match (self.begin)(birth, &self.signature) {
            Ok(running) => Box::new(Call::Running(self.entry.clone(), running)),
            Err(error) => Box::new(Call::Failed(failed(FailureKind::Arguments, error.to_string()))),
        }
    }

    fn result_style(&self) -> ResultStyle {
        if self.signature.returns_result() { ResultStyle::Result } else { ResultStyle::Value }
    }
}

/// A process of such a program.
enum Call {
    Running(EntryId, Running),
    Failed(Failure),
    Over,
}

impl Process for Call {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        let exit = match std::mem::replace(self, Self::Over) {
            Self::Running(entry, mut running) => match running.as_mut().poll(context) {
                Poll::Pending => {
                    *self = Self::Running(entry, running);
                    return Progress::Blocked;
                }
                Poll::Ready(Ok(value)) => Exit::Returned(value),
                Poll::Ready(Err(error)) => Exit::Failed(Failure::new(FailureKind::Host, format!("`{entry}`: {error}"))),
            },
            Self::Failed(failure) => Exit::Failed(failure),
            Self::Over => Exit::Terminated,
        };
        Progress::Exit(exit)
    }

    fn close(&mut self) {
        *self = Self::Over;
    }
}
