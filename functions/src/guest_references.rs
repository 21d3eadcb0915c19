//! What in a linked module takes the address of what, from the linker's relocations (`--emit-relocs`): `ampoule seal` finds by it
//! what a prepared engine can't reach any more (`host/runtime/src/seal/prune.rs`).
//!
//! It is the module's section [`SECTION`], in numbers of LEB128:
//!
//! ```text
//! static memory       its first address, the one behind its constants, and the one behind all
//! regions             how many; for each: its start less the end of the one before, its length, its targets
//! functions           how many; for each that the module defines, in order: its targets
//! targets             how many functions; for each its index less the one before; the same of regions
//! ```
//!
//! A region is a piece of static memory that is referred to as a whole: a string, a table of functions, a variable. What a
//! variable's first value refers to isn't here, as it may have another since; neither are calls, which stand in the code.

use std::collections::BTreeSet;
use std::ops::Range;

use wasmparser::{
    BinaryReader, BinaryReaderError, Data, DataKind, DefinedDataSymbol, Linking, LinkingSectionReader,
    Operator, Parser, Payload, RelocSectionReader, RelocationEntry, RelocationType, SymbolInfo,
};

/// The name of the section.
pub const SECTION: &str = "ampoule:references";

/// Whether a custom section is the linker's, or names what is in the module.
pub fn is_for_linkers(section: &str) -> bool {
    matches!(section, "linking" | "name") || section.starts_with("reloc.") || section.starts_with(".debug")
}

/// Gives what the section holds; none for a module that was linked without `--emit-relocs`. `place` says where a function of
/// this module is found in the one that the section is for.
///
/// # Errors
/// One sentence: the linker says what isn't understood.
pub fn references(module: &[u8], place: impl Fn(u32) -> u32) -> Result<Option<Vec<u8>>, String> {
    let linked =
        Linked::read(module).map_err(|cause| format!("what the linker says can't be read: {cause}"))?;
    if linked.relocations.is_empty() {
        return Ok(None);
    }
    let why = |why: &str| format!("what the linker says isn't understood: {why}");
    linked.references().map(|references| Some(references.encode(place))).map_err(why)
}

/// What a linked module says of itself.
#[derive(Default)]
struct Linked {
    /// Which section has the code, and where its content begins
    code: (u32, usize),
    data: (u32, usize),
    /// The bodies of functions
    bodies: Vec<Range<usize>>,
    segments: Vec<Segment>,
    /// By segment
    names: Vec<String>,
    symbols: Vec<Symbol>,
    /// By section
    relocations: Vec<(u32, RelocationEntry)>,
}

struct Segment {
    /// In the file
    bytes: Range<usize>,
    /// In memory; none for one without a fixed place
    address: Option<u32>,
}

enum Symbol {
    Function(u32),
    Data(DefinedDataSymbol),
    Other,
}

