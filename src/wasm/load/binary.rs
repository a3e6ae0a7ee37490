//! The binaries that entries name, read once each and verified.

use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::guest::{CodeSpec, GuestSpec};
use super::{Sources, Threads, each, problem};
use crate::registry::{Diagnostic, Entry, EntryId, Hash, Registry, Severity, Span, Spec};

/// A binary as an entry names it: its bytes are only kept when they are the ones the entry wants.
pub(super) enum Binary {
    Verified {
        hash: Hash,
        bytes: Arc<[u8]>,
    },
    /// The one the entry wants, of which nobody wanted the bytes.
    Unwanted {
        hash: Hash,
        size: usize,
    },
    Refused(Diagnostic),
    /// The registry has told why already.
    NoVolume,
}

/// A file as it was found.
type Found = Option<Result<File, crate::volume::VolumeError>>;

struct File {
    hash: Hash,
    size: usize,
    /// Where somebody wants them.
    bytes: Option<Arc<[u8]>>,
}

fn hash_of(bytes: &[u8]) -> Hash {
    Hash::from_sha256(Sha256::digest(bytes).into())
}

/// What is read and hashed here before others help, in bytes: a thread costs as much as a quarter of a megabyte.
const ALONE_BYTES: usize = 2 << 20;

/// Reads each distinct file once, and each text.
///
/// # Errors
/// The threads for it could not be had.
pub(super) fn read_all(
    guests: &[(&Entry, GuestSpec<'_>)],
    sources: &Sources<'_>,
    is_wanted: impl Fn(&EntryId) -> bool + Send + Sync,
    threads: &Threads,
) -> io::Result<Vec<Binary>> {
    let mut places: HashMap<(&EntryId, &str), usize> = HashMap::new();
    let mut distinct = Vec::new();
    for (entry, spec) in guests {
        if let CodeSpec::File { fs, path, .. } = spec.code {
            let place = *places.entry((fs, path)).or_insert_with(|| {
                distinct.push((fs, path, false));
                distinct.len() - 1
            });
            distinct[place].2 |= is_wanted(entry.id());
        }
    }
    let read = |(fs, path, keeps): &(&EntryId, &str, bool), buffer: &mut Vec<u8>| -> Found {
        let volume = sources.volumes.get(fs)?;
        Some(volume.read_into(path, buffer).map(|()| {
            let bytes = keeps.then(|| Arc::from(buffer.as_slice()));
            File { hash: hash_of(buffer), size: buffer.len(), bytes }
        }))
    };
    let mut bytes: usize = guests.iter().map(|(_, spec)| spec.code.held()).sum();
    let (mut files, mut buffer) = (Vec::with_capacity(distinct.len()), Vec::new());
    while files.len() < distinct.len() && bytes <= ALONE_BYTES {
        let found = read(&distinct[files.len()], &mut buffer);
        bytes += found.as_ref().and_then(|found| found.as_ref().ok()).map_or(0, |file| file.size);
        files.push(found);
    }
    let pool = if bytes > ALONE_BYTES { Some(threads.pool()?) } else { None };
    files.extend(each(&distinct[files.len()..], pool, |place| read(place, &mut Vec::new())));
    Ok(each(guests, pool, |(entry, spec)| match spec.code {
        CodeSpec::ModuleText(text) => of_text(entry, text, true),
        CodeSpec::Text(text) => of_text(entry, text, false),
        CodeSpec::Binary(bytes) => Binary::Verified { hash: hash_of(bytes), bytes: Arc::clone(bytes) },
        CodeSpec::File { fs, path, hash } => of_file(entry, (fs, path, hash), &files[places[&(fs, path)]], sources),
    })
    .into_iter()
    .zip(guests)
    .map(|(binary, (entry, _))| if is_wanted(entry.id()) { binary } else { binary.unwanted() })
    .collect())
}

impl Binary {
    /// Without its bytes.
    fn unwanted(self) -> Self {
        match self {
            Self::Verified { hash, bytes } => Self::Unwanted { hash, size: bytes.len() },
            other => other,
        }
    }
}

fn of_file(entry: &Entry, (fs, path, wanted): (&EntryId, &str, &Hash), found: &Found, sources: &Sources<'_>) -> Binary {
    match found {
        None if made_later(sources.registry, fs) => {
            let message = format!("no file `{path}` in `{fs}`, whose directory does not exist");
            Binary::Refused(problem(entry, "unreadable-binary", "path", message))
        }
        None => Binary::NoVolume,
        Some(Err(error)) => {
            let refused = problem(entry, "unreadable-binary", "path", error.to_string());
            Binary::Refused(error.source().into_iter().fold(refused, |told, cause| told.note(cause.to_string())))
        }
        Some(Ok(File { hash, size, bytes })) if hash == wanted => match bytes {
            Some(bytes) => Binary::Verified { hash: *hash, bytes: Arc::clone(bytes) },
            None => Binary::Unwanted { hash: *hash, size: *size },
        },
        Some(Ok(File { hash: found, .. })) => Binary::Refused(
            problem(entry, "hash-mismatch", "hash", format!("the binary `{path}` is not the one that was meant"))
                .expected(format!("{wanted} (as written)"))
                .note(format!("found {found} (the file)"))
                .help(format!("if the file is right, write `hash: {found}`, the line that `wippy hash FILE` prints")),
        ),
    }
}

/// The binary of a text; there is no hash to hold it against.
fn of_text(entry: &Entry, text: &str, must_be_module: bool) -> Binary {
    match wat::parse_str(text) {
        // The layer of its preamble is that of a component.
        Ok(bytes) if must_be_module && bytes.get(6) == Some(&1) => Binary::Refused(
            problem(entry, "invalid-binary", "source", "the text is a component".to_owned())
                .expected("a core module: `(module ...)`")
                .help("compile it, and name the binary in a `function.wasm`"),
        ),
        Ok(bytes) => Binary::Verified { hash: hash_of(&bytes), bytes: Arc::from(bytes) },
        Err(error) => {
            let told = error.to_string();
            let message = format!("the text is no WebAssembly: {}", told.lines().next().unwrap_or(&told));
            Binary::Refused(match place_of(&told) {
                // In code it is at the place where the entry is made.
                Some(part) => {
                    entry.problem_in_text(Severity::Error, "invalid-binary", &["source"], text, part, message)
                }
                None => problem(entry, "invalid-binary", "source", message),
            })
        }
    }
}

/// The place that the parser of texts names in the second line of an error: `--> <anon>:LINE:COLUMN`.
fn place_of(told: &str) -> Option<Span> {
    let (_, place) = told.lines().nth(1)?.split_once("<anon>:")?;
    let (line, column) = place.trim().split_once(':')?;
    Some(Span { line: line.parse().ok()?, column: column.parse().ok()?, len: 0 })
}

/// Whether the directory of a volume that is not there would be made by a run.
fn made_later(registry: &Registry, volume: &EntryId) -> bool {
    matches!(registry.get(volume).map(Entry::spec), Some(Spec::FsDirectory(directory)) if directory.auto_init)
}
