//! `wippy:runtime/funcs`: calls of functions of the registry. A guest that calls waits for the answer, and leaves its worker
//! to others meanwhile.

use bytes::Bytes;
use wasmtime::component::Linker;

use super::super::state::State;
use crate::function::Call;
use crate::limits::{WaitReason, wait_for};
use crate::process::Payload;

/// The interface as Wippy declares it.
pub(super) const INTERFACE: &str = "wippy:runtime/funcs@0.1.0";

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap_async("call-string", |store, (target, input): (String, String)| {
        let call = store.data().own().call(&target, input.into());
        Box::new(async move { Ok((answer(call).await.and_then(|value| text_of(&target, value)),)) })
    })?;
    interface.func_wrap_async("call-bytes", |store, (target, input): (String, Vec<u8>)| {
        let call = store.data().own().call(&target, Payload::Bytes(input.into()));
        Box::new(async move { Ok((answer(call).await.and_then(|value| bytes_of(&target, value)),)) })
    })
}

/// The answer, and until then a wait for a function.
async fn answer(mut call: Call) -> Result<Payload, String> {
    let answered = wait_for(WaitReason::Function, |cx| std::pin::Pin::new(&mut call).poll(cx)).await;
    answered.map_err(|error| error.to_string())
}

/// A value as text: text as it is, nothing as none, bytes that are text, and JSON of everything else.
fn text_of(target: &str, value: Payload) -> Result<String, String> {
    match value {
        Payload::String(text) => Ok(text),
        Payload::Nil => Ok(String::new()),
        Payload::Bytes(bytes) => String::from_utf8(bytes.into())
            .map_err(|_| format!("`{target}` answered with bytes that are no text: call it with `call-bytes`")),
        value => Ok(value.to_string()),
    }
}

/// A value as bytes: those of a list of them, or of its text.
fn bytes_of(target: &str, value: Payload) -> Result<Vec<u8>, String> {
    match value {
        Payload::Bytes(bytes) => Ok(Bytes::into(bytes)),
        Payload::List(items) => {
            let byte = |item: &Payload| item.as_u64().and_then(|byte| u8::try_from(byte).ok());
            match items.iter().map(byte).collect() {
                Some(bytes) => Ok(bytes),
                None => Ok(Payload::List(items).to_string().into_bytes()),
            }
        }
        value => text_of(target, value).map(String::into_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Payload {
        Payload::parse_json(text).expect("JSON")
    }

    #[test]
    fn every_value_has_a_text() {
        let text = |value| text_of("app:f", value);
        assert_eq!(text("ab".into()), Ok("ab".to_owned()));
        assert_eq!(text(Payload::Nil), Ok(String::new()));
        assert_eq!(text(json(r#"{"a":[1,true]}"#)), Ok(r#"{"a":[1,true]}"#.to_owned()));
        assert_eq!(text(Payload::Bytes(b"ab".to_vec().into())), Ok("ab".to_owned()));
        assert!(text(Payload::Bytes(vec![0xff].into())).unwrap_err().contains("`app:f`"));
    }

    #[test]
    fn a_list_of_bytes_is_bytes_and_another_one_its_text() {
        let bytes = |value| bytes_of("app:f", value).expect("bytes");
        assert_eq!(bytes(json("[0, 255]")), [0, 255]);
        assert_eq!(bytes(json("[0, 256]")), b"[0,256]");
        assert_eq!(bytes(Payload::Bytes(vec![7].into())), [7]);
        assert_eq!(bytes("ab".into()), b"ab");
        assert_eq!(bytes(json("4")), b"4");
    }
}
