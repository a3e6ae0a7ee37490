//! What `string` does with patterns, in slices: the functions that the prelude has of the host for it.

use mlua::{AnyUserData, IntoLuaMulti, Lua, LuaString, MultiValue, Table, UserData, Value};

use super::call::{Answer, Refusal, Reply, Work, encode};
use super::own::{self, Own};
use super::pattern::{Capture, Found, PatternError, SLICE, Search};

/// What a search answers with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// `find`: the places, then the captures.
    Places,
    /// `match` and `gmatch`: the captures, or the whole match.
    Captures,
    /// `gsub` with a function or a table: the places, then the captures or the whole match.
    Both,
}

pub(super) fn install(lua: &Lua, host: &Table) -> mlua::Result<()> {
    host.raw_set("find_plain", lua.create_function(find_plain)?)?;
    host.raw_set(
        "memory_left",
        lua.create_function(|lua, ()| {
            let own = own::of(lua)?;
            let allowed = own.usage.limits().max_memory.unwrap_or(u64::MAX);
            Ok(i64::try_from(allowed.saturating_sub(lua.used_memory() as u64)).unwrap_or(i64::MAX))
        })?,
    )?;
    for (name, wanted) in [("find", Wanted::Places), ("match", Wanted::Captures)] {
        host.raw_set(
            name,
            lua.create_function(move |lua, (subject, pattern, from): (LuaString, LuaString, usize)| {
                let own = own::of(lua)?;
                let search = Search::new(from, &pattern.as_bytes(), true);
                let work = Finding { search: Some(search), subject, pattern, wanted, searcher: None };
                encode(lua, &own, Reply::work(lua, &own, work))
            })?,
        )?;
    }
    // A search that goes on from match to match, for loops in Lua.
    host.raw_set(
        "search",
        lua.create_function(|lua, (pattern, is_gsub): (LuaString, bool)| {
            let search = Search::new(0, &pattern.as_bytes(), is_gsub);
            let wanted = if is_gsub { Wanted::Both } else { Wanted::Captures };
            lua.create_userdata(Searcher { search: Some(search), wanted })
        })?,
    )?;
    host.raw_set(
        "search_next",
        lua.create_function(|lua, (searcher, subject, pattern): (AnyUserData, LuaString, LuaString)| {
            let own = own::of(lua)?;
            let answer = next(lua, &own, searcher, subject, pattern);
            encode(lua, &own, answer)
        })?,
    )?;
    host.raw_set(
        "replace",
        lua.create_function(|lua, (subject, pattern, text, most): (LuaString, LuaString, LuaString, Option<i64>)| {
            let own = own::of(lua)?;
            let search = Search::new(0, &pattern.as_bytes(), true);
            let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(0));
            let work = Replacing { search, subject, pattern, text, most, count: 0, done: 0, output: Vec::new() };
            encode(lua, &own, Reply::work(lua, &own, work))
        })?,
    )
}

/// The places of the first occurrence, in time that grows with the length of both and no faster.
fn find_plain(lua: &Lua, (subject, wanted, from): (LuaString, LuaString, usize)) -> mlua::Result<MultiValue> {
    let (subject, wanted) = (subject.as_bytes(), wanted.as_bytes());
    match memchr::memmem::find(subject.get(from..).unwrap_or_default(), &wanted) {
        Some(at) => (place(from + at + 1), place(from + at + wanted.len())).into_lua_multi(lua),
        None => Value::Nil.into_lua_multi(lua),
    }
}

impl From<PatternError> for Refusal {
    fn from(error: PatternError) -> Self {
        Self::Raise(error.to_string())
    }
}

/// A search that is kept between calls. The texts are kept by the loop in Lua: handles of the host are few.
struct Searcher {
    search: Option<Search>,
    wanted: Wanted,
}

impl UserData for Searcher {}

fn next(lua: &Lua, own: &Own, searcher: AnyUserData, subject: LuaString, pattern: LuaString) -> Answer {
    let (search, wanted) = {
        let mut kept = searcher.borrow_mut::<Searcher>()?;
        (kept.search.take(), kept.wanted)
    };
    Reply::work(lua, own, Finding { search, subject, pattern, wanted, searcher: Some(searcher) })
}

/// The way to the next match.
struct Finding {
    search: Option<Search>,
    subject: LuaString,
    pattern: LuaString,
    wanted: Wanted,
    /// Where the search is put back.
    searcher: Option<AnyUserData>,
}

