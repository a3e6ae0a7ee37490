//! `fs`: the files of the application's volumes. The system is asked on the blocking pool; only the coroutine that called waits.

mod file;
mod scan;

use std::io::{self, Read, Write};
use std::sync::Arc;

use mlua::{Lua, Table, UserData, UserDataFields, Value};
use parking_lot::Mutex;

use self::file::{FileObject, OpenFile};
use self::scan::ScannerObject;
use super::object::{self, Method, Object};
use crate::limits::{Charge, LimitExceeded, Permit, Usage};
use crate::lua::call::{Answer, Args, Finish, Refusal, Reply};
use crate::lua::error::{self, ErrorObject, Kind};
use crate::lua::own::{self, Held, Own};
use crate::lua::pool::on_pool;
use crate::lua::vm::Builder;
use crate::process::MAILBOX_BYTES;
use crate::registry::EntryId;
use crate::volume::{FileMode, Listed, Stat, Volume, VolumeError};

/// The largest file that is read as a whole, in bytes: what a text becomes in a VM is copied at once. Larger ones are opened
/// and read in parts.
const FILE_BYTES_MAX: usize = MAILBOX_BYTES;

/// How much more is read at once of a file that turns out longer than it said.
const GROWTH_BYTES: usize = 64 << 10;

/// What a volume takes outside of the VM, in bytes: mostly the path of its folder, which the system bounds.
const VOLUME_BYTES: usize = 4096;

/// The key of the function that goes through a listing.
const NEXT: &str = "fs.next";

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let lua = builder.lua;
    object::install::<VolumeObject>(builder, &METHODS)?;
    object::install::<FileObject>(builder, &file::METHODS)?;
    object::install::<ScannerObject>(builder, &scan::METHODS)?;
    lua.set_named_registry_value(NEXT, builder.function("readdir", next)?)?;
    let fields = lua.create_table()?;
    fields.raw_set("get", builder.function("get", get)?)?;
    fields.raw_set("type", lua.create_table_from([("FILE", kind(false)), ("DIR", kind(true))])?)?;
    fields.raw_set("seek", lua.create_table_from([("SET", "set"), ("CUR", "cur"), ("END", "end")])?)?;
    Ok(fields)
}

/// What `type` says.
fn kind(is_dir: bool) -> &'static str {
    if is_dir { "directory" } else { "file" }
}

impl From<VolumeError> for Box<ErrorObject> {
    fn from(error: VolumeError) -> Self {
        let kind = match &error {
            VolumeError::NoFile { .. } => Kind::NotFound,
            VolumeError::Denied { .. } | VolumeError::Outside { .. } => Kind::PermissionDenied,
            VolumeError::Exists { .. } => Kind::AlreadyExists,
            VolumeError::NotAFile { .. }
            | VolumeError::NotADirectory { .. }
            | VolumeError::NotEmpty { .. }
            | VolumeError::TooLarge { .. }
            | VolumeError::TooMany { .. } => Kind::Invalid,
            VolumeError::Read { source, .. } | VolumeError::Change { source, .. } => kind_of(source),
            _ => Kind::Internal,
        };
        Self::new(ErrorObject::caused(kind, &error))
    }
}

/// The kind of an answer of the system.
fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::PermissionDenied,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => Kind::Invalid,
        _ => Kind::Internal,
    }
}

/// A volume as scripts have it.
struct VolumeObject {
    volume: Volume,
    /// Where relative paths begin, from the root.
    folder: Arc<Mutex<String>>,
    _held: Held,
}

impl UserData for VolumeObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        object::add_methods(fields);
    }
}

impl Object for VolumeObject {
    const NAME: &'static str = "volume";
}

