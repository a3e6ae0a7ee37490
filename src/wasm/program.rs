//! A wasm entry, ready to be started: linked code, a method, and what its processes get.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use wasmtime::component::{self, ComponentExportIndex};
use wasmtime::{Engine, InstancePre, Store};

use super::attempt;
use super::engine::EngineClass;
use super::exports::{INITIALIZE, START};
use super::failure::{Phase, after_refusal, exit_of, transfer_max};
use super::fiber;
use super::footprint::Needs;
use super::host::Own;
use super::memory::Memory;
use super::pace::Pace;
use super::replica::Linkage;
use super::series::new_store;
use super::state::{AtTick, State};
use super::value::{ComponentPlan, CorePlan, Signature, Stack, named_form, wippy_form};
use super::warm::{Linked, Warm};
use super::world::World;
use crate::env::Environment;
use crate::function::WeakFunctions;
use crate::limits::{Limits, Usage};
use crate::process::{
    self, ArgumentError, Attempt, Attempted, Begun, Birth, Ceiling, Exit, Failure, Footprint, FormError, Instance,
    Luck, Payload, Process, ResultStyle,
};
use crate::registry::{EntryId, LimitsSpec, PeerRules, Preempt, Values, WasiEnv};
use crate::wasi::{GuestExit, Mount, NetworkPolicy, Profile, ProfileSet, ProgramStreams, Resolver, WasiState};

