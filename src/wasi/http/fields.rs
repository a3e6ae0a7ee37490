//! Header fields: the resource `fields`, mutable while a guest builds it, immutable once it belongs to a message.

use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, header::Entry};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{self, HeaderError};
use wasmtime_wasi_http::p2::{HeaderError as TrappableHeaderError, HeaderResult};

use super::cast;
use crate::limits::{Charge, LimitExceeded, Usage};
use crate::wasi::state::WasiState;

/// How many bytes of names and values one `fields` holds; what servers accept is less.
pub(super) const FIELDS_BYTES_MAX: usize = 128 * 1024;

/// Fields that belong to the connection, not to the message: a guest can't set them, and does not see them.
const FORBIDDEN: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    HeaderName::from_static("http2-settings"),
];

/// Fields of a message. A clone for reading is cheap; it is copied when it is changed.
#[derive(Clone)]
pub(super) struct Fields {
    map: Arc<HeaderMap>,
    /// Bytes of names and values.
    size: usize,
    mutable: bool,
    /// The process is charged with them, once for all clones that share the map.
    charge: Option<Arc<Charge>>,
}

impl Fields {
    fn new() -> Fields {
        Fields { map: Arc::default(), size: 0, mutable: true, charge: None }
    }

    /// Fields that came from a server, without those of its connection.
    pub(super) fn received(mut map: HeaderMap) -> Fields {
        for name in &FORBIDDEN {
            map.remove(name);
        }
        let size = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        Fields { map: Arc::new(map), size, mutable: false, charge: None }
    }

    /// The same, with the process charged for what they hold.
    ///
    /// # Errors
    /// It may not hold that much.
    pub(super) fn charged(mut self, usage: &Arc<Usage>) -> std::result::Result<Fields, LimitExceeded> {
        self.charge = Some(Arc::new(usage.charge(self.size)?));
        Ok(self)
    }

    /// The same, now part of a message.
    pub(super) fn frozen(self) -> Fields {
        Fields { mutable: false, ..self }
    }

    pub(super) fn into_map(self) -> HeaderMap {
        Arc::unwrap_or_clone(self.map)
    }

    /// The announced length of the body.
    ///
    /// # Errors
    /// It is there, and no number or more than one.
    pub(super) fn content_length(&self) -> std::result::Result<Option<u64>, ()> {
        let mut values = self.map.get_all(header::CONTENT_LENGTH).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().map_err(|_| ())?;
        if values.next().is_some() || text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        text.parse().map(Some).map_err(|_| ())
    }

    /// Checks a name for a change.
    fn name(&self, name: &str) -> std::result::Result<HeaderName, HeaderError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidSyntax)?;
        if FORBIDDEN.contains(&name) {
            return Err(HeaderError::Forbidden);
        }
        if !self.mutable {
            return Err(HeaderError::Immutable);
        }
        Ok(name)
    }

    fn delete(&mut self, name: &str) -> std::result::Result<(), HeaderError> {
        let name = self.name(name)?;
        if let Entry::Occupied(entry) = entry(Arc::make_mut(&mut self.map), &name)? {
            let (_, values) = entry.remove_entry_mult();
            self.size -= values.map(|value| name.as_str().len() + value.len()).sum::<usize>();
        }
        Ok(())
    }

    fn append(&mut self, name: &str, value: Vec<u8>) -> std::result::Result<(), HeaderError> {
        let name = self.name(name)?;
        let value = read_value(value)?;
        // A second length would be a second opinion on where the body ends.
        if name == header::CONTENT_LENGTH && self.map.contains_key(&name) {
            return Err(HeaderError::InvalidSyntax);
        }
        self.insert(name, value)
    }

    fn set(&mut self, name: &str, values: Vec<Vec<u8>>) -> std::result::Result<(), HeaderError> {
        let key = self.name(name)?;
        let values = values.into_iter().map(read_value).collect::<std::result::Result<Vec<_>, _>>()?;
        if key == header::CONTENT_LENGTH && values.len() > 1 {
            return Err(HeaderError::InvalidSyntax);
        }
        // All or nothing: values that do not fit leave the old ones in place.
        let mut changed = self.clone();
        changed.delete(name)?;
        for value in values {
            changed.insert(key.clone(), value)?;
        }
        *self = changed;
        Ok(())
    }

    /// There is no error code for fields that are too large: they are not accepted, like a value that is no value.
    fn insert(&mut self, name: HeaderName, value: HeaderValue) -> std::result::Result<(), HeaderError> {
        let size = self.size + name.as_str().len() + value.len();
        if size > FIELDS_BYTES_MAX {
            return Err(HeaderError::InvalidSyntax);
        }
        Arc::make_mut(&mut self.map).try_append(name, value).map_err(|_| HeaderError::InvalidSyntax)?;
        self.size = size;
        Ok(())
    }
}

fn entry<'a>(map: &'a mut HeaderMap, name: &HeaderName) -> std::result::Result<Entry<'a, HeaderValue>, HeaderError> {
    map.try_entry(name).map_err(|_| HeaderError::InvalidSyntax)
}

fn read_value(value: Vec<u8>) -> std::result::Result<HeaderValue, HeaderError> {
    HeaderValue::try_from(value).map_err(|_| HeaderError::InvalidSyntax)
}

impl WasiState {
    fn change_fields(
        &mut self,
        fields: &Resource<FieldMap>,
        change: impl FnOnce(&mut Fields) -> std::result::Result<(), HeaderError>,
    ) -> HeaderResult<()> {
        let usage = Arc::clone(self.usage());
        let fields = self.table.get_mut(&cast::<_, Fields>(fields)).map_err(TrappableHeaderError::trap)?;
        let before = fields.size;
        change(fields)?;
        // A change may have made a copy of a shared map: what was charged goes with the last who shares it.
        if fields.size != before {
            *fields = Clone::clone(&*fields).charged(&usage).map_err(TrappableHeaderError::trap)?;
        }
        Ok(())
    }
}

