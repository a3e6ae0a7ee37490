//! `wippy ps --watch`: the table as it changes, on a terminal; JSON, an array a line, anywhere.

use std::time::{Duration, Instant};

use console::Term;

use super::args::PsArgs;
use super::exit::{SUCCESS, signal_code};
use super::peers::{Seen, look};
use super::ps::{as_json, as_lines};
use super::report::{CommandError, Terminal};
use super::signal::{Alarm, Signal};

/// Goes to a screen of its own, whose content is forgotten when it is left, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Goes back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Goes to the first place of the screen.
const HOME: &str = "\x1b[H";
/// Clears the line from the cursor on. Before the text: behind one that fills its line the cursor stands on its last character.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears everything behind the cursor.
const CLEAR_REST: &str = "\x1b[J";

pub(super) fn run(args: &PsArgs, terminal: Terminal) -> Result<u8, CommandError> {
    let screen = Term::stdout();
    if !args.json && !screen.is_term() {
        return Err(CommandError::usage("`--watch` draws on a terminal, and standard output is none")
            .help("for a program, add `--json`: an array a line")
            .help("for one look, leave `--watch` out"));
    }
    let alarm = Alarm::install().map_err(|error| CommandError::failed(error.to_string()))?;
    let signal = if args.json {
        let mut told = Vec::new();
        repeat(args, &alarm, |seen, warnings| {
            for warning in warnings.iter().filter(|warning| !told.contains(*warning)) {
                terminal.err(&format!("warning: {warning}\n"));
            }
            told = warnings.to_vec();
            terminal.out_while_read(&format!("{}\n", as_json(seen)))
        })?
    } else {
        let _entered = Entered::new(terminal)?;
        repeat(args, &alarm, |seen, warnings| {
            let (height, width) = screen.size();
            let lines = page(seen, warnings, args.interval, terminal.colors_out());
            terminal.out_while_read(&frame(lines, height.into(), width.into()))
        })?
    };
    // Ctrl-C is how a watch ends.
    Ok(signal.filter(|signal| *signal != Signal::Interrupt).map_or(SUCCESS, signal_code))
}

/// Shows what there is until a signal comes, which is the answer, or until nobody reads.
fn repeat(
    args: &PsArgs,
    alarm: &Alarm,
    mut show: impl FnMut(&[Seen], &[String]) -> Result<bool, CommandError>,
) -> Result<Option<Signal>, CommandError> {
    loop {
        let mut warnings = Vec::new();
        let next = Instant::now() + args.interval;
        let seen = look(&args.runtime, &mut warnings);
        if !show(&seen, &warnings)? {
            return Ok(None);
        }
        loop {
            if let Some(signal) = alarm.signal() {
                return Ok(Some(signal));
            }
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            alarm.wait(Some(left)).map_err(|error| CommandError::failed(error.to_string()))?;
        }
    }
}

/// The screen of its own; dropping it goes back, whatever the reason.
struct Entered(Terminal);

impl Entered {
    fn new(terminal: Terminal) -> Result<Self, CommandError> {
        let entered = Self(terminal);
        terminal.out(ENTER)?;
        Ok(entered)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to go back to.
        let _ = self.0.out(LEAVE);
    }
}

/// The lines that are worth showing, most important first.
fn page(seen: &[Seen], warnings: &[String], interval: Duration, colors: bool) -> Vec<String> {
    let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let runtimes = count(seen.len(), "runtime", "runtimes");
    let processes = count(seen.iter().map(|seen| seen.processes.len()).sum(), "process", "processes");
    let mut lines = vec![format!("{runtimes}, {processes}; every {interval:?}, Ctrl-C ends")];
    lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.push(String::new());
    lines.extend(as_lines(seen, colors));
    lines
}

/// The bytes that put these lines in the place of what is on the screen, cut to its size.
fn frame(mut lines: Vec<String>, height: usize, width: usize) -> String {
    if lines.len() > height {
        let left_out = lines.len() - height + 1;
        lines.truncate(height.saturating_sub(1));
        lines.push(format!("… and {left_out} more"));
    }
    let mut frame = String::from(HOME);
    for (at, line) in lines.iter().enumerate() {
        frame.push_str(if at > 0 { "\r\n" } else { "" });
        frame.push_str(CLEAR_LINE);
        frame.push_str(&console::truncate_str(line, width, "…"));
    }
    if lines.len() < height {
        frame.push_str("\r\n");
        frame.push_str(CLEAR_REST);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::super::ps::tests::{process, seen};
    use super::*;

    fn lines(frame: &str) -> Vec<String> {
        let lines = frame.strip_prefix(HOME).expect("a frame").split("\r\n");
        lines
            .filter(|line| *line != CLEAR_REST)
            .map(|line| line.strip_prefix(CLEAR_LINE).expect("it is cleared").into())
            .collect()
    }

    #[test]
    fn a_frame_fits_its_screen() {
        let text: Vec<_> = (1..=5).map(|number| format!("line {number}")).collect();
        assert_eq!(lines(&frame(text.clone(), 5, 80)), text);
        assert!(frame(text.clone(), 6, 80).ends_with("\r\n\x1b[J"), "what is left of a longer one goes");
        assert!(frame(text.clone(), 5, 80).ends_with("line 5"), "nothing is left below");
        assert_eq!(lines(&frame(text.clone(), 3, 80)), ["line 1", "line 2", "… and 3 more"]);
        assert_eq!(lines(&frame(text.clone(), 1, 80)), ["… and 5 more"]);
        assert_eq!(lines(&frame(vec!["line 1".into()], 1, 4)), ["lin…"]);
        // What starts bold ends so, wherever it is cut.
        assert_eq!(lines(&frame(vec!["\x1b[1mheading\x1b[0m".into()], 1, 4)), ["\x1b[1mhea…\x1b[0m"]);
    }

    #[test]
    fn a_page_says_what_is_watched_and_what_went_wrong() {
        let one = [seen(7, &[process(1, "app:s", &["timer"])])];
        let shown = page(&one, &["runtime `8-1`: no".to_owned()], Duration::from_millis(1500), false);
        assert_eq!(shown[0], "1 runtime, 1 process; every 1.5s, Ctrl-C ends");
        assert_eq!((shown[1].as_str(), shown[2].as_str()), ("warning: runtime `8-1`: no", ""));
        assert!(shown[3].starts_with("PID") && shown[4].starts_with("{app:host|0x00001}"), "{shown:?}");
        let nothing = page(&[], &[], Duration::from_secs(1), false);
        assert_eq!(nothing[0], "0 runtimes, 0 processes; every 1s, Ctrl-C ends");
    }
}