/// What a process of this entry calls.
pub(super) enum Target {
    /// `wasi:cli/run`: arguments are the guest's argv, the result is an exit code.
    ComponentCommand { pre: component::InstancePre<State>, index: ComponentExportIndex },
    /// Any other function of a component.
    Component {
        pre: component::InstancePre<State>,
        index: ComponentExportIndex,
        plan: ComponentPlan,
        /// Nothing runs when it is instantiated, so that this needs no stack of its own.
        is_inert: bool,
    },
    /// `_start` of a preview 1 command.
    CoreCommand { pre: InstancePre<State> },
    /// Any other function of a core module; what the module runs first is run before.
    Core { pre: InstancePre<State>, before: Option<&'static str>, plan: CorePlan, is_inert: bool },
}

impl Target {
    /// Whether a guest that is called this way runs nothing before, and has nobody to ask for anything.
    pub(super) fn is_inert(&self) -> bool {
        match self {
            Self::ComponentCommand { .. } | Self::CoreCommand { .. } => false,
            Self::Component { is_inert, .. } => *is_inert,
            Self::Core { before, is_inert, .. } => before.is_none() && *is_inert,
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        match self {
            Self::ComponentCommand { pre, .. } | Self::Component { pre, .. } => pre.engine(),
            Self::CoreCommand { pre } | Self::Core { pre, .. } => pre.module().engine(),
        }
    }
}

/// A loaded wasm entry.
pub(super) struct Program {
    pub(super) entry: EntryId,
    /// One for each engine that the hosts of the application need for it.
    pub(super) linkages: Vec<Linkage>,
    /// How often a worker has started it, which has this for itself; none of what all share.
    pub(super) starts: Option<AtomicUsize>,
    /// That of attempts with its processes.
    pub(super) luck: Luck,
    /// Whether its processes are soon over.
    pub(super) pace: Pace,
    /// The size of the binary, which is a part of the class.
    pub(super) binary: usize,
    /// What its processes take of the machine.
    pub(super) needs: Needs,
    pub(super) limits: LimitsSpec,
    pub(super) preempt: Preempt,
    pub(super) profiles: ProfileSet,
    /// What its processes may do with others.
    pub(super) peers: Arc<PeerRules>,
    /// The form in which scripts see what it returns.
    pub(super) values: Values,
    pub(super) surroundings: Arc<Surroundings>,
}

/// What the entry declares for the world of its processes.
pub(super) struct Surroundings {
    /// The ID of the entry, for messages.
    pub(super) entry: Arc<str>,
    /// `wasi.args`; wins over the arguments of a command line.
    pub(super) args: Vec<String>,
    /// Where relative paths of the guest start.
    pub(super) cwd: Arc<str>,
    pub(super) env: Vec<WasiEnv>,
    pub(super) environment: Arc<Environment>,
    /// The directories, in the order of their guest paths.
    pub(super) mounts: Arc<[Mount]>,
    pub(super) network: Arc<NetworkPolicy>,
    pub(super) resolver: Arc<dyn Resolver>,
    /// What its guests may call.
    pub(super) functions: WeakFunctions,
    pub(super) shared: Arc<Shared>,
}

/// What all processes of an application share.
pub(super) struct Shared {
    pub(super) streams: Arc<ProgramStreams>,
    #[cfg(feature = "http")]
    pub(super) http: super::http::Clients,
}

/// A guest that is over: everything it held is gone, or kept for the next one.
pub(super) struct Over {
    pub(super) exit: Exit,
    /// Ready when what it wrote has left; none when it never wrote. Its exit is not known before: who hears of it may read the
    /// output.
    pub(super) drained: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What the next process goes on with; all the rest is gone.
    pub(super) instance: Option<Instance>,
}

impl Over {
    /// The end of a guest that never began.
    pub(super) fn at_once(exit: Exit) -> Self {
        Self { exit, drained: None, instance: None }
    }
}

impl Program {
    /// The life of a guest from the first step on: a world, a store, an instance, a call. One that was kept has all but the
    /// call behind it.
    pub(super) async fn execute(self: Arc<Self>, place: usize, mut birth: Birth) -> Over {
        let linkage = &self.linkages[place];
        let (usage, keeps) = (Arc::clone(birth.usage()), birth.keeps);
        let input = std::mem::take(&mut birth.input);
        let warm_target;
        let (mut store, mut linked, target) = match Warm::of(birth.kept.take(), &linkage.shared) {
            Some(mut warm) => {
                warm.pass_on(Own::new(Arc::clone(&self), birth), &usage);
                warm_target = warm.target;
                (warm.store, Some(warm.linked), &warm_target)
            }
            None => {
                // Once: another one may be there the next time.
                let target = linkage.target();
                match self.state(&birth, &input) {
                    Ok(state) => {
                        let own = Own::new(Arc::clone(&self), birth);
                        (new_store(target.engine(), state.owned_by(own)), None, target)
                    }
                    Err(failure) => return Over::at_once(Exit::Failed(failure)),
                }
            }
        };
        if let Err(exit) = self.equip(&mut store, Stack::Own) {
            return Over::at_once(exit);
        }
        let exit = self.run_to_end((target, Stack::Own), &mut store, &mut linked, &input).await;
        self.pace.ended(store.data().ticks);
        let drain = store.data().known_wasi().map(WasiState::drain);
        let instance = match (linked, &exit) {
            (Some(linked), Exit::Returned(_)) if keeps => {
                Some(Warm::keep(store, linked, Arc::clone(target), Arc::clone(&linkage.shared)))
            }
            _ => None,
        };
        // A reader that has gone is the guest's affair, which has seen it on its stream.
        let drained = drain.map(|drain| Box::pin(async { drop(drain.await) }) as _);
        Over { exit, drained, instance }
    }

    /// What the store of a new process carries. It does not know of the process yet.
    pub(super) fn state(&self, birth: &Birth, input: &[Payload]) -> Result<State, Failure> {
        let world = World::settle(self, birth, input)?;
        let memory = self.memory(birth.usage(), birth.ceiling());
        Ok(State::new(world, memory, birth.reactor().clock().clone()))
    }

    /// What counts the memory of a new instance.
    pub(super) fn memory(&self, usage: &Arc<Usage>, ceiling: &Ceiling) -> Memory {
        Memory::new(Arc::clone(usage), ceiling.clone(), self.needs.large_tables())
    }

    /// Gives a store what bounds the coming call.
    pub(super) fn equip(&self, store: &mut Store<State>, stack: Stack) -> Result<(), Exit> {
        let usage = store.data().usage();
        let (transfer_max, max_fuel) = (transfer_max(usage), usage.limits().max_fuel);
        store.set_hostcall_fuel(transfer_max);
        if let Some(fuel) = max_fuel
            && let Err(error) = store.set_fuel(fuel)
        {
            return Err(self.exit_of(store, (error, Phase::Instantiate)));
        }
        let state = store.data_mut();
        state.ticks = 0;
        state.at_tick = match stack {
            Stack::Thread => AtTick::Attempts(attempt::TICKS),
            Stack::Own => AtTick::Yields,
        };
        match self.preempt {
            Preempt::Epoch => fiber::slice(store),
            Preempt::None => fiber::ask_at_host_calls(store),
        }
        Ok(())
    }

