//! The side of the runtime: one thread, one client at a time.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::folder::prepare;
use super::line::{Line, wait};
use super::protocol::{Answer, Request, write};
use super::{
    CLIENTS_WAITING_MAX, ControlError, Folders, ProcessInfo, REASON_BYTES_MAX, REQUEST_BYTES_MAX, RuntimeInfo,
    SERVE_TIME, SOCKETS_MAX,
};
use crate::process::{Manager, Pid, ProcessHandle};

/// The name of the thread.
const THREAD_NAME: &str = "wippy-control";

/// Its stack: it parses small texts.
const STACK_BYTES: usize = 256 * 1024;

/// What may be done with the socket: everything by its owner, nothing by anybody else.
const SOCKET_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// How long the thread leaves clients alone after the system refused to give it one: it has no descriptor left.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// A runtime that answers to `wippy ps`, `kill` and `cancel` as long as this lives. Dropping it removes the socket and ends
/// the thread.
#[derive(Debug)]
pub struct Server {
    info: RuntimeInfo,
    socket: PathBuf,
    /// Its end is the end of the thread.
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Makes the socket in the first of the folders where that works, and the thread. The socket is named after the program
    /// and the runtime in it, for example `4711-1.sock`.
    ///
    /// The manager is held only while a request is answered: this keeps no runtime alive.
    ///
    /// # Errors
    /// No folder takes the socket (the error is that of the last one), or there is no thread.
    pub fn start(manager: Weak<Manager>, app: &Path, folders: &Folders) -> Result<Self, ControlError> {
        let mut bound = Err(ControlError::Refused("there is no folder for its socket".to_owned()));
        for folder in folders.paths() {
            bound = prepare(folder).and_then(|()| bind(folder));
            if bound.is_ok() {
                break;
            }
        }
        let Bound { listener, socket, id } = bound?;
        let info = RuntimeInfo {
            id,
            program: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            app: app.display().to_string(),
            uptime_ns: 0,
        };
        // From here on the drop of this removes the socket.
        let mut server = Self { info, socket, end: None, thread: None };
        let failed = |error| ControlError::path(&server.socket, error);
        let (end, ended) = UnixStream::pair().map_err(failed)?;
        let serving = Serving { manager, info: server.info.clone(), began: Instant::now(), listener, ended };
        let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned()).stack_size(STACK_BYTES);
        server.thread = Some(thread.spawn(move || serving.run()).map_err(failed)?);
        server.end = Some(end);
        Ok(server)
    }

    /// The name of the runtime among those of its user.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.info.id
    }

    /// Where its socket is.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Somebody may have been quicker, and nobody can be told.
        let _ = std::fs::remove_file(&self.socket);
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Bound {
    listener: UnixListener,
    socket: PathBuf,
    id: String,
}

/// A listening socket under the first free name.
///
/// It listens before it has that name: one by which nobody answers is that of a runtime that has ended, and whoever finds it
/// may remove it.
fn bind(folder: &Path) -> Result<Bound, ControlError> {
    for number in 1..=SOCKETS_MAX {
        let id = format!("{}-{number}", std::process::id());
        let [starting, socket] = ["new", "sock"].map(|ending| folder.join(format!("{id}.{ending}")));
        let Some(listener) = listen(&starting)? else { continue };
        // Unlike a change of the name, this replaces nobody.
        let named = std::fs::hard_link(&starting, &socket);
        let _ = std::fs::remove_file(&starting);
        match named {
            Ok(()) => return Ok(Bound { listener, socket, id }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ControlError::path(socket, error)),
        }
    }
    Err(ControlError::TooMany { path: folder.to_owned() })
}

/// A listening socket under this name, if it is free.
fn listen(path: &Path) -> Result<Option<UnixListener>, ControlError> {
    let failed = |errno: Errno| ControlError::path(path, errno);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
    // Before it has a name: the file is made with these bits, so there is no moment in which it has others.
    rustix::fs::fchmod(&fd, SOCKET_MODE).map_err(failed)?;
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    match rustix::net::bind(&fd, &address) {
        Ok(()) => {}
        Err(Errno::ADDRINUSE) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
    }
    match rustix::net::listen(&fd, CLIENTS_WAITING_MAX) {
        Ok(()) => Ok(Some(fd.into())),
        Err(errno) => {
            let _ = std::fs::remove_file(path);
            Err(failed(errno))
        }
    }
}

