//! Arguments as core values and blocks of memory, made before any memory is asked for.
//!
//! The guest gives memory only through calls that may suspend, so the whole image is made first: blocks with holes where
//! pointers to other blocks go. Then every block gets its place, the holes are filled, and the blocks are written.

use bytes::Bytes;

use super::super::WitType;
use super::layout::{Flat, Layout, cases, discriminant_size, flags_size, flatten, parts, payload_offset};
use super::{AbiError, shown};
use crate::process::Payload;

/// A core value of an argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Word {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
    /// The place of a block, in a 32-bit or, joined with other cases, in a 64-bit value.
    Pointer {
        block: usize,
        wide: bool,
    },
}

/// Bytes that need a place in the guest's memory.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) align: u32,
    pub(super) content: Content,
    /// Where in the content pointers to other blocks go.
    pub(super) pointers: Vec<(usize, usize)>,
}

/// What is in a block; bytes and text of a payload are shared, not copied.
#[derive(Debug)]
pub(super) enum Content {
    Made(Vec<u8>),
    Shared(Bytes),
}

impl Content {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Content::Made(bytes) => bytes,
            Content::Shared(bytes) => bytes,
        }
    }
}

/// The arguments of one call.
#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) words: Vec<Word>,
    pub(super) blocks: Vec<Block>,
}

impl Image {
    /// The image of values in exact shape; `spilled` puts them in one block and its pointer in the only word.
    pub(super) fn of(values: Vec<Payload>, types: &[&WitType], spilled: bool) -> Result<Image, AbiError> {
        let mut image = Image::default();
        if spilled {
            let block = image.block(Layout::of_sequence(types), 1)?;
            let mut place = Layout { size: 0, align: 1 };
            for (value, ty) in values.into_iter().zip(types) {
                let offset = place.place(Layout::of(ty)) as usize;
                image.store(value, ty, block, offset)?;
            }
            image.words.push(Word::Pointer { block, wide: false });
        } else {
            for (value, ty) in values.into_iter().zip(types) {
                let mut words = Vec::new();
                image.flatten(value, ty, &mut words)?;
                image.words.append(&mut words);
            }
        }
        Ok(image)
    }

    /// A new block of zeros for `count` values of a layout.
    fn block(&mut self, layout: Layout, count: usize) -> Result<usize, AbiError> {
        let bytes = u64::from(layout.size) * count as u64;
        let size = u32::try_from(bytes).map_err(|_| AbiError::TooLarge { bytes })? as usize;
        self.blocks.push(Block { align: layout.align, content: Content::Made(vec![0; size]), pointers: Vec::new() });
        Ok(self.blocks.len() - 1)
    }

    fn shared(&mut self, bytes: Bytes) -> Result<(usize, u32), AbiError> {
        let length = u32::try_from(bytes.len()).map_err(|_| AbiError::TooLarge { bytes: bytes.len() as u64 })?;
        self.blocks.push(Block { align: 1, content: Content::Shared(bytes), pointers: Vec::new() });
        Ok((self.blocks.len() - 1, length))
    }

    /// The block and the length of a string or list.
    fn sequence(&mut self, value: Payload, ty: &WitType) -> Result<(usize, u32), AbiError> {
        match (ty, value) {
            (WitType::String, Payload::String(text)) => self.shared(Bytes::from(text.into_bytes())),
            (WitType::List(element), Payload::Bytes(bytes)) if **element == WitType::U8 => self.shared(bytes),
            (WitType::List(element), Payload::List(items)) => {
                let layout = Layout::of(element);
                let block = self.block(layout, items.len())?;
                let length = items.len() as u32;
                for (index, item) in items.into_iter().enumerate() {
                    self.store(item, element, block, index * layout.size as usize)?;
                }
                Ok((block, length))
            }
            (_, other) => Err(unlike(&other, ty)),
        }
    }

