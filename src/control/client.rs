//! The side of whoever asks.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::folder::check;
use super::line::Line;
use super::protocol::{Answer, Request, write};
use super::server::check_peer;
use super::{ANSWER_BYTES_MAX, ANSWER_TIME, ControlError, Folders, ProcessInfo, REASON_BYTES_MAX, RuntimeInfo};
use crate::process::Pid;

/// A runtime that serves, or did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// The number of its program, then which of its runtimes: what they are sorted by.
    name: (u32, u32),
    socket: PathBuf,
}

/// The runtimes that have a socket in these folders, and the folders that can't be trusted or read. A folder that is not
/// there has none.
///
/// ```
/// use wippy::control::{Folders, runtimes};
///
/// let (runtimes, problems) = runtimes(&Folders::of_user());
/// for runtime in runtimes {
///     println!("{}", runtime.id());
/// }
/// # let _ = problems;
/// ```
#[must_use]
pub fn runtimes(folders: &Folders) -> (Vec<Peer>, Vec<ControlError>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for folder in folders.paths() {
        match in_folder(folder) {
            Ok(peers) => found.extend(peers),
            Err(ControlError::Path { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(problem) => problems.push(problem),
        }
    }
    found.sort();
    (found, problems)
}

fn in_folder(folder: &Path) -> Result<Vec<Peer>, ControlError> {
    check(folder)?;
    let failed = |error| ControlError::path(folder, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Some(name) = entry.file_name().to_str().and_then(name_of) {
            found.push(Peer { name, socket: entry.path() });
        }
    }
    Ok(found)
}

/// The program and the number in the name of a socket.
fn name_of(file: &str) -> Option<(u32, u32)> {
    let (program, number) = file.strip_suffix(".sock")?.split_once('-')?;
    Some((program.parse().ok()?, number.parse().ok()?))
}

impl Peer {
    /// One that nobody can ask.
    #[cfg(all(test, feature = "cli"))]
    pub(crate) fn for_tests(program: u32) -> Self {
        Self { name: (program, 1), socket: PathBuf::new() }
    }

    /// Its name among the runtimes of its user, for example `4711-1`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.name.0, self.name.1)
    }

    /// The process number of its program.
    #[must_use]
    pub fn program(&self) -> u32 {
        self.name.0
    }

    /// The runtime and its living processes, by the numbers of their pids.
    ///
    /// # Errors
    /// [`ControlError::Gone`] when it has ended; its socket is removed then. What else can go wrong is in the other
    /// cases.
    pub fn processes(&self) -> Result<(RuntimeInfo, Vec<ProcessInfo>), ControlError> {
        let answer = self.ask(&Request::Processes)?;
        let mut lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let (runtime, count) = match parse(lines.next().unwrap_or_default())? {
            Answer::Processes { runtime, count } => (runtime, count),
            other => return Err(unexpected(other)),
        };
        let processes = lines.map(parse).collect::<Result<Vec<ProcessInfo>, _>>()?;
        if processes.len() != count {
            return Err(ControlError::Answer(format!("it has {} of {count} processes", processes.len())));
        }
        Ok((runtime, processes))
    }

    /// Asks a process to end: a guest ends when it next waits for something.
    ///
    /// # Errors
    /// [`ControlError::UnknownProcess`], and as [`Peer::processes`].
    pub fn cancel(&self, pid: &Pid, reason: &str) -> Result<(), ControlError> {
        if reason.len() > REASON_BYTES_MAX {
            return Err(ControlError::LongReason(reason.len()));
        }
        self.end(pid, &Request::Cancel { pid: pid.to_string(), reason: reason.to_owned() })
    }

    /// Ends a process by force.
    ///
    /// # Errors
    /// As [`Peer::cancel`].
    pub fn terminate(&self, pid: &Pid) -> Result<(), ControlError> {
        self.end(pid, &Request::Terminate { pid: pid.to_string() })
    }

    fn end(&self, pid: &Pid, request: &Request) -> Result<(), ControlError> {
        match parse(self.ask(request)?.as_slice())? {
            Answer::Asked => Ok(()),
            Answer::UnknownProcess => Err(ControlError::UnknownProcess(pid.to_string())),
            other => Err(unexpected(other)),
        }
    }

    /// The whole answer.
    fn ask(&self, request: &Request) -> Result<Vec<u8>, ControlError> {
        let stream = self.connect()?;
        check_peer(&stream)?;
        let mut said = Vec::new();
        write(request, &mut said);
        let answer = Line::new(stream, ANSWER_TIME, None).and_then(|mut line| {
            line.write_all(&said)?;
            line.read_all(ANSWER_BYTES_MAX)
        });
        match answer {
            Ok(Some(answer)) if answer.is_empty() => Err(ControlError::Gone),
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(ControlError::LongAnswer),
            Err(error) => Err(ControlError::Connection(error)),
        }
    }

    fn connect(&self) -> Result<UnixStream, ControlError> {
        let failed = |errno: Errno| ControlError::Connection(errno.into());
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
        // A full line makes a connection wait, as long as a send may.
        set_socket_timeout(&fd, Timeout::Send, Some(ANSWER_TIME)).map_err(failed)?;
        let address = SocketAddrUnix::new(&self.socket).map_err(failed)?;
        match rustix::net::connect(&fd, &address) {
            Ok(()) => Ok(fd.into()),
            Err(Errno::NOENT) => Err(ControlError::Gone),
            Err(Errno::CONNREFUSED) => {
                // It listened before it had its name. Another client may have been quicker.
                let _ = std::fs::remove_file(&self.socket);
                Err(ControlError::Gone)
            }
            Err(errno) => Err(failed(errno)),
        }
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(line: &'a [u8]) -> Result<T, ControlError> {
    serde_json::from_slice(line).map_err(|error| ControlError::Answer(error.to_string()))
}

fn unexpected(answer: Answer) -> ControlError {
    match answer {
        Answer::Refused { why } => ControlError::Refused(why),
        other => ControlError::Answer(format!("it is `{other:?}`")),
    }
}
