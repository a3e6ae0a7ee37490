//! Functions that a core module imports, in the forms of the canonical ABI.

use wasmtime::{AsContextMut, Caller, FuncType, Memory, Val};

use super::super::{Signature, WitType};
use super::call::{MEMORY, REALLOC, core_type, flats, has_memory, no_export, write};
use super::layout::{Flat, MAX_FLAT_PARAMS, flatten};
use super::load::Source;
use super::store::{Image, Word};
use crate::process::Payload;

/// How a function of the host is called by a core module, decided once when the module is linked.
pub(in crate::wasm) struct CoreImport {
    params: Vec<WitType>,
    result: Option<WitType>,
    /// Parameters are in memory, the guest gives a pointer to them.
    spilled: bool,
    /// The result goes to memory, to the place that the guest gives as its last parameter.
    returns_to: bool,
    reads_memory: bool,
}

impl CoreImport {
    /// The plan for a function of this signature, as the import of this type.
    ///
    /// # Errors
    /// It is of another type; the one that the signature has.
    pub(in crate::wasm) fn new(signature: &Signature, import: &FuncType) -> Result<Self, String> {
        let params: Vec<_> = signature.params().iter().map(|param| param.ty.clone()).collect();
        let result = signature.results().first().cloned();
        let flat: Vec<_> = params.iter().flat_map(flatten).collect();
        let spilled = flat.len() > MAX_FLAT_PARAMS;
        let flat_result: Vec<_> = result.iter().flat_map(flatten).collect();
        let returns_to = flat_result.len() > 1;
        let mut expected: Vec<_> = if spilled { vec![Flat::I32] } else { flat };
        if returns_to {
            expected.push(Flat::I32);
        }
        let expected: Vec<_> = expected.into_iter().map(Some).collect();
        let expected_result: Vec<_> = if returns_to { vec![] } else { flat_result.into_iter().map(Some).collect() };
        let is_any = params.iter().chain(&result).any(|ty| ty.refused().is_some());
        if is_any || expected != flats(import.params()) || expected_result != flats(import.results()) {
            return Err(core_type(&expected, &expected_result));
        }
        let reads_memory = spilled || params.iter().any(has_memory);
        Ok(Self { params, result, spilled, returns_to, reads_memory })
    }

    /// The types of its parameters.
    pub(in crate::wasm) fn params(&self) -> &[WitType] {
        &self.params
    }

    /// Whether the guest is asked for memory for what is returned, which may take it a while.
    pub(in crate::wasm) fn asks_for_memory(&self) -> bool {
        self.result.as_ref().is_some_and(has_memory)
    }

    /// The arguments that a guest gives. What they may take on this side is bounded by the store's hostcall fuel.
    pub(in crate::wasm) fn read<T>(
        &self,
        params: &[Val],
        caller: &mut Caller<'_, T>,
    ) -> wasmtime::Result<Vec<Payload>> {
        let memory = if self.reads_memory { Some(memory(caller)?) } else { None };
        let store = caller.as_context_mut();
        let bytes = memory.map_or(&[][..], |memory| memory.data(&store));
        let mut source = Source::new(bytes, store.hostcall_fuel() as u64);
        let types: Vec<_> = self.params.iter().collect();
        if self.spilled {
            let pointer = params.first().and_then(Val::i32).unwrap_or_default();
            return Ok(source.load_all(pointer as u32, &types)?);
        }
        let mut words = params.iter().map(Word::of_val);
        Ok(types.iter().map(|ty| source.lift(&mut words, ty)).collect::<Result<_, _>>()?)
    }

    /// Gives the guest what the function returned, when that needs none of its memory but the place that it gave.
    pub(in crate::wasm) fn answer<T: 'static>(
        &self,
        value: Payload,
        params: &[Val],
        results: &mut [Val],
        caller: &mut Caller<'_, T>,
    ) -> wasmtime::Result<()> {
        let Some(image) = self.image(value)? else { return Ok(()) };
        self.put(image, &self.root(params), results, caller)
    }

    /// [`answer`](Self::answer), with memory that the guest is asked for.
    pub(in crate::wasm) async fn answer_in_memory<T: Send + 'static>(
        &self,
        value: Payload,
        params: &[Val],
        results: &mut [Val],
        caller: &mut Caller<'_, T>,
    ) -> wasmtime::Result<()> {
        let Some(image) = self.image(value)? else { return Ok(()) };
        let mut places = self.root(params);
        for block in image.blocks.iter().skip(places.len()) {
            let size = block.content.as_slice().len() as u32;
            if size == 0 {
                places.push(block.align);
                continue;
            }
            let realloc = REALLOC.iter().find_map(|name| caller.get_export(name)?.into_func());
            let realloc = realloc.ok_or_else(|| no_export(REALLOC[0], "a function"))?;
            let realloc = realloc.typed::<(u32, u32, u32, u32), u32>(&*caller)?;
            places.push(realloc.call_async(&mut *caller, (0, 0, block.align, size)).await?);
        }
        self.put(image, &places, results, caller)
    }

    fn image(&self, value: Payload) -> wasmtime::Result<Option<Image>> {
        let Some(ty) = &self.result else { return Ok(None) };
        Ok(Some(Image::of(vec![value], &[ty], self.returns_to)?))
    }

    /// The place of the result, where that is in memory: of its first block.
    fn root(&self, params: &[Val]) -> Vec<u32> {
        match params.last() {
            Some(Val::I32(place)) if self.returns_to => vec![*place as u32],
            _ => Vec::new(),
        }
    }

    fn put<T: 'static>(
        &self,
        image: Image,
        places: &[u32],
        results: &mut [Val],
        caller: &mut Caller<'_, T>,
    ) -> wasmtime::Result<()> {
        if !self.returns_to {
            for (result, word) in results.iter_mut().zip(&image.words) {
                *result = word.to_val(places);
            }
            return Ok(());
        }
        let memory = memory(caller)?;
        Ok(write(image.blocks, places, memory, &mut caller.as_context_mut())?)
    }
}

fn memory<T>(caller: &mut Caller<'_, T>) -> wasmtime::Result<Memory> {
    let memory = caller.get_export(MEMORY).and_then(wasmtime::Extern::into_memory);
    Ok(memory.ok_or_else(|| no_export(MEMORY, "a memory"))?)
}