    fn write(&mut self, block: usize, offset: usize, bytes: &[u8]) {
        if let Content::Made(content) = &mut self.blocks[block].content {
            content[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    fn write_number(&mut self, block: usize, offset: usize, number: u64, size: u32) {
        self.write(block, offset, &number.to_le_bytes()[..size as usize]);
    }

    /// Puts a value into a block.
    fn store(&mut self, value: Payload, ty: &WitType, block: usize, offset: usize) -> Result<(), AbiError> {
        if let Some(cases) = cases(ty) {
            let (case, payload) = chosen(value, ty)?;
            self.write_number(block, offset, case as u64, discriminant_size(cases.len()));
            if let (Some(ty), Some(payload)) = (cases[case], payload) {
                self.store(payload, ty, block, offset + payload_offset(&cases) as usize)?;
            }
            return Ok(());
        }
        if let Some(parts) = parts(ty) {
            let mut place = Layout { size: 0, align: 1 };
            for (value, ty) in items(value, ty, parts.len())?.into_iter().zip(parts) {
                let within = place.place(Layout::of(ty)) as usize;
                self.store(value, ty, block, offset + within)?;
            }
            return Ok(());
        }
        match ty {
            WitType::String | WitType::List(_) => {
                let (target, length) = self.sequence(value, ty)?;
                self.blocks[block].pointers.push((offset, target));
                self.write(block, offset + 4, &length.to_le_bytes());
            }
            ty => {
                let bits = match scalar(&value, ty)? {
                    Word::I32(bits) | Word::F32(bits) => u64::from(bits),
                    Word::I64(bits) | Word::F64(bits) => bits,
                    Word::Pointer { .. } => return Err(unlike(&value, ty)),
                };
                self.write_number(block, offset, bits, Layout::of(ty).size);
            }
        }
        Ok(())
    }

    /// Appends the core values of a value.
    fn flatten(&mut self, value: Payload, ty: &WitType, words: &mut Vec<Word>) -> Result<(), AbiError> {
        if let Some(cases) = cases(ty) {
            let (case, payload) = chosen(value, ty)?;
            let mut of_case = Vec::new();
            if let (Some(ty), Some(payload)) = (cases[case], payload) {
                self.flatten(payload, ty, &mut of_case)?;
            }
            words.push(Word::I32(case as u32));
            // The other cases may be longer, or of other core types in the same places.
            for (index, flat) in flatten(ty).into_iter().skip(1).enumerate() {
                words.push(of_case.get(index).map_or_else(|| zero(flat), |word| widen(*word, flat)));
            }
            return Ok(());
        }
        if let Some(parts) = parts(ty) {
            for (value, ty) in items(value, ty, parts.len())?.into_iter().zip(parts) {
                self.flatten(value, ty, words)?;
            }
            return Ok(());
        }
        match ty {
            WitType::String | WitType::List(_) => {
                let (block, length) = self.sequence(value, ty)?;
                words.extend([Word::Pointer { block, wide: false }, Word::I32(length)]);
            }
            ty => words.push(scalar(&value, ty)?),
        }
        Ok(())
    }
}

fn zero(flat: Flat) -> Word {
    match flat {
        Flat::I32 => Word::I32(0),
        Flat::I64 => Word::I64(0),
        Flat::F32 => Word::F32(0),
        Flat::F64 => Word::F64(0),
    }
}

/// The same bits in the core type that all cases share.
fn widen(word: Word, flat: Flat) -> Word {
    match (word, flat) {
        (Word::F32(bits), Flat::I32) => Word::I32(bits),
        (Word::I32(bits) | Word::F32(bits), Flat::I64) => Word::I64(u64::from(bits)),
        (Word::F64(bits), Flat::I64) => Word::I64(bits),
        (Word::Pointer { block, .. }, Flat::I64) => Word::Pointer { block, wide: true },
        (word, _) => word,
    }
}

/// The core value of a type that is one.
pub(super) fn scalar(value: &Payload, ty: &WitType) -> Result<Word, AbiError> {
    Ok(match (ty, value) {
        (WitType::Bool, Payload::Bool(value)) => Word::I32(u32::from(*value)),
        (WitType::S64 | WitType::I64 | WitType::U64, Payload::Int(value)) => Word::I64(*value as u64),
        (WitType::U64, Payload::UInt(value)) => Word::I64(*value),
        (WitType::F32, Payload::Float(value)) => Word::F32((*value as f32).to_bits()),
        (WitType::F64, Payload::Float(value)) => Word::F64(value.to_bits()),
        (WitType::Char, Payload::String(text)) => Word::I32(text.chars().next().map_or(0, u32::from)),
        (WitType::Flags(names), Payload::List(set)) => {
            debug_assert!(flags_size(names.len()) <= 4, "no more than 32 flags");
            let is_set = |name: &String| set.iter().any(|item| item.as_str() == Some(name));
            let bits = names.iter().enumerate().filter(|(_, name)| is_set(name)).map(|(index, _)| 1 << index);
            Word::I32(bits.fold(0, |all, bit: u32| all | bit))
        }
        (
            WitType::S8 | WitType::U8 | WitType::S16 | WitType::U16 | WitType::S32 | WitType::U32 | WitType::I32,
            Payload::Int(value),
        ) => Word::I32(*value as u32),
        (ty, value) => return Err(unlike(value, ty)),
    })
}

/// The case of a value in exact shape, and its payload.
fn chosen(value: Payload, ty: &WitType) -> Result<(usize, Option<Payload>), AbiError> {
    let wrong = |value: &Payload| unlike(value, ty);
    match ty {
        WitType::Option(_) if value.is_nil() => Ok((0, None)),
        WitType::Option(some) if matches!(**some, WitType::Option(_)) => match value {
            Payload::Map(mut entries) if entries.len() == 1 => Ok((1, entries.pop().map(|(_, inner)| inner))),
            other => Err(wrong(&other)),
        },
        WitType::Option(_) => Ok((1, Some(value))),
        WitType::Enum(names) => {
            let case = value.as_str().and_then(|name| names.iter().position(|known| known == name));
            case.map(|case| (case, None)).ok_or_else(|| wrong(&value))
        }
        WitType::Result { .. } | WitType::Variant(_) => {
            let (name, payload) = match value {
                Payload::String(name) => (name, None),
                Payload::Map(mut entries) if entries.len() == 1 => match entries.pop() {
                    Some((name, payload)) => (name, Some(payload)),
                    None => (String::new(), None),
                },
                other => return Err(wrong(&other)),
            };
            let case = match ty {
                WitType::Variant(cases) => cases.iter().position(|case| case.name == name),
                _ => ["ok", "err"].iter().position(|known| *known == name),
            };
            case.map(|case| (case, payload)).ok_or_else(|| wrong(&Payload::String(name)))
        }
        _ => Err(wrong(&value)),
    }
}

/// The values of a record or tuple in exact shape.
fn items(value: Payload, ty: &WitType, count: usize) -> Result<Vec<Payload>, AbiError> {
    match value {
        Payload::List(items) if items.len() == count => Ok(items),
        Payload::Map(entries) if entries.len() == count => Ok(entries.into_values().collect()),
        other => Err(unlike(&other, ty)),
    }
}

fn unlike(value: &Payload, ty: &WitType) -> AbiError {
    AbiError::Shape { ty: shown(ty), found: value.kind() }
}
