//! What became of an item, as a line of JSON.

use serde::Serialize;
use serde_json::Value;

use super::captured::Output;
use super::item::{Done, ItemError};
use crate::process::{Exit, Payload};

/// The keys, in this order.
#[derive(Serialize)]
struct Record<'a> {
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    err: Option<Problem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stdout: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    stderr: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
}

#[derive(Serialize)]
struct Problem<'a> {
    cause: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backtrace: Option<&'a [String]>,
}

impl Done {
    /// The record of this item, a line of JSON without its end: `index`, then `ok` with the value or `err` with what went wrong,
    /// and what else there is to say.
    ///
    /// `err` has a `cause` (see [`ItemError::cause`]) and a `message`; beside these the `value` of a returned error, the `code`
    /// of an exit, the name of a `limit`, the `backtrace` of a trap. `attempts` is there when it is not one, `stdout` and
    /// `stderr` when the guest wrote anything that is [captured](super::Map::capture), `dropped` when it wrote more than is kept.
    #[must_use]
    pub fn record(&self) -> String {
        let Output { stdout, stderr, dropped } = &self.output;
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(bytes));
        let record = Record {
            index: self.index,
            ok: self.result.as_ref().ok().map(Payload::to_json),
            err: self.result.as_ref().err().map(Problem::of),
            attempts: Some(self.attempts).filter(|attempts| *attempts != 1),
            stdout: &stdout,
            stderr: &stderr,
            dropped: Some(*dropped).filter(|dropped| *dropped > 0),
        };
        serde_json::to_string(&record).expect("plain values are JSON")
    }
}

impl<'a> Problem<'a> {
    fn of(error: &'a ItemError) -> Self {
        let (cause, message) = (error.cause(), error.to_string());
        let plain = Self { cause, message, value: None, code: None, limit: None, backtrace: None };
        match error {
            ItemError::Returned(value) => Self { value: Some(value.to_json()), ..plain },
            ItemError::Ended(Exit::Exited(code)) => Self { code: Some(*code), ..plain },
            ItemError::Ended(Exit::Trapped(trap)) => Self { backtrace: Some(&trap.backtrace), ..plain },
            ItemError::Ended(Exit::LimitExceeded(limit)) => Self { limit: Some(limit.limit), ..plain },
            ItemError::Input(_) | ItemError::NotStarted(_) | ItemError::Ended(_) => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::{LimitExceeded, Trap};

    fn record(result: Result<Payload, ItemError>) -> String {
        Done {
            index: 3,
            attempts: 1,
            result,
            output: Output::default(),
            process: None,
            wall: None,
            cpu: Duration::ZERO,
        }
        .record()
    }

    #[test]
    fn every_end_has_its_record() {
        assert_eq!(record(Ok(42.into())), r#"{"index":3,"ok":42}"#);
        assert_eq!(record(Ok(Payload::Nil)), r#"{"index":3,"ok":null}"#);
        let trap = Trap { message: "unreachable".into(), backtrace: vec!["f".into()] };
        let limit = LimitExceeded::new("max_cpu", "5ms", "6ms");
        let errors = [
            (ItemError::Input("no JSON".into()), r#""input","message":"no JSON""#),
            (ItemError::Returned("sad".into()), r#""error","message":"returned an error: \"sad\"","value":"sad""#),
            (ItemError::Ended(Exit::Exited(3)), r#""exit","message":"exited with code 3","code":3"#),
            (ItemError::Ended(Exit::Trapped(trap)), r#""trap","message":"trapped: unreachable","backtrace":["f"]"#),
            (
                ItemError::Ended(Exit::LimitExceeded(limit)),
                r#""limit","message":"limit `max_cpu` exceeded: allowed 5ms, used 6ms","limit":"max_cpu""#,
            ),
            (ItemError::Ended(Exit::Terminated), r#""terminated","message":"terminated""#),
        ];
        for (error, expected) in errors {
            assert_eq!(record(Err(error)), format!(r#"{{"index":3,"err":{{"cause":{expected}}}}}"#));
        }
    }

    #[test]
    fn attempts_and_output_are_said_when_there_is_something_to_say() {
        let output = Output { stdout: b"hi\n".to_vec(), stderr: vec![b'?', 0xff], dropped: 2 };
        let done = Done {
            index: 0,
            attempts: 2,
            result: Ok(1.into()),
            output,
            process: None,
            wall: None,
            cpu: Duration::ZERO,
        };
        let expected = r#"{"index":0,"ok":1,"attempts":2,"stdout":"hi\n","stderr":"?�","dropped":2}"#;
        assert_eq!(done.record(), expected);
    }
}
