use std::task::Context;

use wippy::process::{ArgumentError, Birth, Exit, Payload, Process, Program, Progress, ResultStyle};
use wippy::registry::EntryId;
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
        Box::new(Answer(birth.entry.to_string()))
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
