//! Which files of a folder are read.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use super::{Diagnostic, Diagnostics};

/// How deep folders are looked into.
const MAX_FOLDER_DEPTH: usize = 64;

/// How many definition files there may be.
const MAX_FILES: usize = 20_000;

/// How many things of any sort are looked at: somebody may start the program in `/`.
const MAX_SEEN: usize = 2_000_000;

/// All `*.yaml`, `*.yml` and `*.json` files below a folder, in the order of their names. Folders called `node_modules`
/// or as `skip` says are left out; links to folders are not followed, so there are no cycles.
pub(super) fn definition_files(root: &Path, skip: &[String], problems: &mut Diagnostics) -> Vec<PathBuf> {
    let mut walk = Walk { skip, files: Vec::new(), seen: 0, problems };
    walk.folder(root, 0);
    walk.files
}

struct Walk<'a> {
    skip: &'a [String],
    files: Vec<PathBuf>,
    seen: usize,
    problems: &'a mut Diagnostics,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) {
        let read = std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<DirEntry>, _>>());
        let mut entries = match read {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("the folder `{}` cannot be read: {error}", folder.display());
                let problem = Diagnostic::warning("unreadable-folder", message).note("it is skipped");
                self.problems.add(problem);
                return;
            }
        };
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            self.seen += 1;
            if self.seen > MAX_SEEN || self.files.len() > MAX_FILES {
                return self.too_many();
            }
            let (path, name) = (entry.path(), entry.file_name());
            // What vanishes meanwhile, or is a link to nowhere, is no file.
            let Ok(sort) = entry.file_type() else { continue };
            if sort.is_dir() {
                let skipped = name == "node_modules" || self.skip.iter().any(|skip| name == skip.as_str());
                if !skipped && depth < MAX_FOLDER_DEPTH {
                    self.folder(&path, depth + 1);
                }
            } else if is_definition(&path) && (sort.is_file() || (sort.is_symlink() && path.is_file())) {
                self.files.push(path);
            }
        }
    }

    fn too_many(&mut self) {
        let message = format!("there are more than {MAX_FILES} definition files (or {MAX_SEEN} files of any sort)");
        let problem = Diagnostic::error("too-many-files", message).help("is this the folder of an application?");
        self.problems.add(problem);
    }
}

fn is_definition(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}
