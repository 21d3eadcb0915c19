//! [`pruned`]: an engine with its graphs ready, without the code and the static memory that it can't reach any more.
//!
//! What read the graphs and made their plans stands in the engine still, and is never called again. What takes whose address
//! the linker knew (the section [`SECTION`], which is made by `functions/src/guest_references.rs`), calls stand in the code, and
//! what the graphs have come to is in memory. All that is reached from exports and memory stays; any other function becomes
//! one that traps, and static memory becomes zeros. Indices and addresses remain what they were.
//!
//! The heap, and variables that are reached, are looked at without knowing what they hold: each word that may be an address of
//! something static, or a function's place in the table, is taken for one. So a number may keep something that isn't needed,
//! and nothing that is needed is left out.

use std::ops::Range;

use wasm_encoder::{
    CodeSection, ComponentSection as _, ConstExpr, DataCountSection, DataSection, Function, Module,
    ModuleSection, RawSection,
};
use wasmparser::{
    BinaryReaderError, DataKind, ElementItems, ElementKind, ExternalKind, FunctionBody, Operator, Parser,
    Payload, TypeRef,
};

use crate::Error;

/// What takes whose address.
const SECTION: &str = "ampoule:references";

/// So many zeros in memory are worth a segment less of them.
const ZEROS: usize = 512;
/// Segments that a memory may have: runtimes take no more than 100,000.
const MOST_SEGMENTS: usize = 90_000;