impl types::HostFields for WasiState {
    fn new(&mut self) -> Result<Resource<FieldMap>> {
        Ok(cast(&self.table.push(Fields::new())?))
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> HeaderResult<Resource<FieldMap>> {
        let mut fields = Fields::new();
        for (name, value) in entries {
            fields.append(&name, value)?;
        }
        let fields = fields.charged(self.usage()).map_err(TrappableHeaderError::trap)?;
        Ok(cast(&self.table.push(fields).map_err(TrappableHeaderError::trap)?))
    }

    fn get(&mut self, fields: Resource<FieldMap>, name: String) -> Result<Vec<Vec<u8>>> {
        let fields: &Fields = self.table.get(&cast(&fields))?;
        // A name that is none has no values.
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return Ok(Vec::new()) };
        Ok(fields.map.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect())
    }

    fn has(&mut self, fields: Resource<FieldMap>, name: String) -> Result<bool> {
        let fields: &Fields = self.table.get(&cast(&fields))?;
        Ok(HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| fields.map.contains_key(name)))
    }

    fn set(&mut self, fields: Resource<FieldMap>, name: String, values: Vec<Vec<u8>>) -> HeaderResult<()> {
        self.change_fields(&fields, |fields| fields.set(&name, values))
    }

    fn delete(&mut self, fields: Resource<FieldMap>, name: String) -> HeaderResult<()> {
        self.change_fields(&fields, |fields| fields.delete(&name))
    }

    fn append(&mut self, fields: Resource<FieldMap>, name: String, value: Vec<u8>) -> HeaderResult<()> {
        self.change_fields(&fields, |fields| fields.append(&name, value))
    }

    fn entries(&mut self, fields: Resource<FieldMap>) -> Result<Vec<(String, Vec<u8>)>> {
        let fields: &Fields = self.table.get(&cast(&fields))?;
        Ok(fields.map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }

    fn clone(&mut self, fields: Resource<FieldMap>) -> Result<Resource<FieldMap>> {
        let fields: &Fields = self.table.get(&cast(&fields))?;
        let copy = Fields { mutable: true, ..Clone::clone(fields) };
        Ok(cast(&self.table.push(copy)?))
    }

    fn drop(&mut self, fields: Resource<FieldMap>) -> Result<()> {
        self.table.delete::<Fields>(cast(&fields))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_checked() {
        let mut fields = Fields::new();
        fields.append("X-One", b"1".to_vec()).unwrap();
        fields.append("x-one", b"2".to_vec()).unwrap();
        assert_eq!(fields.map.get_all("x-one").iter().count(), 2);
        for forbidden in ["Host", "connection", "Transfer-Encoding", "upgrade", "keep-alive"] {
            assert!(matches!(fields.append(forbidden, b"x".to_vec()), Err(HeaderError::Forbidden)), "{forbidden}");
        }
        for (name, value) in [("with blank", "x"), ("", "x"), ("name", "line\nbreak"), ("name", "nul\0")] {
            assert!(matches!(fields.append(name, value.into()), Err(HeaderError::InvalidSyntax)), "{name:?}");
        }
        fields.append("content-length", b"4".to_vec()).unwrap();
        assert!(fields.append("content-length", b"4".to_vec()).is_err());
        assert_eq!(fields.content_length(), Ok(Some(4)));
        let mut frozen = fields.clone().frozen();
        assert!(matches!(frozen.append("x", b"x".to_vec()), Err(HeaderError::Immutable)));
        assert!(matches!(frozen.set("x", Vec::new()), Err(HeaderError::Immutable)));
        assert!(matches!(frozen.delete("x-one"), Err(HeaderError::Immutable)));
        fields.delete("X-ONE").unwrap();
        assert!(!fields.map.contains_key("x-one"));
    }

    #[test]
    fn the_size_is_bounded_and_comes_back() {
        let mut fields = Fields::new();
        let half = vec![b'x'; FIELDS_BYTES_MAX / 2];
        fields.append("a", half.clone()).unwrap();
        assert!(fields.append("b", half.clone()).is_err());
        assert!(fields.set("a", vec![half.clone(), half.clone()]).is_err());
        assert_eq!(fields.map.get_all("a").iter().count(), 1, "a set that fails changes nothing");
        fields.set("a", vec![b"small".to_vec()]).unwrap();
        fields.append("b", half).unwrap();
        fields.delete("a").unwrap();
        fields.delete("b").unwrap();
        assert_eq!(fields.size, 0);
        for _ in 0..100_000 {
            if fields.append("x", b"y".to_vec()).is_err() {
                return;
            }
        }
        panic!("the number of fields is not bounded");
    }

    #[test]
    fn a_length_that_is_none_is_refused() {
        for text in ["+5", "", "5 ", "0x5", "99999999999999999999", "-1"] {
            let mut fields = Fields::new();
            fields.append("content-length", text.into()).unwrap();
            assert_eq!(fields.content_length(), Err(()), "{text:?}");
        }
    }

    #[test]
    fn fields_of_a_servers_connection_are_not_seen() {
        let mut map = HeaderMap::new();
        map.insert("connection", HeaderValue::from_static("close"));
        map.insert("x-kept", HeaderValue::from_static("1"));
        let fields = Fields::received(map);
        assert_eq!(fields.map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
