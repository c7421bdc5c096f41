#[cfg(feature = "program")]
use super::executable;
#[cfg(feature = "native")]
use super::shared_object;
use super::*;

#[cfg(feature = "program")]
const ET_EXEC: u16 = 2;

/// A file with these segments (kind, flags, content, address); the content of each
/// lies at its address.
fn elf(kind: u16, segments: &[(u32, u32, &[u8], u64)]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(64, 0);
    bytes[16..18].copy_from_slice(&kind.to_le_bytes());
    bytes[18..20].copy_from_slice(&62_u16.to_le_bytes());
    bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
    bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
    bytes[56..58].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_le_bytes());
    for (kind, flags, content, address) in segments {
        let len = content.len() as u64;
        for word in [*kind, *flags] {
            bytes.extend(word.to_le_bytes());
        }
        for long in [*address, *address, *address, len, len, 4096] {
            bytes.extend(long.to_le_bytes());
        }
    }
    for (_, _, content, address) in segments {
        let at = usize::try_from(*address).unwrap();
        let end = at + content.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[at..end].copy_from_slice(content);
    }
    bytes
}

fn dynamic(entries: &[(u64, u64)]) -> Vec<u8> {
    let end = [(0, 0)];
    let all = entries.iter().chain(&end);
    all.flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
        .collect()
}

const STACK: (u32, u32, &[u8], u64) = (PT_GNU_STACK, 6, &[], 0);

/// Names at 0x1000, one symbol at 0x2000, a table of one bucket at 0x2100, the
/// dynamic section at 0x3000.
#[cfg(feature = "native")]
fn object(name: &str, more: &[(u64, u64)]) -> Vec<u8> {
    let names = format!("\0{name}\0libx.so\0libc.so.6\0");
    let mut data = vec![0; 0x1100];
    data[24..28].copy_from_slice(&1_u32.to_le_bytes());
    data[30..32].copy_from_slice(&7_u16.to_le_bytes());
    // DT_HASH: one bucket, two symbols.
    data[0x100..0x104].copy_from_slice(&1_u32.to_le_bytes());
    data[0x104..0x108].copy_from_slice(&2_u32.to_le_bytes());
    let own = [
        (5, 0x1000),
        (10, names.len() as u64),
        (6, 0x2000),
        (4, 0x2100),
    ];
    let table = dynamic(&[&own[..], more].concat());
    data[0x1000..0x1000 + table.len()].copy_from_slice(&table);
    elf(
        ET_DYN,
        &[
            (PT_LOAD, 4, names.as_bytes(), 0x1000),
            (PT_LOAD, 6, &data, 0x2000),
            (PT_DYNAMIC, 6, &table, 0x3000),
            STACK,
        ],
    )
}

#[cfg(feature = "native")]
#[test]
fn what_a_shared_object_must_not_have_is_named() {
    assert_eq!(shared_object(&object("gm_plugin_v2", &[(1, 22)])), Ok(()));
    for (tag, value, why) in [
        (DT_TEXTREL, 0, "DT_TEXTREL"),
        (DT_FLAGS, 4, "DT_TEXTREL"),
        (15, 1, "DT_RPATH"),
        (29, 1, "DT_RUNPATH"),
        (0x6fff_fefc, 1, "DT_AUDIT"),
        (0x6fff_fefb, 1, "DT_AUDIT"),
        (0x7fff_ffff, 1, "DT_FILTER"),
        (0x7fff_fffd, 1, "DT_AUXILIARY"),
        (0x6fff_fffb, 0x0800_0000, "DF_1_PIE"),
        (DT_NEEDED, 14, "needs the library libx.so"),
        (DT_NEEDED, 1 << 40, "not in its table of names"),
        (5, 0x1000, "0x5 twice"),
    ] {
        let refusal = shared_object(&object("gm_plugin_v2", &[(tag, value)])).unwrap_err();
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
}

#[cfg(feature = "native")]
#[test]
fn another_version_is_refused_with_both_versions() {
    for version in ["1", "3"] {
        let refusal = shared_object(&object(&format!("gm_plugin_v{version}"), &[])).unwrap_err();
        assert!(
            refusal.contains(&format!("version {version} ")),
            "{refusal}"
        );
        assert!(refusal.contains("this host version 2"), "{refusal}");
    }
    let none = shared_object(&object("gm_plugin", &[])).unwrap_err();
    assert!(none.contains("does not define gm_plugin_v2"), "{none}");
}

#[cfg(feature = "native")]
#[test]
fn no_byte_of_a_shared_object_makes_the_reader_fail() {
    let good = object("gm_plugin_v2", &[(1, 22)]);
    for at in 0..good.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = byte;
            let _ = shared_object(&bad);
        }
    }
    for len in 0..good.len() {
        let _ = shared_object(&good[..len]);
    }
}

#[test]
fn what_no_file_of_machine_code_may_be_is_named() {
    let load: (u32, u32, &[u8], u64) = (PT_LOAD, 5, b"code", 0x1000);
    let judge = |bytes: &[u8]| {
        #[cfg(feature = "native")]
        let said = shared_object(bytes);
        #[cfg(not(feature = "native"))]
        let said = executable(bytes);
        said.unwrap_err()
    };
    let mut arm = elf(ET_DYN, &[load, STACK]);
    arm[18] = 183;
    let mut big_endian = elf(ET_DYN, &[load, STACK]);
    big_endian[5] = 2;
    for (bytes, why) in [
        (b"#!/bin/sh\n".to_vec(), "no ELF file"),
        (b"\x7fELF".to_vec(), "64 bits"),
        (b"\x7fELF\x02\x01\x01".to_vec(), "outside of the file"),
        (big_endian, "little endian"),
        (arm, "another machine (183"),
        (elf(ET_DYN, &[]), "0 program headers"),
        (elf(1, &[load, STACK]), "it is no "),
        (
            elf(ET_DYN, &[load, (PT_INTERP, 4, b"/x\0", 0x2000), STACK]),
            "interpreter",
        ),
        (
            elf(ET_DYN, &[(PT_LOAD, 7, b"code", 0x1000), STACK]),
            "writable and executable",
        ),
        (elf(ET_DYN, &[load, load, STACK]), "lies over another"),
        (elf(ET_DYN, &[load]), "does not say that its stack"),
        (
            elf(ET_DYN, &[load, STACK, STACK]),
            "does not say that its stack",
        ),
        (
            elf(ET_DYN, &[load, (PT_GNU_STACK, 7, &[], 0)]),
            "executable stack",
        ),
        (
            elf(
                ET_DYN,
                &[load, (PT_DYNAMIC, 6, &dynamic(&[]), 0x4000), STACK],
            ),
            "not where it says",
        ),
    ] {
        let refusal = judge(&bytes);
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
}

#[cfg(feature = "program")]
#[test]
fn an_executable_needs_no_library_and_no_interpreter() {
    let table = dynamic(&[(5, 0x1000), (10, 8), (DT_NEEDED, 1)]);
    let needy = elf(
        ET_DYN,
        &[
            (PT_LOAD, 5, b"\0libx.so\0", 0x1000),
            (PT_LOAD, 6, &table, 0x2000),
            (PT_DYNAMIC, 6, &table, 0x2000),
            STACK,
        ],
    );
    let refusal = executable(&needy).unwrap_err();
    assert!(refusal.contains("needs the library libx.so"), "{refusal}");
    let plain = elf(ET_EXEC, &[(PT_LOAD, 5, b"code", 0x1000), STACK]);
    assert_eq!(executable(&plain), Ok(()));
}