impl Work for Finding {
    fn slice(&mut self, lua: &Lua, _: &Own) -> Result<Option<MultiValue>, Refusal> {
        let Some(search) = &mut self.search else { return Ok(Some(Value::Nil.into_lua_multi(lua)?)) };
        let mut steps = SLICE;
        let Some(found) = search.next(&self.subject.as_bytes(), &self.pattern.as_bytes(), &mut steps)? else {
            return Ok(None);
        };
        if let Some(searcher) = &self.searcher {
            searcher.borrow_mut::<Searcher>()?.search = self.search.take();
        }
        let Some(found) = found else { return Ok(Some(Value::Nil.into_lua_multi(lua)?)) };
        let mut values = MultiValue::new();
        if self.wanted != Wanted::Captures {
            values.push_back(place(found.from + 1));
            values.push_back(place(found.to));
        }
        let subject = self.subject.as_bytes();
        if found.captures.is_empty() && self.wanted != Wanted::Places {
            values.push_back(Value::String(lua.create_string(&subject[found.from..found.to])?));
        }
        for capture in &found.captures {
            values.push_back(captured(lua, &subject, *capture)?);
        }
        Ok(Some(values))
    }
}

fn place(at: usize) -> Value {
    Value::Integer(i64::try_from(at).unwrap_or(i64::MAX))
}

fn captured(lua: &Lua, subject: &[u8], capture: Capture) -> mlua::Result<Value> {
    Ok(match capture {
        Capture::Place(at) | Capture::Open(at) => place(at + 1),
        Capture::Range(from, to) => Value::String(lua.create_string(&subject[from..to])?),
    })
}

/// `gsub` with a text.
struct Replacing {
    search: Search,
    subject: LuaString,
    pattern: LuaString,
    text: LuaString,
    most: usize,
    count: usize,
    /// How much of the subject is in the output.
    done: usize,
    output: Vec<u8>,
}

impl Work for Replacing {
    fn slice(&mut self, lua: &Lua, own: &Own) -> Result<Option<MultiValue>, Refusal> {
        let mut steps = SLICE;
        let subject = self.subject.as_bytes();
        while self.count < self.most {
            let pattern = self.pattern.as_bytes();
            let Some(found) = self.search.next(&subject, &pattern, &mut steps)? else { return Ok(None) };
            let Some(found) = found else { break };
            self.output.extend_from_slice(&subject[self.done..found.from]);
            replace(&mut self.output, &subject, &self.text.as_bytes(), &found)?;
            self.done = found.to;
            self.count += 1;
            // The output is out of reach of Lua's limit until it is a string of it.
            let allowed = own.usage.limits().max_memory.unwrap_or(u64::MAX);
            if (self.output.len() + lua.used_memory()) as u64 > allowed {
                return Err(mlua::Error::MemoryError("not enough memory".to_owned()).into());
            }
        }
        self.output.extend_from_slice(&subject[self.done..]);
        let text = lua.create_string(&self.output)?;
        Ok(Some((text, self.count).into_lua_multi(lua)?))
    }
}

/// Adds a replacement, in which `%1` is the first capture and `%0` all of the match.
fn replace(output: &mut Vec<u8>, subject: &[u8], text: &[u8], found: &Found) -> Result<(), Refusal> {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        output.extend_from_slice(&rest[..at]);
        match rest.get(at + 1) {
            Some(b'%') => output.push(b'%'),
            Some(b'0') => output.extend_from_slice(&subject[found.from..found.to]),
            Some(digit @ b'1'..=b'9') => {
                let index = usize::from(digit - b'1');
                match found.captures.get(index) {
                    Some(Capture::Range(from, to)) => output.extend_from_slice(&subject[*from..*to]),
                    Some(Capture::Place(at) | Capture::Open(at)) => {
                        output.extend_from_slice((at + 1).to_string().as_bytes());
                    }
                    // Without captures the whole match is the first one.
                    None if index == 0 && found.captures.is_empty() => {
                        output.extend_from_slice(&subject[found.from..found.to]);
                    }
                    None => {
                        return Err(Refusal::raise(format!(
                            "invalid capture index %{} in replacement string",
                            index + 1
                        )));
                    }
                }
            }
            _ => return Err(Refusal::raise("invalid use of '%' in replacement string")),
        }
        rest = &rest[at + 2..];
    }
    output.extend_from_slice(rest);
    Ok(())
}
