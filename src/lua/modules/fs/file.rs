//! Open files as scripts have them.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::File;
use mlua::{Lua, UserData, UserDataFields, Value};
use parking_lot::Mutex;

use super::object::{self, Method, Object};
use super::{kind_of, no_memory, scan, table_of};
use crate::limits::Permit;
use crate::lua::call::{Answer, Args, Refusal, Reply};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::own::{self, Held, Own};
use crate::lua::pool::on_pool;
use crate::process::Tasks;
use crate::reactor::{Reactor, assert_may_block};
use crate::volume::Stat;

/// What `file:read` reads where nobody says, in bytes.
const READ_BYTES: usize = 4096;

/// The most that one `file:read` gives, in bytes: what is copied at once. Who wants more reads again.
const READ_BYTES_MAX: usize = 1 << 20;

/// A file as scripts have it.
pub(super) struct FileObject(Arc<OpenFile>, #[expect(dead_code, reason = "held until it is dropped")] Held);

impl FileObject {
    pub(super) fn new(lua: &Lua, file: OpenFile) -> mlua::Result<Self> {
        let held = own::hold(lua, size_of::<OpenFile>() + file.name.len())?;
        Ok(Self(Arc::new(file), held))
    }
}

impl UserData for FileObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        object::add_methods(fields);
    }
}

impl Object for FileObject {
    const NAME: &'static str = "file";
}

/// An open file. It is closed when it is told to, or when nobody has it any more, at the latest with the VM; always on the
/// blocking pool.
pub(super) struct OpenFile {
    name: String,
    /// Locked on the blocking pool only: who waits for it does not keep a worker.
    held: Mutex<Option<(File, Permit)>>,
    /// The permit until there is a file.
    permit: Option<Permit>,
    is_closed: AtomicBool,
    reactor: Arc<Reactor>,
    tasks: Tasks,
}

impl OpenFile {
    /// One that is about to be opened.
    pub(super) fn of(own: &Own, name: String, permit: Permit) -> Self {
        Self {
            name,
            held: Mutex::new(None),
            permit: Some(permit),
            is_closed: AtomicBool::new(false),
            reactor: Arc::clone(&own.reactor),
            tasks: own.tasks.clone(),
        }
    }

    /// With what was opened.
    pub(super) fn holding(mut self, file: File) -> Self {
        *self.held.get_mut() = self.permit.take().map(|permit| (file, permit));
        self
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Does something with the file. Blocks: for the pool.
    pub(super) fn with<T>(&self, deed: impl FnOnce(&mut File) -> io::Result<T>) -> Result<T, Box<ErrorObject>> {
        assert_may_block();
        let problem =
            |kind, what: &dyn std::fmt::Display| Box::new(ErrorObject::new(kind, format!("`{}`: {what}", self.name)));
        match &mut *self.held.lock() {
            Some((file, _)) => deed(file).map_err(|error| problem(kind_of(&error), &error)),
            None => Err(problem(Kind::Internal, &"the file is closed")),
        }
    }

    /// Reads once, at most as much as fits. Blocks: for the pool.
    pub(super) fn read(&self, bytes: usize) -> Result<Vec<u8>, Box<ErrorObject>> {
        let mut buffer = vec![0; bytes];
        let read = self.with(|file| uninterrupted(|| file.read(&mut buffer)))?;
        buffer.truncate(read);
        Ok(buffer)
    }
}

/// Repeats a call that a signal interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(held) = self.held.get_mut().take() {
            let closing = self.reactor.blocking().run(move || drop(held));
            // A pool that is closed, or a host that is, drops it all the same.
            self.tasks.spawn(async move { drop(closing.await) });
        }
    }
}

pub(super) const METHODS: [(&str, Method<FileObject>); 7] = [
    ("read", read),
    ("write", write),
    ("seek", seek),
    ("stat", |_, own, file, _| {
        let name = file.0.name.clone();
        let look = |file: &mut File| Ok(Stat::of(&file.metadata()?));
        with(own, file, look, |lua, stat| Reply::values(lua, table_of(lua, name, &stat)?))
    }),
    ("sync", |_, own, file, _| with(own, file, |file| file.sync_all(), |lua, ()| Reply::values(lua, true))),
    ("close", |lua, own, file, _| {
        if file.0.is_closed.swap(true, Ordering::Relaxed) {
            return Reply::values(lua, true);
        }
        let file = Arc::clone(&file.0);
        let close = move || {
            let held = file.held.lock().take();
            drop(held);
            Ok::<_, Box<ErrorObject>>(())
        };
        on_pool(own, close, |lua, ()| Reply::values(lua, true))
    }),
    ("scanner", |lua, own, file, args| {
        let split = args.optional_text()?;
        if file.0.is_closed() {
            return Err(ErrorObject::invalid(format!("`{}` is closed", file.0.name)).into());
        }
        Reply::values(lua, scan::ScannerObject::new(own, &file.0, split.as_deref())?)
    }),
];

/// Does something with the file on the pool.
fn with<T: Send + 'static>(
    own: &Own,
    file: &FileObject,
    deed: impl FnOnce(&mut File) -> io::Result<T> + Send + 'static,
    finish: impl FnOnce(&Lua, T) -> Answer + Send + 'static,
) -> Answer {
    let file = Arc::clone(&file.0);
    on_pool(own, move || file.with(deed), finish)
}

fn read(_: &Lua, own: &Arc<Own>, file: &FileObject, args: &mut Args) -> Answer {
    let bytes = match args.next() {
        Value::Nil => READ_BYTES,
        Value::Integer(count) if count > 0 => usize::try_from(count).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX),
        _ => return Err(args.bad("a number of bytes expected")),
    };
    let charge = own.usage.charge(bytes).map_err(no_memory)?;
    let file = Arc::clone(&file.0);
    let read = move || file.read(bytes).map(|read| (read, charge));
    on_pool(own, read, |lua, (bytes, _charge)| match bytes.is_empty() {
        false => Reply::values(lua, lua.create_string(bytes)?),
        true => Err(ErrorObject::new(Kind::NotFound, "EOF: the file has no more bytes").into()),
    })
}

fn write(_: &Lua, own: &Arc<Own>, file: &FileObject, args: &mut Args) -> Answer {
    let data = args.bytes()?;
    let data = data.as_bytes();
    let charge = own.usage.charge(data.len()).map_err(no_memory)?;
    let data = data.to_vec();
    let write = move |file: &mut File| {
        let _charge = charge;
        file.write_all(&data)
    };
    with(own, file, write, |lua, ()| Reply::values(lua, true))
}

fn seek(_: &Lua, own: &Arc<Own>, file: &FileObject, args: &mut Args) -> Answer {
    let whence = args.optional_text()?;
    let offset = if args.left() == 0 { 0 } else { args.integer()? };
    let place = place(whence.as_deref().unwrap_or("cur"), offset)?;
    with(own, file, move |file| file.seek(place), |lua, at| Reply::values(lua, i64::try_from(at).unwrap_or(i64::MAX)))
}

fn place(whence: &str, offset: i64) -> Result<SeekFrom, Refusal> {
    let refused = |message: String| Refusal::from(ErrorObject::invalid(message));
    match whence {
        "set" => match u64::try_from(offset) {
            Ok(offset) => Ok(SeekFrom::Start(offset)),
            Err(_) => Err(refused(format!("no file has a place {offset}"))),
        },
        "cur" => Ok(SeekFrom::Current(offset)),
        "end" => Ok(SeekFrom::End(offset)),
        other => Err(refused(format!("invalid whence \"{other}\", expected \"set\", \"cur\" or \"end\""))),
    }
}