    /// [`call`](Self::call), and what follows from what the guest was refused.
    pub(super) async fn run_to_end(
        &self,
        (target, stack): (&Target, Stack),
        store: &mut Store<State>,
        linked: &mut Option<Linked>,
        input: &[Payload],
    ) -> Exit {
        let exit = self.call((target, stack), store, linked, input).await;
        match store.data_mut().memory.refused() {
            None => exit,
            Some(refused) => after_refusal(exit, refused),
        }
    }

    /// The exit that follows from an error of the engine.
    fn exit_of(&self, store: &Store<State>, (error, phase): (wasmtime::Error, Phase)) -> Exit {
        exit_of(error, &self.entry, phase, store.data().usage())
    }

    /// Calls the method, of an instance that is `linked` already or is from now on.
    ///
    /// What few short guests need lies in boxes of its own, so that the future of all others is small: a large one is what an
    /// allocator is slow with.
    async fn call(
        &self,
        (target, stack): (&Target, Stack),
        store: &mut Store<State>,
        linked: &mut Option<Linked>,
        input: &[Payload],
    ) -> Exit {
        match target {
            Target::ComponentCommand { pre, index } => match Box::pin(run(pre, store, index)).await {
                Ok(code) => Exit::Exited(code),
                Err(wrong) => self.exit_of(store, wrong),
            },
            Target::Component { pre, index, plan, is_inert } => {
                let instance = match *linked {
                    Some(Linked::Component(instance)) => Ok(instance),
                    _ if *is_inert || stack == Stack::Thread => at_once(store, |store| pre.instantiate(store)),
                    _ => Box::pin(pre.instantiate_async(&mut *store)).await,
                };
                let instance = match instance {
                    Ok(instance) => instance,
                    Err(error) => return self.exit_of(store, (error, Phase::Instantiate)),
                };
                *linked = Some(Linked::Component(instance));
                let Some(func) = instance.get_func(&mut *store, index) else {
                    return self.exit_of(store, (wasmtime::Error::msg("the method is gone"), Phase::Instantiate));
                };
                match plan.call(stack, &func, &mut *store, input).await {
                    Ok(value) => Exit::Returned(value),
                    Err(error) => self.exit_of(store, (error, Phase::Call)),
                }
            }
            Target::CoreCommand { pre } => match Box::pin(start(pre, store, START, stack)).await {
                Ok(_) => Exit::Exited(0),
                Err(wrong) => self.exit_of(store, wrong),
            },
            Target::Core { pre, before, plan, is_inert } => {
                let at_instantiation = |error| (error, Phase::Instantiate);
                let instance = match (*linked, before) {
                    (Some(Linked::Core(instance)), _) => Ok(instance),
                    (_, Some(before)) => Box::pin(start(pre, store, before, stack)).await,
                    _ if *is_inert || stack == Stack::Thread => {
                        at_once(store, |store| pre.instantiate(store)).map_err(at_instantiation)
                    }
                    (_, None) => Box::pin(pre.instantiate_async(&mut *store)).await.map_err(at_instantiation),
                };
                let instance = match instance {
                    Ok(instance) => instance,
                    Err(wrong) => return self.exit_of(store, wrong),
                };
                *linked = Some(Linked::Core(instance));
                match plan.call(stack, &instance, &mut *store, input).await {
                    Ok(value) => Exit::Returned(value),
                    Err(error) => self.exit_of(store, (error, Phase::Call)),
                }
            }
        }
    }
}

/// Instantiates what lays out its data and no more: on the stack of the worker, since there is nothing to suspend. The engine
/// looks at the epoch even so, and is told to go on. What is attempted there runs what it likes.
fn at_once<I>(
    store: &mut Store<State>,
    instantiate: impl FnOnce(&mut Store<State>) -> wasmtime::Result<I>,
) -> wasmtime::Result<I> {
    if store.data().at_tick != AtTick::Yields {
        return instantiate(store);
    }
    store.data_mut().at_tick = AtTick::GoesOn;
    let instance = instantiate(store);
    store.data_mut().at_tick = AtTick::Yields;
    instance
}

/// What is said of a required variable without a value.
pub(super) fn missing(variable: &WasiEnv, environment: &Environment) -> String {
    let storage = environment.storage_of(&variable.id).map_or_else(String::new, |storage| format!(" in `{storage}`"));
    let WasiEnv { id, name, .. } = variable;
    format!("the required variable `{id}` (as `{name}`) has no value{storage}: set it there, or give it a `default`")
}

/// Instantiates a core module and runs one of its parameterless functions. `proc_exit(0)` in there is not an end.
async fn start(
    pre: &InstancePre<State>,
    store: &mut Store<State>,
    function: &str,
    stack: Stack,
) -> Result<wasmtime::Instance, (wasmtime::Error, Phase)> {
    let instance = match stack {
        Stack::Own => pre.instantiate_async(&mut *store).await,
        Stack::Thread => pre.instantiate(&mut *store),
    };
    let instance = instance.map_err(|error| (error, Phase::Instantiate))?;
    let run = instance.get_typed_func::<(), ()>(&mut *store, function).map_err(|error| (error, Phase::Instantiate))?;
    let ran = match stack {
        Stack::Own => run.call_async(store, ()).await,
        Stack::Thread => run.call(store, ()),
    };
    match ran {
        Ok(()) => Ok(instance),
        Err(error) if error.downcast_ref::<GuestExit>().is_some_and(|exit| exit.code == 0) => Ok(instance),
        Err(error) => Err((error, Phase::Call)),
    }
}

/// Instantiates a component and runs it as a command; its exit code.
async fn run(
    pre: &component::InstancePre<State>,
    store: &mut Store<State>,
    index: &ComponentExportIndex,
) -> Result<u32, (wasmtime::Error, Phase)> {
    let at_instantiation = |error| (error, Phase::Instantiate);
    let instance = pre.instantiate_async(&mut *store).await.map_err(at_instantiation)?;
    let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, index).map_err(at_instantiation)?;
    let (outcome,) = run.call_async(store, ()).await.map_err(|error| (error, Phase::Call))?;
    Ok(u32::from(outcome.is_err()))
}

/// What a core module runs before any other method.
pub(super) fn runs_before(module: &wasmtime::Module, method: &str) -> Option<&'static str> {
    [INITIALIZE, START].into_iter().find(|name| *name != method && module.get_export(name).is_some())
}