/// `component` without what its exports but `ended`, which are not called any more, don't reach. What the linker said
/// nothing of stays as it is.
///
/// # Errors
/// [`Error::Contract`] for what can't be read.
pub(super) fn pruned(component: &[u8], ended: &[&str]) -> Result<Vec<u8>, Error> {
    let contract = |cause: BinaryReaderError| Error::Contract(format!("the engine can't be read: {cause}"));
    let mut out = wasm_encoder::Component::HEADER.to_vec();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(contract)?;
        if let (0, Some((id, range))) = (depth, payload.as_section()) {
            let bytes = &component[range];
            let module = matches!(payload, Payload::ModuleSection { .. }).then(|| Prepared::read(bytes));
            match module.transpose().map_err(contract)?.flatten() {
                Some(prepared) => {
                    ModuleSection(&prepared.pruned(ended).map_err(contract)?).append_to_component(&mut out);
                }
                None => RawSection { id, data: bytes }.append_to_component(&mut out),
            }
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(out)
}

/// The addresses that a function or a constant has in it.
struct Targets {
    functions: Vec<u32>,
    regions: Vec<u32>,
}

struct References {
    /// Memory that doesn't change
    constant: Range<u32>,
    /// The end of variables, which follow; then comes the heap
    end: u32,
    /// Pieces of static memory, in order. A variable has no targets here, as they change
    regions: Vec<(Range<u32>, Targets)>,
    /// By function that the module defines; the last ones may be missing, and take no addresses
    functions: Vec<Targets>,
}

impl References {
    fn read(section: &[u8]) -> Option<Self> {
        let mut numbers = Numbers(section);
        let (constant, static_end) = (numbers.next()?..numbers.next()?, numbers.next()?);
        let mut end = 0u32;
        let regions = (0..numbers.next()?).map(|_| {
            let start = end.checked_add(numbers.next()?)?;
            end = start.checked_add(numbers.next()?)?;
            Some((start..end, numbers.targets()?))
        });
        let regions = regions.collect::<Option<_>>()?;
        let functions = (0..numbers.next()?).map(|_| numbers.targets()).collect::<Option<_>>()?;
        Some(Self { constant, end: static_end, regions, functions })
    }

    /// The piece of static memory that has `address`.
    fn region(&self, address: u32) -> Option<u32> {
        let at = self.regions.partition_point(|(region, _)| region.end <= address);
        self.regions.get(at).is_some_and(|(region, _)| region.contains(&address)).then_some(at as u32)
    }
}

/// Numbers in LEB128.
struct Numbers<'s>(&'s [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    fn list(&mut self) -> Option<Vec<u32>> {
        let mut list = Vec::new();
        for _ in 0..self.next()? {
            let last = list.last().copied().unwrap_or(0);
            list.push(self.next()?.checked_add(last)?);
        }
        Some(list)
    }

    fn targets(&mut self) -> Option<Targets> {
        Some(Targets { functions: self.list()?, regions: self.list()? })
    }
}

/// A core module whose memory was stored.
struct Prepared<'m> {
    bytes: &'m [u8],
    references: References,
    imported: u32,
    exports: Vec<(&'m str, u32)>,
    /// Where the table's functions begin, and these
    table: (u32, Vec<u32>),
    /// Where the stack ends, which grows down: nothing below is in use between calls
    stack: u32,
    bodies: Vec<FunctionBody<'m>>,
    /// Passive ones, which are empty or copied by code
    passive: Vec<&'m [u8]>,
    /// Address and content
    memory: Vec<(u32, &'m [u8])>,
}

impl<'m> Prepared<'m> {
    /// None for a module that nothing is known of.
    fn read(bytes: &'m [u8]) -> Result<Option<Self>, BinaryReaderError> {
        let mut references = None;
        for payload in Parser::new(0).parse_all(bytes) {
            if let Payload::CustomSection(custom) = payload?
                && custom.name() == SECTION
            {
                references = References::read(custom.data());
            }
        }
        let Some(references) = references else { return Ok(None) };
        let mut prepared = Self {
            bytes,
            references,
            imported: 0,
            exports: Vec::new(),
            table: (0, Vec::new()),
            stack: 0,
            bodies: Vec::new(),
            passive: Vec::new(),
            memory: Vec::new(),
        };
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        prepared.imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::GlobalSection(section) => {
                    // The linker's first global is the stack's pointer.
                    if let Some(global) = section.into_iter().next() {
                        prepared.stack = address(&global?.init_expr)?.unwrap_or(0);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            prepared.exports.push((export.name, export.index));
                        }
                    }
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element?;
                        let ElementItems::Functions(functions) = element.items else { return Ok(None) };
                        let ElementKind::Active { offset_expr, .. } = element.kind else { return Ok(None) };
                        let (Some(start), true) = (address(&offset_expr)?, prepared.table.1.is_empty())
                        else {
                            return Ok(None);
                        };
                        prepared.table = (start, functions.into_iter().collect::<Result<_, _>>()?);
                    }
                }
                Payload::CodeSectionEntry(body) => prepared.bodies.push(body),
                Payload::DataSection(section) => {
                    for segment in section {
                        let segment = segment?;
                        match segment.kind {
                            DataKind::Passive => prepared.passive.push(segment.data),
                            DataKind::Active { offset_expr, .. } => match address(&offset_expr)? {
                                Some(at) => prepared.memory.push((at, segment.data)),
                                None => return Ok(None),
                            },
                        }
                    }
                }
                _ => {}
            }
        }
        prepared.memory.sort_by_key(|(at, _)| *at);
        // The linker puts the stack first, and lets it grow away from all else.
        let known = prepared.stack <= prepared.references.constant.start;
        Ok(known.then_some(prepared))
    }

    fn pruned(&self, ended: &[&str]) -> Result<Module, BinaryReaderError> {
        let reached = self.reached(ended)?;
        let mut zeros = ZEROS;
        let mut memory = self.memory_without(&reached.regions, zeros);
        while memory.len() > MOST_SEGMENTS && zeros < u32::MAX as usize {
            zeros *= 2;
            memory = self.memory_without(&reached.regions, zeros);
        }
        let mut module = Module::new();
        for payload in Parser::new(0).parse_all(self.bytes) {
            let payload = payload?;
            match &payload {
                Payload::CustomSection(custom) if custom.name() == SECTION => {}
                Payload::CodeSectionStart { .. } => {
                    let mut code = CodeSection::new();
                    for (body, reached) in self.bodies.iter().zip(&reached.functions) {
                        if *reached {
                            code.raw(&self.bytes[body.range()]);
                        } else {
                            let mut trap = Function::new([]);
                            trap.instructions().unreachable().end();
                            code.function(&trap);
                        }
                    }
                    module.section(&code);
                }
                Payload::DataCountSection { .. } => {
                    let count = (self.passive.len() + memory.len()) as u32;
                    module.section(&DataCountSection { count });
                }
                Payload::DataSection(_) => {
                    let mut data = DataSection::new();
                    for segment in &self.passive {
                        data.passive(segment.iter().copied());
                    }
                    for (at, segment) in &memory {
                        data.active(0, &ConstExpr::i32_const(at.cast_signed()), segment.iter().copied());
                    }
                    module.section(&data);
                }
                Payload::CodeSectionEntry(_) => {}
                payload => {
                    if let Some((id, range)) = payload.as_section() {
                        module.section(&RawSection { id, data: &self.bytes[range] });
                    }
                }
            }
        }
        Ok(module)
    }

    /// What the exports but `ended` and memory reach.
    fn reached(&self, ended: &[&str]) -> Result<Reached, BinaryReaderError> {
        let mut reached = Reached {
            functions: vec![false; self.bodies.len()],
            regions: vec![false; self.references.regions.len()],
        };
        let kept = self.exports.iter().filter(|(name, _)| !ended.contains(name));
        let mut functions: Vec<u32> = kept.map(|(_, function)| *function).collect();
        let mut regions = Vec::new();
        let words = self.words();
        let look = |memory: Range<u32>, functions: &mut Vec<u32>, regions: &mut Vec<u32>| {
            let from = words.partition_point(|(at, _)| *at < memory.start & !3);
            for (_, word) in words[from..].iter().take_while(|(at, _)| *at < memory.end) {
                let place = word.checked_sub(self.table.0).and_then(|at| self.table.1.get(at as usize));
                functions.extend(place);
                regions.extend(self.references.region(*word));
            }
        };
        look(self.references.end..u32::MAX, &mut functions, &mut regions);
        loop {
            if let Some(function) = functions.pop() {
                let Some(at) = function.checked_sub(self.imported).map(|at| at as usize) else { continue };
                if std::mem::replace(&mut reached.functions[at], true) {
                    continue;
                }
                for operator in self.bodies[at].get_operators_reader()? {
                    if let Operator::Call { function_index }
                    | Operator::ReturnCall { function_index }
                    | Operator::RefFunc { function_index } = operator?
                    {
                        functions.push(function_index);
                    }
                }
                if let Some(targets) = self.references.functions.get(at) {
                    functions.extend(&targets.functions);
                    regions.extend(&targets.regions);
                }
            } else if let Some(region) = regions.pop() {
                if !std::mem::replace(&mut reached.regions[region as usize], true) {
                    let (memory, targets) = &self.references.regions[region as usize];
                    functions.extend(&targets.functions);
                    regions.extend(&targets.regions);
                    if memory.start >= self.references.constant.end {
                        look(memory.clone(), &mut functions, &mut regions);
                    }
                }
            } else {
                return Ok(reached);
            }
        }
    }

    /// The aligned words of memory that can change, in order, with their addresses; what can't be a place in the table or in
    /// static memory is left out, as most of a graph's weights are.
    fn words(&self) -> Vec<(u32, u32)> {
        let (first, table) = &self.table;
        let end = self.references.end.max(first.saturating_add(table.len() as u32));
        let mut words: Vec<(u32, u32)> = Vec::new();
        for (start, segment) in &self.memory {
            for (at, byte) in (*start..)
                .zip(*segment)
                .filter(|(at, byte)| **byte != 0 && *at >= self.references.constant.end)
            {
                let bits = u32::from(*byte) << (8 * (at % 4));
                match words.last_mut() {
                    Some((last, word)) if *last == at & !3 => *word |= bits,
                    last => {
                        if last.is_some_and(|(_, word)| *word >= end) {
                            words.pop();
                        }
                        words.push((at & !3, bits));
                    }
                }
            }
        }
        words
    }

    /// Memory with zeros where the stack was and where static memory isn't reached, in segments without rows of zeros as
    /// `long`.
    fn memory_without(&self, reached: &[bool], long: usize) -> Vec<(u32, Vec<u8>)> {
        let unused = self.references.regions.iter().zip(reached).filter(|(_, reached)| !**reached);
        let unused: Vec<Range<u32>> =
            std::iter::once(0..self.stack).chain(unused.map(|((region, _), _)| region.clone())).collect();
        let mut kept = Vec::new();
        for (at, segment) in &self.memory {
            let mut content = segment.to_vec();
            let end = at + segment.len() as u32;
            let first = unused.partition_point(|range| range.end <= *at);
            for range in unused[first..].iter().take_while(|range| range.start < end) {
                content[(range.start.max(*at) - at) as usize..(range.end.min(end) - at) as usize].fill(0);
            }
            let mut from = 0;
            while let Some(start) =
                content[from..].iter().position(|byte| *byte != 0).map(|start| from + start)
            {
                let mut zeros = 0;
                let end = content[start..].iter().position(|byte| {
                    zeros = if *byte == 0 { zeros + 1 } else { 0 };
                    zeros == long
                });
                let end = end.map_or(content.len(), |end| start + end + 1);
                let used = content[start..end].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                kept.push((at + start as u32, content[start..start + used].to_vec()));
                from = end;
            }
        }
        kept
    }
}