const METHODS: [(&str, Method<VolumeObject>); 13] = [
    ("readfile", read_file),
    ("read_file", read_file),
    ("writefile", write_file),
    ("write_file", write_file),
    ("exists", exists),
    ("stat", |_, own, volume, args| {
        let path = volume.path(args)?;
        let name = base_name(&path);
        volume.on_pool(
            own,
            move |volume| volume.stat(&path),
            |lua, stat| Reply::values(lua, table_of(lua, name, &stat)?),
        )
    }),
    ("isdir", |_, own, volume, args| {
        let path = volume.path(args)?;
        volume.on_pool(own, move |volume| volume.stat(&path), |lua, stat| Reply::values(lua, stat.is_dir))
    }),
    ("mkdir", |lua, own, volume, args| volume.change(lua, own, args, Volume::make_folder)),
    ("remove", |lua, own, volume, args| volume.change(lua, own, args, Volume::remove)),
    ("readdir", |_, own, volume, args| {
        let path = volume.path(args)?;
        let usage = Arc::clone(&own.usage);
        let list = move |volume: &Volume| {
            let listed = volume.list(&path)?;
            let bytes = listed.iter().map(|entry| size_of::<Listed>() + entry.name.len()).sum();
            let charge = usage.charge(bytes).map_err(no_memory)?;
            Ok::<_, Box<ErrorObject>>(Listing(Mutex::new((listed.into_iter(), charge))))
        };
        volume.on_pool(own, list, |lua, listing| {
            let next: mlua::Function = lua.named_registry_value(NEXT)?;
            Reply::values(lua, (next, listing))
        })
    }),
    ("open", |_, own, volume, args| {
        let path = volume.path(args)?;
        let mode = mode(args, &[("r", FileMode::Read)], FileMode::Read)?;
        let permit = permit(own)?;
        let file = OpenFile::of(own, base_name(&path), permit);
        let open = move |volume: &Volume| volume.open_file(&path, mode).map(|opened| file.holding(opened));
        volume.on_pool(own, open, |lua, file| Reply::values(lua, FileObject::new(lua, file)?))
    }),
    ("chdir", |lua, own, volume, args| {
        let path = volume.path(args)?;
        let folder = Arc::clone(&volume.folder);
        let changed = volume.on_pool(
            own,
            move |volume| volume.folder(&path),
            move |lua, found| {
                *folder.lock() = if found == "." { String::new() } else { found };
                Reply::values(lua, true)
            },
        );
        or_false(lua, changed)
    }),
    ("pwd", |lua, _, volume, _| Reply::values(lua, format!("/{}", volume.folder.lock()))),
];

impl VolumeObject {
    /// The next argument, which is a path, from the root.
    fn path(&self, args: &mut Args) -> Result<String, Refusal> {
        let path = args.text()?;
        if path.is_empty() || path.contains('\0') {
            let what = if path.is_empty() { "is empty" } else { "contains a zero byte" };
            return Err(ErrorObject::invalid(format!("the path {what}")).into());
        }
        let folder = self.folder.lock();
        Ok(if path.starts_with('/') || folder.is_empty() { path } else { format!("{folder}/{path}") })
    }

    /// Does `job` on the blocking pool.
    fn on_pool<T: Send + 'static, E: Into<Box<ErrorObject>> + Send + 'static>(
        &self,
        own: &Own,
        job: impl FnOnce(&Volume) -> Result<T, E> + Send + 'static,
        finish: impl FnOnce(&Lua, T) -> Answer + Send + 'static,
    ) -> Answer {
        let volume = self.volume.clone();
        on_pool(own, move || job(&volume), finish)
    }

    /// Changes something by its path: `true`, or `false` and why not.
    fn change(
        &self,
        lua: &Lua,
        own: &Own,
        args: &mut Args,
        deed: fn(&Volume, &str) -> Result<(), VolumeError>,
    ) -> Answer {
        let path = match self.path(args) {
            Ok(path) => path,
            Err(refusal) => return or_false(lua, Err(refusal)),
        };
        or_false(lua, self.on_pool(own, move |volume| deed(volume, &path), |lua, ()| Reply::values(lua, true)))
    }
}

fn get(lua: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let text = args.text()?;
    let id = EntryId::resolve(&text, own.entry.namespace()).map_err(|error| ErrorObject::invalid(error.to_string()))?;
    // Before anybody looks: who may not have it learns nothing of what there is.
    own.peers.check_allowed("fs.get", "access filesystem", &id)?;
    match own.shared.world.volumes.get(&id) {
        Some(volume) => Reply::values(
            lua,
            VolumeObject { volume: volume.clone(), folder: Arc::default(), _held: own::hold(lua, VOLUME_BYTES)? },
        ),
        None => Err(ErrorObject::new(Kind::NotFound, format!("filesystem not found: {id}")).into()),
    }
}

