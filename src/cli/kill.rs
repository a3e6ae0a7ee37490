//! `wippy kill` and `wippy cancel`: the end of a process in another program.

use std::fmt;

use super::args::{CancelArgs, KillArgs, WantedArg};
use super::exit::SUCCESS;
use super::peers::{Seen, look_once};
use super::report::{CommandError, Terminal};
use crate::control::{ControlError, Peer, REASON_BYTES_MAX};
use crate::process::Pid;

pub(super) fn kill(args: &KillArgs, terminal: Terminal) -> Result<u8, CommandError> {
    let (peer, pid) = find("kill", &args.wanted, &look_once(&args.wanted.runtime, terminal)?)?;
    told(&args.wanted.pid, peer.terminate(&pid))
}

pub(super) fn cancel(args: &CancelArgs, terminal: Terminal) -> Result<u8, CommandError> {
    if args.reason.len() > REASON_BYTES_MAX {
        let length = args.reason.len();
        return Err(CommandError::usage(format!("`--reason`: {}", ControlError::LongReason(length))));
    }
    let (peer, pid) = find("cancel", &args.wanted, &look_once(&args.wanted.runtime, terminal)?)?;
    told(&args.wanted.pid, peer.cancel(&pid, &args.reason))
}

/// A process as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// With its host.
    Pid(Pid),
    /// The number alone.
    Number(u64),
}

impl Wanted {
    /// Reads `{host|0x00001}`, which may lack its braces, or `0x00001`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // Decimal digits would name another process than they show where somebody left the `0x` out.
        let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if let Some(number) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            return Ok(Self::Number(number));
        }
        let braced = if text.contains('|') && !text.starts_with('{') { format!("{{{text}}}") } else { text.to_owned() };
        let hint = "write it as `wippy ps` shows it, in quotes: '{app:processes|0x00001}', or its number: 0x00001";
        braced.parse().map(Self::Pid).map_err(|_| format!("`{text}` is not a pid; {hint}"))
    }

    fn is(&self, pid: &Pid) -> bool {
        match self {
            Self::Pid(wanted) => (wanted.host(), wanted.unique()) == (pid.host(), pid.unique()),
            Self::Number(number) => *number == pid.unique(),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "{pid}"),
            Self::Number(number) => write!(f, "{number:#07x}"),
        }
    }
}

/// The one process that is meant, and its runtime.
fn find(command: &str, wanted: &WantedArg, seen: &[Seen]) -> Result<(Peer, Pid), CommandError> {
    let mut found = Vec::new();
    for Seen { peer, processes, .. } in seen {
        let pids = processes.iter().filter_map(|process| process.pid.parse::<Pid>().ok());
        found.extend(pids.filter(|pid| wanted.pid.is(pid)).map(|pid| (peer.clone(), pid)));
    }
    match found.len() {
        0 => Err(unknown(&wanted.pid)),
        1 => Ok(found.remove(0)),
        _ => {
            let pid = &wanted.pid;
            let runtimes: Vec<_> = found.iter().map(|(peer, _)| format!("`{}`", peer.id())).collect();
            Err(CommandError::failed(format!("several runtimes have a process `{pid}`: {}", runtimes.join(", ")))
                .help(format!("choose one: `wippy {command} --runtime {} '{pid}'`", found[0].0.id())))
        }
    }
}

fn unknown(pid: &Wanted) -> CommandError {
    CommandError::failed(format!("no process `{pid}`")).help("`wippy ps` shows those that there are")
}

fn told(pid: &Wanted, asked: Result<(), ControlError>) -> Result<u8, CommandError> {
    match asked {
        Ok(()) => Ok(SUCCESS),
        // It has ended since it was looked at.
        Err(ControlError::UnknownProcess(_) | ControlError::Gone) => Err(unknown(pid)),
        Err(error) => Err(CommandError::failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::RuntimeArg;
    use super::super::ps::tests::{process, seen};
    use super::*;

    fn wanted(text: &str) -> WantedArg {
        WantedArg { pid: Wanted::parse(text).expect("a pid"), runtime: RuntimeArg { id: None } }
    }

    #[test]
    fn a_pid_is_read_in_each_of_its_forms() {
        let full = Wanted::parse("{app:host|0x0002a}").expect("a pid");
        assert_eq!(full.to_string(), "{app:host|0x0002a}");
        assert_eq!(Wanted::parse("app:host|0x2a"), Ok(full));
        assert_eq!(Wanted::parse("0x2a"), Ok(Wanted::Number(42)));
        assert_eq!(Wanted::Number(42).to_string(), "0x0002a");
        for wrong in ["42", "2a", "", "0x", "0xg", "{42}", "app:host", "app|0x1", "0x1ffffffffffffffff", "-1"] {
            let error = Wanted::parse(wrong).expect_err(wrong);
            assert!(error.starts_with(&format!("`{wrong}` is not a pid; write it as")), "{error}");
        }
    }

    #[test]
    fn one_process_is_found_and_several_are_told_apart() {
        let all =
            [seen(7, &[process(1, "app:a", &[]), process(2, "app:b", &[])]), seen(8, &[process(1, "app:a", &[])])];
        let (peer, pid) = find("kill", &wanted("0x2"), &all).expect("one");
        assert_eq!((peer.id().as_str(), pid.to_string().as_str()), ("7-1", "{app:host|0x00002}"));
        for text in ["0x1", "app:host|0x1"] {
            let error = find("kill", &wanted(text), &all).expect_err("two");
            let text = error.to_string();
            assert!(text.contains("several runtimes have a process") && text.contains("`7-1`, `8-1`"), "{text}");
            assert!(text.contains("choose one: `wippy kill --runtime 7-1 '"), "{text}");
            assert_eq!(error.code(), 1);
        }
        let error = find("kill", &wanted("app:other|0x2"), &all).expect_err("another host");
        assert_eq!(
            error.to_string(),
            "error: no process `{app:other|0x00002}`\n  = help: `wippy ps` shows those that there are\n"
        );
    }
}
