//! What is no module.

/// Cut short, of another form, or with a byte that isn't right.
pub(super) fn bytes(good: &[u8], variant: u32) -> Option<Vec<u8>> {
    let cut = |part: usize| good.get(..good.len() * part / 8).map(<[u8]>::to_vec);
    let changed = |at: usize, to: u8| {
        let mut bytes = good.to_vec();
        *bytes.get_mut(at)? = to;
        Some(bytes)
    };
    let followed = |more: &[u8]| Some([b"\0asm\x01\0\0\0".as_slice(), more].concat());
    match variant {
        0 => Some(Vec::new()),
        1 => good.get(..4).map(<[u8]>::to_vec),
        2 => cut(1),
        3 => cut(4),
        4 => cut(7),
        5 => good.get(..good.len() - 1).map(<[u8]>::to_vec),
        6 => changed(0, b'x'),
        // Version 2, and a component.
        7 => changed(4, 2),
        8 => changed(6, 1),
        9 => Some(b"(module)".to_vec()),
        // Machine code as it is, and what a compiler of another machine might leave.
        10 => Some(super::ELF.to_vec()),
        11 => Some([b"wasmer-universal".as_slice(), &[0; 64]].concat()),
        // Sections: longer than all, of an unknown number, a length without an end,
        // four thousand million types.
        12 => followed(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        13 => followed(&[0x7f, 1, 0]),
        14 => followed(&[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]),
        15 => followed(&[1, 6, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x60]),
        _ => None,
    }
}
