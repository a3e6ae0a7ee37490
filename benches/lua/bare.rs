//! Bare mlua on one thread: a VM for each run, without a scheduler, a sandbox, preemption or a limit.

use std::path::Path;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, StdLib, Table, Thread, Value};
use wasmtime::{Config, Engine, InstancePre, Linker, Module, Store};

/// The libraries that a VM has.
#[derive(Clone, Copy)]
pub(crate) enum Libraries {
    /// Those of `Lua::new`.
    Safe,
    /// Those that a VM of ours is made with.
    Ours,
}

/// A script as bytecode, which is what our processes start from as well.
pub(crate) struct Bare {
    code: Vec<u8>,
    libraries: Libraries,
}

impl Bare {
    pub(crate) fn new(source: &str, libraries: Libraries) -> Bare {
        let lua = Lua::new();
        let chunk = lua.load(source).into_function().expect("a script");
        Bare { code: chunk.dump(false), libraries }
    }

    /// A VM, and the table that the script in it returns.
    fn load(&self) -> (Lua, Table) {
        let lua = match self.libraries {
            Libraries::Safe => Lua::new(),
            Libraries::Ours => {
                let libraries = StdLib::COROUTINE | StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
                Lua::new_with(libraries, LuaOptions::default()).expect("a VM")
            }
        };
        let script = lua.load(&self.code[..]).set_mode(ChunkMode::Binary).eval().expect("a table");
        (lua, script)
    }

    /// Makes a VM, calls `main` in it and drops it.
    pub(crate) fn run(&self, count: u32) -> Option<i64> {
        let (_lua, script) = self.load();
        main(&script, count)
    }

    /// [`Bare::run`] with the guest's function as the global `add`.
    pub(crate) fn run_with(&self, guest: &Guest, count: u32) -> Option<i64> {
        let (lua, script) = self.load();
        let pre = guest.0.clone();
        let add = lua.create_function(move |_, numbers: (i32, i32)| Ok(add(&pre, numbers)));
        lua.globals().raw_set("add", add.expect("a function")).expect("a global");
        main(&script, count)
    }

    /// Resumes `ask` and `answer` in turns, each with what the other one yielded, until the first one returns.
    pub(crate) fn run_in_turns(&self, count: u32) -> Option<i64> {
        let (lua, script) = self.load();
        let thread = |name: &str| -> Thread {
            lua.create_thread(script.raw_get::<Function>(name).expect("a function")).expect("a coroutine")
        };
        let (ask, answer) = (thread("ask"), thread("answer"));
        let mut value: Value = ask.resume(count).expect("a question");
        while ask.is_resumable() {
            let answered: Value = answer.resume(value).expect("an answer");
            value = ask.resume(answered).expect("the next question");
        }
        value.as_integer()
    }
}

fn main(script: &Table, count: u32) -> Option<i64> {
    script.raw_get::<Function>("main").expect("a function").call(count).expect("a result")
}

/// The guest `math`, linked, with the settings of our engines.
pub(crate) struct Guest(InstancePre<()>);

impl Guest {
    pub(crate) fn new() -> Guest {
        let mut config = Config::new();
        config.epoch_interruption(true).concurrency_support(false).memory_init_cow(false).max_wasm_stack(1 << 20);
        let engine = Engine::new(&config).expect("an engine");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests/math.wasm");
        let module = Module::from_file(&engine, file).expect("a module");
        Guest(Linker::new(&engine).instantiate_pre(&module).expect("no imports"))
    }
}

/// A store, an instance and a call. Nothing moves the epoch on.
fn add(pre: &InstancePre<()>, numbers: (i32, i32)) -> i32 {
    let mut store = Store::new(pre.module().engine(), ());
    store.set_epoch_deadline(1);
    let instance = pre.instantiate(&mut store).expect("an instance");
    let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add").expect("the function's type");
    add.call(&mut store, numbers).expect("a sum")
}
