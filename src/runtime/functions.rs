//! The functions of a runtime: who calls them from outside, and how they stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BuildError, Runtime, RuntimeBuilder};
use crate::function::{Call, Function, Functions};
use crate::process::{Payload, Program};
use crate::registry::{EntryId, Pool, Registry};
use crate::scheduler::current;

/// The part of a shutdown's grace that calls have to end by themselves: what is left is for everybody else.
const GRACE_PARTS: u32 = 2;

impl RuntimeBuilder {
    /// A function of the embedder: it is called by its entry ID, like those of the application. The default of a pool is that of
    /// an entry without `pool`.
    ///
    /// ```
    /// # use std::task::Context;
    /// # use wippy::process::{ArgumentError, Birth, Exit, Process, Program, Progress, ResultStyle};
    /// use wippy::Runtime;
    /// use wippy::process::Payload;
    /// use wippy::registry::{EntryId, Pool};
    ///
    /// # struct Sum(EntryId);
    /// # struct Adding(Vec<Payload>);
    /// # impl Program for Sum {
    /// #     fn entry(&self) -> &EntryId { &self.0 }
    /// #     fn check(&self, _: &[Payload]) -> Result<(), ArgumentError> { Ok(()) }
    /// #     fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
    /// #         Err(ArgumentError::new("it is no command"))
    /// #     }
    /// #     fn create(&self, birth: Birth) -> Box<dyn Process> { Box::new(Adding(birth.input)) }
    /// #     fn result_style(&self) -> ResultStyle { ResultStyle::Value }
    /// # }
    /// # impl Process for Adding {
    /// #     fn step(&mut self, _: &mut Context<'_>) -> Progress {
    /// #         let sum = self.0.iter().filter_map(Payload::as_i64).sum::<i64>();
    /// #         Progress::Exit(Exit::Returned(sum.into()))
    /// #     }
    /// # }
    /// // The program of `RuntimeBuilder::program`.
    /// let sum = Sum("native:sum".parse()?);
    /// let runtime = Runtime::builder().load("fixtures/apps/mission").function(sum, Pool::default()).build()?;
    /// assert_eq!(runtime.call("native:sum", [1, 2, 3]).wait()?, Payload::from(6));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn function(mut self, program: impl Program, pool: Pool) -> Self {
        let program: Arc<dyn Program> = Arc::new(program);
        self.functions.push((program, pool));
        self
    }
}

impl Runtime {
    /// Calls a function of the application with these arguments. The call begins now, or in its turn when all slots of the
    /// function's pool are busy; its answer is waited for with [`Call::wait`], or with `.await` on any executor. Dropping it
    /// ends it.
    ///
    /// Functions run on the first `process.host` of the application, or on its first `terminal.host` if it has none.
    ///
    /// ```
    /// use wippy::Runtime;
    /// use wippy::function::CallErrorKind;
    /// use wippy::process::Payload;
    ///
    /// let runtime = Runtime::builder().load("fixtures/apps/functions").build()?;
    /// assert_eq!(runtime.call("app:add", [40, 2]).wait()?, Payload::from(42));
    ///
    /// // Two at once, and both answers.
    /// let calls = [runtime.call("app:add", [1, 2]), runtime.call("app:add", [3, 4])];
    /// let answers = calls.map(|call| call.wait().map_err(|error| error.to_string()));
    /// assert_eq!(answers, [Ok(3.into()), Ok(7.into())]);
    ///
    /// let error = runtime.call("app:ad", [1, 2]).wait().unwrap_err();
    /// assert_eq!(error.to_string(), "pool not found: app:ad; did you mean `app:add`?");
    /// assert_eq!(error.kind(), CallErrorKind::NotFound);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call(&self, function: &str, input: impl IntoIterator<Item = impl Into<Payload>>) -> Call {
        self.functions.call(function, input.into_iter().map(Into::into).collect())
    }

    /// The functions there are, and how their pools stand.
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Takes no call from now on, and waits for those that were admitted: as long as a part of `grace` and the `stop_timeout`
    /// of their host allow. What still waits for a slot then is refused, and what runs ends with its host.
    pub(super) fn stop_functions(&self, grace: Duration) {
        self.functions.close();
        if !current::on_worker() {
            let host = self.functions.host();
            let own =
                self.manager.hosts().find(|other| Some(other.id()) == host).map(crate::process::Host::stop_timeout);
            let patience = own.into_iter().chain([grace / GRACE_PARTS]).min().unwrap_or_default();
            self.functions.wait_quiet(Instant::now().checked_add(patience));
        }
        self.functions.abandon();
    }
}

/// Those of the application and those of the embedder.
///
/// # Errors
/// Two have the same ID.
pub(super) fn all(
    mut found: Vec<Function>,
    own: Vec<(Arc<dyn Program>, Pool)>,
    registry: &Registry,
    is_program: impl Fn(&EntryId) -> bool,
) -> Result<Vec<Function>, BuildError> {
    for (program, pool) in own {
        let entry = program.entry().clone();
        let is_taken = found.iter().any(|function| *function.program.entry() == entry);
        if is_taken || is_program(&entry) || registry.get(&entry).is_some() {
            return Err(BuildError::TwoPrograms { entry });
        }
        found.push(Function::new(program, pool));
    }
    Ok(found)
}
