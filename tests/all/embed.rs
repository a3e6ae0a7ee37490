//! The library, as programs use it that embed it.

/// Entries that are made in code, and the settings of the builder.
mod entries;
/// Functions of the embedder that guests import.
mod hosts;
/// Entries as functions of Rust types.
mod typed;

use std::task::Context;

use wippy::process::{ArgumentError, Birth, Exit, FailureKind, Payload, Process, Program, Progress, ResultStyle};
use wippy::registry::{Entry, EntryId};
use wippy::wasm::HostError;
use wippy::{BuildError, Runtime};

/// Answers with its name.
struct Named(EntryId);

impl Program for Named {
    fn entry(&self) -> &EntryId {
        &self.0
    }

    fn check(&self, _: &[Payload]) -> Result<(), ArgumentError> {
        Ok(())
    }

    fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(Vec::new())
    }

    fn create(&self, birth: Birth) -> Box<dyn Process> {
        Box::new(Answer(birth.entry().to_string()))
    }

    fn result_style(&self) -> ResultStyle {
        ResultStyle::Value
    }
}

struct Answer(String);

impl Process for Answer {
    fn step(&mut self, _: &mut Context<'_>) -> Progress {
        Progress::Exit(Exit::Returned(std::mem::take(&mut self.0).into()))
    }
}

fn named(id: &str) -> Named {
    Named(id.parse().expect("an ID"))
}

#[test]
fn native_programs_stand_beside_those_of_the_application() {
    let builder = Runtime::builder().load("fixtures/apps/mission").program(named("native:one"));
    let runtime = builder.program(named("native:two")).build().expect("a runtime");
    for id in ["native:one", "native:two"] {
        let process = runtime.spawn(id, [(); 0]).expect("a process");
        assert_eq!(process.wait(), Exit::Returned(id.into()));
    }
    assert_eq!(runtime.spawn("myns:compute_worker", [6, 7]).expect("a process").wait(), Exit::Returned(42.into()));
}

#[test]
fn an_id_belongs_to_one_program() {
    for (ids, taken) in
        [(["native:one", "native:one"], "native:one"), (["native:one", "myns:compute_worker"], "myns:compute_worker")]
    {
        let builder = Runtime::builder().load("fixtures/apps/mission");
        let built = ids.into_iter().fold(builder, |builder, id| builder.program(named(id))).build();
        let Err(BuildError::TwoPrograms { entry }) = built else { panic!("`{taken}` is taken") };
        assert_eq!(entry.to_string(), taken);
    }
}

#[test]
fn what_an_embedder_holds_goes_to_any_thread() {
    fn sent<T: Send + 'static>() {}
    fn shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
    shared::<Runtime>();
    shared::<wippy::process::ProcessHandle>();
    shared::<wippy::function::Functions>();
    shared::<wippy::TypedEntry<(String,), Vec<u8>>>();
    shared::<wippy::runtime::TypedProcess<Vec<u8>>>();
    shared::<wippy::wasm::HostContext>();
    shared::<BuildError>();
    shared::<wippy::process::SpawnError>();
    shared::<wippy::function::CallError>();
    shared::<wippy::runtime::TypedError>();
    sent::<wippy::RuntimeBuilder>();
    sent::<wippy::function::Call>();
    sent::<wippy::runtime::TypedCall<u32>>();
    sent::<wippy::runtime::TypedMap<u32, std::vec::IntoIter<(u32,)>>>();
}

#[test]
fn a_function_of_rust_is_a_process() {
    let runtime = Runtime::builder()
        .cache(false)
        .entry(Entry::host("app:processes").workers(1))
        .native("app:check", |birth, (number, _): (u32, Payload)| async move {
            match number {
                0 => Err(HostError::new("nothing")),
                1 => Ok(Err(birth.pid().to_string())),
                2 => {
                    std::future::pending::<()>().await;
                    Ok(Ok(()))
                }
                3 => panic!("on purpose"),
                _ => Ok(Ok(())),
            }
        })
        .build()
        .expect("a runtime");
    let start =
        |number: u32| runtime.spawn("app:check", [number.into(), Payload::from("anything")]).expect("a process");
    let Exit::Failed(failure) = start(0).wait() else { panic!("it fails") };
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Host, "`app:check`: nothing"));
    let named = start(1);
    let pid = Payload::from(named.pid().to_string());
    assert_eq!(named.wait(), Exit::Returned([("err", pid)].into_iter().collect()));
    let waiting = start(2);
    waiting.terminate();
    assert_eq!(waiting.wait(), Exit::Terminated);
    assert!(matches!(start(3).wait(), Exit::Failed(failure) if failure.kind == FailureKind::Panic));
    assert!(runtime.spawn("app:check", [1]).is_err(), "two arguments are wanted");

    let program = runtime.manager().program(&"app:check".parse().expect("an ID")).expect("a program");
    assert_eq!(program.result_style(), ResultStyle::Result);
    let typed = runtime.typed::<(u32, Payload), Result<(), String>>("app:check").expect("it has these types");
    assert_eq!(typed.call((9, Payload::Nil)), Ok(Ok(())));
    assert!(runtime.typed::<(u32,), ()>("app:check").is_err());

    let wrong = Runtime::builder().native("nameless", |_, ()| async { Ok(()) }).build();
    assert!(matches!(wrong, Err(BuildError::InvalidId(_))), "{wrong:?}");
}