impl Program {
    /// The same for one worker: nothing that its processes count references of is anybody else's.
    fn replica(&self) -> Self {
        Self {
            entry: self.entry.clone(),
            linkages: self.linkages.iter().map(Linkage::replica).collect(),
            starts: Some(AtomicUsize::new(0)),
            luck: Luck::default(),
            pace: Pace::default(),
            binary: self.binary,
            needs: self.needs,
            limits: self.limits.clone(),
            preempt: self.preempt,
            profiles: self.profiles,
            peers: Arc::clone(&self.peers),
            values: self.values,
            surroundings: Arc::clone(&self.surroundings),
        }
    }

    /// What is the same whatever the engine: signatures and plans.
    fn any_target(&self) -> &Target {
        &self.linkages[0].shared
    }

    /// The types of its method; a command has none.
    pub(super) fn signature(&self) -> Option<&Signature> {
        match self.any_target() {
            Target::ComponentCommand { .. } | Target::CoreCommand { .. } => None,
            Target::Component { plan, .. } => Some(plan.signature()),
            Target::Core { plan, .. } => Some(plan.signature()),
        }
    }

    /// The place of the code for a process. Its limits went through `settle`; without that the first engine is as good as any.
    fn place_of(&self, birth: &Birth) -> usize {
        self.place(birth.usage().limits()).unwrap_or(0)
    }

    /// The place of the code for a process with these limits. Where memories lie in another way than it would have them is as
    /// good.
    pub(super) fn place(&self, limits: &Limits) -> Option<usize> {
        let wanted = EngineClass::of(self.binary, limits, self.preempt, self.needs.allocator());
        let exact = self.linkages.iter().position(|linkage| linkage.class == wanted);
        exact.or_else(|| self.linkages.iter().position(|linkage| linkage.class.serves(wanted)))
    }
}