struct Reached {
    /// By function that the module defines
    functions: Vec<bool>,
    /// By piece of static memory
    regions: Vec<bool>,
}

/// The fixed number that an expression is.
fn address(expression: &wasmparser::ConstExpr<'_>) -> Result<Option<u32>, BinaryReaderError> {
    Ok(match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Some(value.cast_unsigned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        CustomSection, ElementSection, Elements, ExportKind, ExportSection, FunctionSection, GlobalSection,
        GlobalType, MemorySection, MemoryType, RefType, TableSection, TableType, TypeSection, ValType,
    };

    /// Where the table's functions begin.
    const TABLE: u32 = 1000;

    /// A module of functions that each give their own number and call what `calls` says, with all of them in its table. The
    /// stack ends at 16; constants lie from there to 40, 8 bytes each; variables from there to 48, then comes the heap.
    fn module(
        calls: &[&[u32]],
        exports: &[(&str, u32)],
        memory: &[(u32, &[u8])],
        references: &[u8],
    ) -> Vec<u8> {
        let count = calls.len() as u32;
        let (mut types, mut functions, mut code) =
            (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function([], [ValType::I32]);
        for (at, calls) in calls.iter().enumerate() {
            functions.function(0);
            let mut body = Function::new([]);
            for call in *calls {
                body.instructions().call(*call).drop();
            }
            body.instructions().i32_const(at as i32).end();
            code.function(&body);
        }
        let (mut tables, mut memories, mut globals) =
            (TableSection::new(), MemorySection::new(), GlobalSection::new());
        let size = u64::from(TABLE + count);
        tables.table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: size,
            maximum: None,
            shared: false,
        });
        memories.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let global = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(global, &ConstExpr::i32_const(16));
        let mut exported = ExportSection::new();
        for (name, function) in exports {
            exported.export(name, ExportKind::Func, *function);
        }
        let (mut elements, mut data) = (ElementSection::new(), DataSection::new());
        let all: Vec<u32> = (0..count).collect();
        elements.active(None, &ConstExpr::i32_const(TABLE as i32), Elements::Functions(all.into()));
        for (at, bytes) in memory {
            data.active(0, &ConstExpr::i32_const(*at as i32), bytes.iter().copied());
        }
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&tables).section(&memories).section(&globals);
        module.section(&exported).section(&elements).section(&code).section(&data);
        module.section(&CustomSection { name: SECTION.into(), data: references.into() });
        module.finish()
    }

    fn component(module: &[u8]) -> Vec<u8> {
        let mut component = wasm_encoder::Component::HEADER.to_vec();
        RawSection { id: 1, data: module }.append_to_component(&mut component);
        component
    }

    fn prune(module: &[u8]) -> Vec<u8> {
        let pruned = pruned(&component(module), &["prepare"]).expect("it can be read");
        let payloads = Parser::new(0).parse_all(&pruned).map(|payload| payload.expect("a component"));
        let range = payloads.into_iter().find_map(|payload| match payload {
            Payload::ModuleSection { unchecked_range, .. } => Some(unchecked_range),
            _ => None,
        });
        pruned[range.expect("it has a module")].to_vec()
    }

    /// Which functions end in a trap, and memory up to 64.
    fn outcome(module: &[u8]) -> (Vec<u32>, Vec<u8>) {
        let (mut traps, mut memory, mut at) = (Vec::new(), vec![0; 64], 0);
        for payload in Parser::new(0).parse_all(module) {
            match payload.expect("a module") {
                Payload::CodeSectionEntry(body) => {
                    let first = body.get_operators_reader().expect("code").read().expect("an operator");
                    if matches!(first, Operator::Unreachable) {
                        traps.push(at);
                    }
                    at += 1;
                }
                Payload::DataSection(section) => {
                    for segment in section {
                        let segment = segment.expect("a segment");
                        let DataKind::Active { offset_expr, .. } = segment.kind else { continue };
                        let at = address(&offset_expr).expect("it is one").expect("it is a number") as usize;
                        memory[at..at + segment.data.len()].copy_from_slice(segment.data);
                    }
                }
                Payload::CustomSection(custom) => assert_ne!(custom.name(), SECTION),
                _ => {}
            }
        }
        (traps, memory)
    }

    #[test]
    fn what_is_not_reached_traps_and_what_may_be_stays() {
        // Constants: that of 1 has the address of 2, that of nobody that of 6, that in the heap that of 7 and of the second of
        // two variables, 4 bytes each, which has that of 8.
        let references: &[u8] = &[
            16, 40, 48, // static memory
            5,  // regions: start behind the last, length, functions, regions
            16, 8, 1, 2, 0, //
            0, 8, 1, 6, 0, //
            0, 8, 1, 7, 1, 4, //
            0, 4, 0, 0, //
            0, 4, 0, 0, //
            9, // functions: functions, regions
            0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let calls: [&[u32]; 9] = [&[1], &[], &[], &[4], &[], &[], &[], &[], &[]];
        let exports = [("run", 0), ("prepare", 3)];
        let place = |function: u32| (TABLE + function).to_le_bytes();
        // On the stack is what once was; the address of the third constant lies across two segments.
        let third = 32u32.to_le_bytes();
        let constants = [7u8; 24];
        let memory: [(u32, &[u8]); 7] = [
            (8, &place(4)),
            (16, &constants),
            (40, &place(4)),
            (44, &place(8)),
            (48, &place(5)),
            (52, &third[..1]),
            (53, &third[1..]),
        ];
        let (traps, after) = outcome(&prune(&module(&calls, &exports, &memory, references)));
        assert_eq!(traps, [3, 4, 6]);
        let mut expected = vec![0; 64];
        for (at, bytes) in &memory[1..] {
            expected[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        // Neither the stack, nor the second constant, nor the first variable.
        expected[24..32].fill(0);
        expected[40..44].fill(0);
        assert_eq!(after, expected);
    }

    #[test]
    fn memory_has_no_more_segments_than_runtimes_take() {
        let mut heap = vec![0; 600 * (MOST_SEGMENTS + 1)];
        heap.iter_mut().step_by(600).for_each(|byte| *byte = 1);
        let sparse = module(&[&[]], &[("run", 0)], &[(48, &heap)], &[16, 40, 48, 0, 1, 0, 0]);
        let pruned = prune(&sparse);
        let segments = Parser::new(0).parse_all(&pruned).find_map(|payload| match payload {
            Ok(Payload::DataSection(section)) => Some(section.count()),
            _ => None,
        });
        assert_eq!(segments, Some(1));
    }

    #[test]
    fn a_module_of_which_the_linker_said_nothing_stays_as_it_is() {
        let plain = module(&[&[], &[]], &[("run", 0)], &[(48, &[1, 2, 3])], &[0x80]);
        let plain = component(&plain);
        assert_eq!(pruned(&plain, &[]).expect("it can be read"), plain);
    }
}