/// The answer, with `false` instead of `nil` before an error.
fn or_false(lua: &Lua, answer: Answer) -> Answer {
    match answer {
        Err(Refusal::Error(object)) => Reply::values(lua, (false, error::to_lua(lua, *object)?)),
        Ok(Reply::Wait(reason, waiting)) => Ok(Reply::Wait(
            reason,
            Box::pin(async move {
                let finish = waiting.await;
                let finish: Finish = Box::new(move |lua| or_false(lua, finish(lua)));
                finish
            }),
        )),
        answer => answer,
    }
}

/// The right to hold one more file.
fn permit(own: &Own) -> Result<Permit, Box<ErrorObject>> {
    own.usage.open_file().ok_or_else(|| {
        let allowed = own.usage.limits().max_open_files.unwrap_or(u64::MAX);
        let message =
            format!("a process may have {allowed} files open at once: `max_open_files` under `limits:` of its entry");
        ErrorObject::new(Kind::RateLimited, message).into()
    })
}

fn no_memory(limit: LimitExceeded) -> Box<ErrorObject> {
    ErrorObject::new(Kind::Unavailable, limit.to_string()).into()
}

/// The next argument, which says how a file is opened; `also` beside the modes that write.
fn mode(args: &mut Args, also: &[(&str, FileMode)], otherwise: FileMode) -> Result<FileMode, Refusal> {
    let Some(text) = args.optional_text()? else { return Ok(otherwise) };
    let writing = [("w", FileMode::Write), ("a", FileMode::Append), ("wx", FileMode::WriteNew)];
    let known = || also.iter().chain(&writing);
    match known().find(|(name, _)| *name == text) {
        Some((_, mode)) => Ok(*mode),
        None => {
            let names: Vec<_> = known().map(|(name, _)| format!("\"{name}\"")).collect();
            let message = format!("invalid mode \"{text}\", expected one of {}", names.join(", "));
            Err(ErrorObject::invalid(message).into())
        }
    }
}

/// The last name of a path; `.` for the root.
fn base_name(path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if name.is_empty() { ".".to_owned() } else { name.to_owned() }
}

/// What is known of a file, as scripts have it.
fn table_of(lua: &Lua, name: String, stat: &Stat) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("name", name)?;
    table.raw_set("size", i64::try_from(stat.size).unwrap_or(i64::MAX))?;
    table.raw_set("mode", stat.mode)?;
    table.raw_set("modified", stat.modified)?;
    table.raw_set("is_dir", stat.is_dir)?;
    table.raw_set("type", kind(stat.is_dir))?;
    Ok(table)
}

fn exists(_: &Lua, own: &Arc<Own>, volume: &VolumeObject, args: &mut Args) -> Answer {
    let path = volume.path(args)?;
    let look = move |volume: &Volume| match volume.stat(&path) {
        Ok(_) => Ok(true),
        Err(VolumeError::NoFile { .. }) => Ok(false),
        Err(error) => Err(error),
    };
    volume.on_pool(own, look, Reply::values)
}

fn read_file(_: &Lua, own: &Arc<Own>, volume: &VolumeObject, args: &mut Args) -> Answer {
    let path = volume.path(args)?;
    let (usage, permit) = (Arc::clone(&own.usage), permit(own)?);
    let read = move |volume: &Volume| {
        let _permit = permit;
        let mut file = volume.open_file(&path, FileMode::Read)?;
        let failed = |source| VolumeError::Read { volume: volume.id().clone(), path: path.clone(), source };
        let size = usize::try_from(file.metadata().map_err(failed)?.len()).unwrap_or(usize::MAX);
        let too_large = || VolumeError::TooLarge {
            volume: volume.id().clone(),
            path: path.clone(),
            bytes_max: FILE_BYTES_MAX as u64,
        };
        if size > FILE_BYTES_MAX {
            return Err(too_large().into());
        }
        match read_all(&mut file, size, &usage) {
            Ok((bytes, _)) if bytes.len() > FILE_BYTES_MAX => Err(too_large().into()),
            Ok(read) => Ok(read),
            Err(Unread::System(error)) => Err(failed(error).into()),
            Err(Unread::NoMemory(limit)) => Err(no_memory(limit)),
        }
    };
    volume.on_pool(own, read, |lua, (bytes, _charges): (Vec<u8>, Vec<Charge>)| {
        Reply::values(lua, lua.create_string(bytes)?)
    })
}

