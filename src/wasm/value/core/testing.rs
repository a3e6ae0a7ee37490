//! Windows into this room for tests: images of values without an instance.

use super::super::WitType;
use super::AbiError;
use super::layout::{Flat, flatten};
use super::load::Source;
use super::store::{Block, Content, Image, Word};
use crate::process::Payload;

/// Bytes that results may take in these tests.
const FUEL: u64 = 64 << 20;

/// Lays blocks out one after the other from `base` on and fills their pointers.
fn settle(blocks: Vec<Block>, base: u32) -> (Vec<u8>, Vec<u32>) {
    let mut places = Vec::new();
    let mut end = base;
    for block in &blocks {
        let place = end.next_multiple_of(block.align);
        places.push(place);
        end = place + block.content.as_slice().len() as u32;
    }
    let mut memory = vec![0; (end - base) as usize];
    for (mut block, place) in blocks.into_iter().zip(&places) {
        if let Content::Made(content) = &mut block.content {
            for (offset, target) in &block.pointers {
                content[*offset..*offset + 4].copy_from_slice(&places[*target].to_le_bytes());
            }
        }
        let start = (place - base) as usize;
        let bytes = block.content.as_slice();
        memory[start..start + bytes.len()].copy_from_slice(bytes);
    }
    (memory, places)
}

/// A value in memory that begins at `base`, and its place.
pub(in super::super) fn image(value: Payload, ty: &WitType, base: u32) -> Result<(Vec<u8>, u32), AbiError> {
    let image = Image::of(vec![value], &[ty], true)?;
    let (memory, places) = settle(image.blocks, base);
    Ok((memory, places[0]))
}

/// A value out of memory.
pub(in super::super) fn read(memory: &[u8], root: u32, ty: &WitType) -> Result<Payload, AbiError> {
    Ok(Source::new(memory, FUEL).load_all(root, &[ty])?.remove(0))
}

/// A value as core values and back.
pub(in super::super) fn through_words(value: Payload, ty: &WitType) -> Result<Payload, AbiError> {
    let image = Image::of(vec![value], &[ty], false)?;
    let kinds: Vec<_> = image.words.iter().map(|word| kind(*word)).collect();
    assert_eq!(kinds, flatten(ty), "the words of `{ty}`");
    let (memory, places) = settle(image.blocks, 0);
    let words = image.words.into_iter().map(|word| match word {
        Word::Pointer { block, wide: false } => Word::I32(places[block]),
        Word::Pointer { block, wide: true } => Word::I64(u64::from(places[block])),
        word => word,
    });
    Source::new(&memory, FUEL).lift(&mut words.into_iter(), ty)
}

fn kind(word: Word) -> Flat {
    match word {
        Word::I32(_) | Word::Pointer { wide: false, .. } => Flat::I32,
        Word::I64(_) | Word::Pointer { wide: true, .. } => Flat::I64,
        Word::F32(_) => Flat::F32,
        Word::F64(_) => Flat::F64,
    }
}

/// The bits of the core values of a value that has nothing in memory.
pub(in super::super) fn words(value: Payload, ty: &WitType) -> Result<Vec<u64>, AbiError> {
    let image = Image::of(vec![value], &[ty], false)?;
    let bits = image.words.into_iter().map(|word| match word {
        Word::I32(bits) | Word::F32(bits) => u64::from(bits),
        Word::I64(bits) | Word::F64(bits) => bits,
        Word::Pointer { .. } => panic!("`{ty}` has a part in memory"),
    });
    Ok(bits.collect())
}

/// The names of the core types of a type's core values.
pub(in super::super) fn flat_names(ty: &WitType) -> Vec<&'static str> {
    let name = |flat| match flat {
        Flat::I32 => "i32",
        Flat::I64 => "i64",
        Flat::F32 => "f32",
        Flat::F64 => "f64",
    };
    flatten(ty).into_iter().map(name).collect()
}