impl Linked {
    fn read(module: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut linked = Self::default();
        let mut section = 0;
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            match &payload {
                Payload::CodeSectionStart { range, .. } => linked.code = (section, range.start),
                Payload::CodeSectionEntry(body) => linked.bodies.push(body.range()),
                Payload::DataSection(reader) => {
                    linked.data = (section, reader.range().start);
                    for segment in reader.clone() {
                        linked.segments.push(Segment::of(&segment?)?);
                    }
                }
                Payload::CustomSection(custom) if custom.name() == "linking" => {
                    let reader = BinaryReader::new(custom.data(), custom.data_offset());
                    for part in LinkingSectionReader::new(reader)?.subsections() {
                        linked.read_linking(part?)?;
                    }
                }
                Payload::CustomSection(custom) if custom.name().starts_with("reloc.") => {
                    let reader = BinaryReader::new(custom.data(), custom.data_offset());
                    let reader = RelocSectionReader::new(reader)?;
                    for entry in reader.entries() {
                        linked.relocations.push((reader.section_index(), entry?));
                    }
                }
                _ => {}
            }
            let part =
                matches!(payload, Payload::Version { .. } | Payload::CodeSectionEntry(_) | Payload::End(_));
            section += u32::from(!part);
        }
        Ok(linked)
    }

    fn read_linking(&mut self, part: Linking<'_>) -> Result<(), BinaryReaderError> {
        match part {
            Linking::SegmentInfo(segments) => {
                for segment in segments {
                    self.names.push(segment?.name.to_owned());
                }
            }
            Linking::SymbolTable(symbols) => {
                for symbol in symbols {
                    self.symbols.push(match symbol? {
                        SymbolInfo::Func { index, .. } => Symbol::Function(index),
                        SymbolInfo::Data { symbol: Some(place), .. } => Symbol::Data(place),
                        _ => Symbol::Other,
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The piece of memory that a symbol names.
    fn memory(&self, symbol: &DefinedDataSymbol) -> Option<Range<u32>> {
        let start = self.segments.get(symbol.index as usize)?.address? + symbol.offset;
        Some(start..start + symbol.size)
    }

    fn references(&self) -> Result<References, &'static str> {
        let at = self.names.iter().position(|name| name.starts_with(".rodata"));
        let constants = at.and_then(|at| self.segments.get(at)).ok_or("there are no constants")?;
        let start = constants.address.ok_or("constants have no fixed place")?;
        let constant = start..start + constants.bytes.len() as u32;
        let ends = self.segments.iter().map(|segment| Some(segment.address? + segment.bytes.len() as u32));
        let end = ends.max().flatten().ok_or("data have no fixed place")?;
        if self.segments.iter().any(|segment| segment.address.is_none_or(|address| address < start)) {
            return Err("constants are not the first");
        }

        let mut named: Vec<Range<u32>> = self
            .symbols
            .iter()
            .filter_map(|symbol| if let Symbol::Data(data) = symbol { self.memory(data) } else { None })
            .filter(|memory| (start..end).contains(&memory.start) && !memory.is_empty())
            .collect();
        named.sort_by_key(|memory| (memory.start, memory.end));
        let mut regions: Vec<Range<u32>> = Vec::new();
        for memory in named {
            match regions.last_mut() {
                // Strings with the same end share it.
                Some(last) if memory.start < last.end => last.end = last.end.max(memory.end),
                _ => regions.push(memory),
            }
        }
        let region = |address: u32| {
            let at = regions.partition_point(|region| region.end <= address);
            regions.get(at).is_some_and(|region| region.contains(&address)).then_some(at as u32)
        };
        let mut of_regions: Vec<Targets> = regions.iter().map(|_| Targets::default()).collect();
        let mut of_functions: Vec<Targets> = self.bodies.iter().map(|_| Targets::default()).collect();
        for (section, relocation) in &self.relocations {
            let targets = if *section == self.code.0 {
                let at = self.code.1 + relocation.offset as usize;
                let body = self.bodies.partition_point(|body| body.end <= at);
                let inside = self.bodies.get(body).is_some_and(|body| body.contains(&at));
                of_functions.get_mut(body).filter(|_| inside)
            } else if *section == self.data.0 {
                let at = self.data.1 + relocation.offset as usize;
                let segment = self.segments.iter().find(|segment| segment.bytes.contains(&at));
                let segment = segment.ok_or("a relocation lies outside of the data")?;
                let address = segment.address.ok_or("data with relocations have no fixed place")?;
                let address = address + (at - segment.bytes.start) as u32;
                if !constant.contains(&address) {
                    // The first value of a variable.
                    continue;
                }
                region(address).and_then(|region| of_regions.get_mut(region as usize))
            } else {
                continue;
            };
            let targets = targets.ok_or("a relocation belongs to nothing")?;
            use RelocationType as Kind;
            match (relocation.ty, self.symbols.get(relocation.index as usize)) {
                // Types and tables have no addresses, and calls are read from the code.
                (Kind::TypeIndexLeb | Kind::TableNumberLeb | Kind::FunctionIndexLeb, _) => {}
                (
                    Kind::TableIndexSleb
                    | Kind::TableIndexRelSleb
                    | Kind::TableIndexI32
                    | Kind::GlobalIndexLeb,
                    Some(Symbol::Function(function)),
                ) => {
                    targets.functions.insert(*function);
                }
                (
                    Kind::MemoryAddrLeb
                    | Kind::MemoryAddrSleb
                    | Kind::MemoryAddrRelSleb
                    | Kind::MemoryAddrI32
                    | Kind::GlobalIndexLeb,
                    Some(Symbol::Data(data)),
                ) => {
                    targets.regions.extend(self.memory(data).and_then(|memory| region(memory.start)));
                }
                // A global of the linker's, or an address that it worked out, such as the end of the data.
                (
                    Kind::GlobalIndexLeb
                    | Kind::MemoryAddrLeb
                    | Kind::MemoryAddrSleb
                    | Kind::MemoryAddrRelSleb
                    | Kind::MemoryAddrI32,
                    Some(Symbol::Other),
                ) => {}
                _ => return Err("a relocation of another kind"),
            }
        }
        Ok(References { constant, end, regions, of_regions, of_functions })
    }
}

impl Segment {
    fn of(segment: &Data<'_>) -> Result<Self, BinaryReaderError> {
        let address = match &segment.kind {
            DataKind::Active { offset_expr, .. } => match offset_expr.get_operators_reader().read()? {
                Operator::I32Const { value } => Some(value.cast_unsigned()),
                _ => None,
            },
            DataKind::Passive => None,
        };
        Ok(Self { bytes: segment.range.end - segment.data.len()..segment.range.end, address })
    }
}

/// What takes the address of what.
struct References {
    constant: Range<u32>,
    /// Of static memory
    end: u32,
    /// In order, and apart from one another
    regions: Vec<Range<u32>>,
    of_regions: Vec<Targets>,
    of_functions: Vec<Targets>,
}

#[derive(Default)]
struct Targets {
    functions: BTreeSet<u32>,
    regions: BTreeSet<u32>,
}

impl References {
    fn encode(&self, place: impl Fn(u32) -> u32) -> Vec<u8> {
        let mut out = Vec::new();
        let put_targets = |out: &mut Vec<u8>, targets: &Targets| {
            let functions: BTreeSet<u32> =
                targets.functions.iter().map(|function| place(*function)).collect();
            for list in [&functions, &targets.regions] {
                put(out, list.len() as u32);
                let mut last = 0;
                for index in list {
                    put(out, index - last);
                    last = *index;
                }
            }
        };
        put(&mut out, self.constant.start);
        put(&mut out, self.constant.end);
        put(&mut out, self.end);
        put(&mut out, self.regions.len() as u32);
        let mut end = 0;
        for (region, targets) in self.regions.iter().zip(&self.of_regions) {
            put(&mut out, region.start - end);
            put(&mut out, region.end - region.start);
            put_targets(&mut out, targets);
            end = region.end;
        }
        put(&mut out, self.of_functions.len() as u32);
        self.of_functions.iter().for_each(|targets| put_targets(&mut out, targets));
        out
    }
}

/// Appends a number.
fn put(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