enum Unread {
    System(io::Error),
    NoMemory(LimitExceeded),
}

/// All bytes of a file that says it has `size`, and what the process is charged for them. A file that grows meanwhile is
/// read on, up to a little more than a file may have.
fn read_all(file: &mut impl Read, size: usize, usage: &Arc<Usage>) -> Result<(Vec<u8>, Vec<Charge>), Unread> {
    let (mut bytes, mut charges) = (Vec::new(), Vec::new());
    // One more: a file that is as long as it says ends there.
    let mut room = size + 1;
    loop {
        charges.push(usage.charge(room).map_err(Unread::NoMemory)?);
        bytes.reserve_exact(room);
        let read = file.by_ref().take(room as u64).read_to_end(&mut bytes).map_err(Unread::System)?;
        if read < room || bytes.len() > FILE_BYTES_MAX {
            return Ok((bytes, charges));
        }
        room = GROWTH_BYTES;
    }
}

fn write_file(lua: &Lua, own: &Arc<Own>, volume: &VolumeObject, args: &mut Args) -> Answer {
    let write = |args: &mut Args| {
        let path = volume.path(args)?;
        let data = args.bytes()?;
        let mode = mode(args, &[], FileMode::Write)?;
        let bytes = data.as_bytes();
        let held = (own.usage.charge(bytes.len()).map_err(no_memory)?, permit(own)?);
        let bytes = bytes.to_vec();
        let write = move |volume: &Volume| {
            let _held = held;
            let mut file = volume.open_file(&path, mode)?;
            let failed = |source| VolumeError::Change { volume: volume.id().clone(), path: path.clone(), source };
            file.write_all(&bytes).map_err(failed)
        };
        volume.on_pool(own, write, |lua, ()| Reply::values(lua, true))
    };
    or_false(lua, write(args))
}

/// What is left of a folder's names.
struct Listing(Mutex<(std::vec::IntoIter<Listed>, Charge)>);

impl UserData for Listing {}

/// The next name of a listing.
fn next(lua: &Lua, _: &Arc<Own>, args: &mut Args) -> Answer {
    let listing = match args.next() {
        Value::UserData(object) if object.is::<Listing>() => object,
        _ => return Err(args.bad("the state that `readdir` gives expected")),
    };
    let entry = listing.borrow::<Listing>()?.0.lock().0.next();
    let Some(entry) = entry else { return Reply::values(lua, Value::Nil) };
    let table = lua.create_table()?;
    table.raw_set("name", lua.create_string(&entry.name)?)?;
    table.raw_set("type", kind(entry.is_dir))?;
    Reply::values(lua, table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn a_file_that_grows_is_read_on_and_charged() {
        let usage = Arc::<Usage>::default();
        let grown = vec![7; 3 * GROWTH_BYTES];
        let (bytes, charges) = read_all(&mut &grown[..], 10, &usage).ok().unwrap();
        assert_eq!(bytes, grown);
        assert!(usage.memory() >= grown.len() as u64, "{}", usage.memory());
        drop(charges);
        assert_eq!(usage.memory(), 0);
    }

    #[test]
    fn what_does_not_fit_the_process_is_not_read() {
        let limits = Limits { max_memory: Some(100), ..Limits::default() };
        let usage = Arc::new(Usage::new(limits, 0));
        assert!(matches!(read_all(&mut &[0; 200][..], 200, &usage), Err(Unread::NoMemory(_))));
        assert_eq!(usage.memory(), 0);
        assert!(read_all(&mut &[0; 99][..], 99, &usage).is_ok());
    }

    #[test]
    fn the_last_name_of_a_path() {
        let names = ["/", ".", "a", "/a/b.txt", "a/b/"].map(base_name);
        assert_eq!(names, [".", ".", "a", "b.txt", "b"]);
    }
}
