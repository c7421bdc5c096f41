//! The parts of an ELF file that decide how it is loaded, read as the loader reads
//! them: by address, through the segments that are mapped.
//!
//! Every number in it is a claim; none is followed out of the file.

use super::{PT_DYNAMIC, PT_LOAD};

/// elf(5)
const HEADER: usize = 64;
const SEGMENT: usize = 56;
const ENTRY: usize = 16;
const EM_X86_64: u16 = 62;
const DT_NULL: u64 = 0;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
#[cfg(feature = "native")]
const DT_HASH: u64 = 4;
#[cfg(feature = "native")]
const DT_SYMTAB: u64 = 6;
#[cfg(feature = "native")]
const DT_GNU_HASH: u64 = 0x6fff_fef5;
#[cfg(feature = "native")]
const SYMBOL: usize = 24;
/// More segments than any linker makes.
const MOST_SEGMENTS: u16 = 64;
/// More symbols than are looked through.
#[cfg(feature = "native")]
const MOST_SYMBOLS: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// A program header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    kind: u32,
    pub(super) flags: u32,
    offset: u64,
    pub(super) address: u64,
    in_file: u64,
    in_memory: u64,
}

/// A file whose segments lie in it, in order and apart.
#[derive(Debug)]
pub(super) struct Elf<'a> {
    bytes: &'a [u8],
    pub(super) kind: u16,
    segments: Vec<Segment>,
}

/// Its dynamic section; of a static executable an empty one.
#[derive(Debug)]
pub(super) struct Dynamic<'e, 'a> {
    elf: &'e Elf<'a>,
    entries: Option<Vec<(u64, u64)>>,
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let part = bytes.get(at..at.checked_add(2)?)?;
    part.try_into().ok().map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    part.try_into().ok().map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    part.try_into().ok().map(u64::from_le_bytes)
}

fn part(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let offset = usize::try_from(offset).ok()?;
    bytes.get(offset..offset.checked_add(usize::try_from(len).ok()?)?)
}

impl<'a> Elf<'a> {
    /// Reads the headers.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let outside = || String::from("its headers lie outside of the file");
        if bytes.get(..4) != Some(b"\x7fELF") {
            return Err("it is no ELF file".into());
        }
        // 64 bits, little endian, version 1.
        if bytes.get(4..7) != Some(&[2, 1, 1]) {
            return Err("it is no ELF file of 64 bits, little endian".into());
        }
        let head = bytes.get(..HEADER).ok_or_else(outside)?;
        let machine = half(head, 18).ok_or_else(outside)?;
        if machine != EM_X86_64 {
            return Err(format!("it is for another machine ({machine}, not x86-64)"));
        }
        let (size, count) = half(head, 54).zip(half(head, 56)).ok_or_else(outside)?;
        if usize::from(size) != SEGMENT || !(1..=MOST_SEGMENTS).contains(&count) {
            return Err(format!("it has {count} program headers of {size} bytes"));
        }
        let table = long(head, 32).ok_or_else(outside)?;
        let length = u64::from(size) * u64::from(count);
        let table = part(bytes, table, length).ok_or_else(outside)?;
        let segments = table.chunks_exact(SEGMENT).map(Segment::read);
        let segments: Option<Vec<Segment>> = segments.collect();
        let elf = Self {
            bytes,
            kind: half(head, 16).ok_or_else(outside)?,
            segments: segments.ok_or_else(outside)?,
        };
        elf.in_order()?;
        Ok(elf)
    }

    /// Two segments at one place would mean something else to each reader.
    fn in_order(&self) -> Result<(), String> {
        let mut end = 0;
        for segment in &self.segments {
            let at = segment.address;
            if part(self.bytes, segment.offset, segment.in_file).is_none() {
                return Err(format!("its segment at {at:#x} lies outside of the file"));
            }
            if segment.kind != PT_LOAD {
                continue;
            }
            let last = at.checked_add(segment.in_memory);
            let Some(last) = last.filter(|_| segment.in_file <= segment.in_memory) else {
                return Err(format!("its segment at {at:#x} is longer than memory"));
            };
            if at / PAGE < end {
                return Err(format!("its segment at {at:#x} lies over another one"));
            }
            end = last.div_ceil(PAGE);
        }
        Ok(())
    }

    /// Segments of this kind.
    pub(super) fn of(&self, kind: u32) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |s| s.kind == kind)
    }

    /// Whether there is one.
    pub(super) fn has(&self, kind: u32) -> bool {
        self.of(kind).next().is_some()
    }

    /// `len` bytes of the file that will lie at this address.
    fn at(&self, address: u64, len: u64) -> Option<&'a [u8]> {
        let rest = self.from(address)?;
        rest.get(..usize::try_from(len).ok()?)
    }

    /// What of its segment lies there and behind.
    fn from(&self, address: u64) -> Option<&'a [u8]> {
        self.of(PT_LOAD).find_map(|segment| {
            let skip = address.checked_sub(segment.address)?;
            let left = segment.in_file.checked_sub(skip).filter(|left| *left > 0)?;
            part(self.bytes, segment.offset.checked_add(skip)?, left)
        })
    }

    /// The dynamic section, where the loader finds it.
    pub(super) fn dynamic(&self) -> Result<Dynamic<'_, 'a>, String> {
        let odd = || String::from("its dynamic section (PT_DYNAMIC) is not where it says");
        let mut found = self.of(PT_DYNAMIC);
        let Some(segment) = found.next() else {
            return Ok(Dynamic {
                elf: self,
                entries: None,
            });
        };
        if found.next().is_some() {
            return Err("it has two dynamic sections (PT_DYNAMIC)".into());
        }
        let bytes = self.at(segment.address, segment.in_file).ok_or_else(odd)?;
        if part(self.bytes, segment.offset, segment.in_file) != Some(bytes) {
            return Err(odd());
        }
        let mut entries = Vec::new();
        for entry in bytes.chunks_exact(ENTRY) {
            let (tag, value) = long(entry, 0).zip(long(entry, 8)).ok_or_else(odd)?;
            if tag == DT_NULL {
                return Ok(Dynamic {
                    elf: self,
                    entries: Some(entries),
                });
            }
            entries.push((tag, value));
        }
        Err("its dynamic section has no end (DT_NULL)".into())
    }
}