/// The user at the other end is the one who runs this program.
///
/// # Errors
/// It is another one, or the kernel can't name it, which it can't for a program that this one can't see.
pub(super) fn check_peer(stream: &UnixStream) -> Result<(), ControlError> {
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|errno| ControlError::Connection(errno.into()))?;
    if peer.uid == rustix::process::geteuid() {
        Ok(())
    } else {
        Err(ControlError::ForeignPeer { user: peer.uid.as_raw() })
    }
}

/// What the thread has.
struct Serving {
    manager: Weak<Manager>,
    info: RuntimeInfo,
    began: Instant,
    listener: UnixListener,
    /// At its end when the server is dropped.
    ended: UnixStream,
}

impl Serving {
    fn run(self) {
        loop {
            let ended = PollFd::from_borrowed_fd(self.ended.as_fd(), PollFlags::IN);
            let mut watched = [ended, PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN)];
            if let Err(error) = wait(&mut watched, None) {
                tracing::error!(%error, "the control socket is not served any more");
                return;
            }
            if !watched[0].revents().is_empty() {
                return;
            }
            match self.listener.accept() {
                Ok((stream, _)) => self.serve(stream),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        tracing::warn!(%error, "a client of the control socket was not let in");
                        // The next wait tells whether it works again, or why not.
                        let _ = wait(&mut watched[..1], Some(REFUSED_PAUSE));
                    }
                },
            }
        }
    }

    /// Answers one client. What goes wrong with it is its own affair.
    fn serve(&self, stream: UnixStream) {
        if let Err(error) = check_peer(&stream) {
            tracing::warn!(%error, "a client of the control socket was turned away");
            return;
        }
        let answered = Line::new(stream, SERVE_TIME, Some(&self.ended)).and_then(|mut line| {
            let mut answer = Vec::new();
            match line.read_line(REQUEST_BYTES_MAX)? {
                Some(request) => self.answer(&request, &mut answer),
                None => {
                    let why = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
                    write(&Answer::Refused { why }, &mut answer);
                }
            }
            line.write_all(&answer)
        });
        if let Err(error) = answered {
            tracing::debug!(%error, "a client of the control socket was given up");
        }
    }

    fn answer(&self, request: &[u8], into: &mut Vec<u8>) {
        let Some(manager) = self.manager.upgrade() else {
            return write(&Answer::Refused { why: "the runtime is shutting down".to_owned() }, into);
        };
        let answer = match serde_json::from_slice(request) {
            Ok(Request::Processes) => {
                let processes = manager.processes();
                let uptime_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                let runtime = RuntimeInfo { uptime_ns, ..self.info.clone() };
                write(&Answer::Processes { runtime, count: processes.len() }, into);
                for process in processes {
                    write(&ProcessInfo::from(process), into);
                }
                return;
            }
            Ok(Request::Cancel { reason, .. }) if reason.len() > REASON_BYTES_MAX => {
                Answer::Refused { why: ControlError::LongReason(reason.len()).to_string() }
            }
            Ok(Request::Cancel { pid, reason }) => {
                tracing::info!(%pid, %reason, "asked to cancel");
                with(&manager, &pid, |process| process.cancel(&reason))
            }
            Ok(Request::Terminate { pid }) => {
                tracing::info!(%pid, "asked to terminate");
                with(&manager, &pid, ProcessHandle::terminate)
            }
            Err(error) => {
                let version = &self.info.version;
                Answer::Refused { why: format!("version {version} does not understand the request: {error}") }
            }
        };
        write(&answer, into);
    }
}

fn with(manager: &Manager, pid: &str, ask: impl FnOnce(&ProcessHandle)) -> Answer {
    match pid.parse::<Pid>() {
        Err(error) => Answer::Refused { why: error.to_string() },
        Ok(pid) => match manager.find(&pid) {
            None => Answer::UnknownProcess,
            Some(process) => {
                ask(&process);
                Answer::Asked
            }
        },
    }
}