/// A loaded wasm entry as the process manager sees it.
pub(super) struct Startable(pub(super) Arc<Program>);

impl process::Program for Startable {
    fn entry(&self) -> &EntryId {
        &self.0.entry
    }

    fn check(&self, input: &[Payload]) -> Result<(), ArgumentError> {
        match self.0.any_target() {
            Target::Component { plan, .. } => plan.check(input).map_err(|error| ArgumentError::new(error.to_string())),
            Target::Core { plan, .. } => plan.check(input).map_err(|error| ArgumentError::new(error.to_string())),
            Target::ComponentCommand { .. } | Target::CoreCommand { .. } => {
                match input.iter().position(|value| !matches!(value, Payload::String(_))) {
                    None => Ok(()),
                    Some(at) => Err(ArgumentError::new(format!(
                        "argument {}: expected text, since the arguments of a command are its argv; found {}",
                        at + 1,
                        input[at].kind()
                    ))),
                }
            }
        }
    }

    fn read_arguments(&self, text: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        match self.0.any_target() {
            Target::Component { plan, .. } => {
                plan.read_arguments(text).map_err(|error| ArgumentError::new(error.to_string()))
            }
            Target::Core { plan, .. } => {
                plan.read_arguments(text).map_err(|error| ArgumentError::new(error.to_string()))
            }
            Target::ComponentCommand { .. } | Target::CoreCommand { .. } => {
                Ok(text.iter().cloned().map(Payload::String).collect())
            }
        }
    }

    fn limits(&self) -> LimitsSpec {
        self.0.limits.clone()
    }

    fn settle(&self, limits: &mut Limits) -> Result<(), ArgumentError> {
        let Some(place) = self.0.place(limits) else {
            return Err(ArgumentError::new(
                "`max_stack` and `max_fuel` are compiled in, and it was not compiled for these: write them under `limits:` of \
                 the entry, or under `default_limits:` of a host",
            ));
        };
        limits.max_stack = Some(self.0.linkages[place].class.stack() as u64);
        Ok(())
    }

    fn footprint(&self, limits: &Limits) -> Footprint {
        self.0.needs.footprint(self.0.linkages[self.0.place(limits).unwrap_or(0)].class)
    }

    fn receives(&self) -> bool {
        self.0.profiles.contains(Profile::Process)
    }

    fn peer_rules(&self) -> &PeerRules {
        &self.0.peers
    }

    fn is_preemptible(&self) -> bool {
        self.0.preempt != Preempt::None
    }

    fn replica(&self) -> Option<Arc<dyn process::Program>> {
        Some(Arc::new(Self(Arc::new(self.0.replica()))))
    }

    fn attempt(&self, attempt: &Attempt<'_>) -> Attempted {
        self.0.attempt(attempt)
    }

    fn can_be_attempted(&self) -> bool {
        self.0.can_be_attempted()
    }

    fn create(&self, birth: Birth) -> Box<dyn Process> {
        fiber::fiber(&self.0, self.0.place_of(&birth), birth)
    }

    fn begin(&self, birth: Birth) -> Begun {
        let place = self.0.place_of(&birth);
        self.0.count_start(place, birth.reactor(), birth.tasks());
        self.0.begin(place, birth)
    }

    fn result_style(&self) -> ResultStyle {
        match self.0.any_target() {
            Target::Component { plan, .. } if plan.returns_result() => ResultStyle::Result,
            _ => ResultStyle::Value,
        }
    }

    fn for_scripts<'a>(&self, value: &'a Payload) -> Result<Cow<'a, Payload>, FormError> {
        let signature = match self.0.any_target() {
            Target::Component { plan, .. } => plan.signature(),
            Target::Core { plan, .. } => plan.signature(),
            Target::ComponentCommand { .. } | Target::CoreCommand { .. } => return Ok(Cow::Borrowed(value)),
        };
        match self.0.values {
            Values::Named => named_form(value, signature),
            Values::Wippy => wippy_form(value, signature),
        }
    }
}