impl Segment {
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: word(bytes, 0)?,
            flags: word(bytes, 4)?,
            offset: long(bytes, 8)?,
            address: long(bytes, 16)?,
            in_file: long(bytes, 32)?,
            in_memory: long(bytes, 40)?,
        })
    }
}

impl Dynamic<'_, '_> {
    /// Whether the file has one.
    #[cfg(feature = "native")]
    pub(super) fn is_there(&self) -> bool {
        self.entries.is_some()
    }

    /// Tags and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u64)> {
        self.entries.iter().flatten().copied()
    }

    /// The value of a tag that is there once.
    fn only(&self, wanted: u64) -> Result<Option<u64>, String> {
        let mut values = self.entries().filter(|(tag, _)| *tag == wanted);
        let first = values.next().map(|(_, value)| value);
        match values.next() {
            None => Ok(first),
            Some(_) => Err(format!("its dynamic section says {wanted:#x} twice")),
        }
    }

    /// A text of the table of names, with what can't be shown replaced.
    pub(super) fn text(&self, offset: u64) -> Result<String, String> {
        let name = self.name(offset)?;
        let name = name.ok_or("a name of its dynamic section is not in its table of names")?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    fn name(&self, offset: u64) -> Result<Option<&[u8]>, String> {
        let table = self.only(DT_STRTAB)?.zip(self.only(DT_STRSZ)?);
        let table = table.and_then(|(at, len)| self.elf.at(at, len));
        let rest = table.and_then(|table| table.get(usize::try_from(offset).ok()?..));
        Ok(rest.and_then(|rest| rest.split(|byte| *byte == 0).next()))
    }

    /// What follows `prefix` in the names of the symbols that it defines.
    #[cfg(feature = "native")]
    pub(super) fn defined(&self, prefix: &str) -> Result<Vec<String>, String> {
        let odd = "its table of symbols is not where it says";
        let (symbols, count) = (self.only(DT_SYMTAB)?, self.count()?);
        let symbols = symbols.and_then(|at| self.elf.from(at)).ok_or(odd)?;
        let mut found = Vec::new();
        let count = usize::try_from(count.min(MOST_SYMBOLS)).unwrap_or(usize::MAX);
        for symbol in symbols.chunks_exact(SYMBOL).take(count) {
            let (name, section) = word(symbol, 0).zip(half(symbol, 6)).ok_or(odd)?;
            let name = self.name(name.into())?.unwrap_or_default();
            let rest = name.strip_prefix(prefix.as_bytes());
            let digits =
                rest.filter(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit));
            if section != 0
                && let Some(digits) = digits
            {
                found.push(String::from_utf8_lossy(digits).into_owned());
            }
        }
        Ok(found)
    }

    /// How many symbols there are: only the tables for looking them up tell.
    #[cfg(feature = "native")]
    fn count(&self) -> Result<u64, String> {
        let odd = || String::from("its table of symbols has no length (DT_GNU_HASH, DT_HASH)");
        if let Some(at) = self.only(DT_HASH)? {
            let chains = self.elf.at(at, 8).and_then(|head| word(head, 4));
            return chains.map(u64::from).ok_or_else(odd);
        }
        let at = self.only(DT_GNU_HASH)?.ok_or_else(odd)?;
        let table = self.elf.from(at).ok_or_else(odd)?;
        gnu_count(table).ok_or_else(odd)
    }
}

/// The last symbol of the last chain of a `DT_GNU_HASH` table, and one.
#[cfg(feature = "native")]
fn gnu_count(table: &[u8]) -> Option<u64> {
    let [buckets, first, bloom] = [0, 4, 8].map(|at| word(table, at));
    let (buckets, first, bloom) = (buckets?, first?, bloom?);
    let heads = usize::try_from(bloom)
        .ok()?
        .checked_mul(8)?
        .checked_add(16)?;
    let buckets = usize::try_from(buckets).ok()?.checked_mul(4)?;
    let chains = heads.checked_add(buckets)?;
    let heads = table.get(heads..chains)?;
    let last = heads
        .chunks_exact(4)
        .filter_map(|head| word(head, 0))
        .max()?;
    if last < first {
        return Some(first.into()); // every bucket is empty
    }
    let mut index = last;
    loop {
        let chain = usize::try_from(index.checked_sub(first)?)
            .ok()?
            .checked_mul(4)?;
        let hash = word(table, chains.checked_add(chain)?)?;
        index = index.checked_add(1)?;
        if hash & 1 == 1 || u64::from(index) > MOST_SYMBOLS {
            return Some(index.into());
        }
    }
}
