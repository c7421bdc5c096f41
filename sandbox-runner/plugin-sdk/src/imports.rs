//! The ABI's imports, behind slices. The only module of this crate with unsafe.
//!
//! A function here is an import of the plugin's module if, and only if, the
//! plugin can reach it: the linker drops the others. So nothing in this crate
//! may call one on behalf of another, or a plugin would need a permission
//! that its author never asked for.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use elsewhere::*;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::*;

/// The import module `gm`.
#[cfg(target_arch = "wasm32")]
#[expect(
    unsafe_code,
    reason = "calls into the host; docs/architecture.md lists them"
)]
mod wasm {
    mod gm {
        // SAFETY: signatures as in the ABI `gm-2`; the host checks names and types
        // before it runs the module, and every pointer + length at each call. What
        // is `safe` only reads its arguments, so no argument can break memory.
        #[link(wasm_import_module = "gm")]
        unsafe extern "C" {
            pub(super) safe fn reply(ptr: *const u8, len: usize) -> i32;
            pub(super) safe fn fail(ptr: *const u8, len: usize) -> i32;
            /// Writes at most `cap` bytes to `ptr`.
            pub(super) fn result(ptr: *mut u8, cap: usize) -> i32;
            pub(super) safe fn asset_read(
                name: *const u8,
                name_len: usize,
                offset: i64,
                max: u32,
            ) -> i64;
            pub(super) safe fn file_read(
                path: *const u8,
                path_len: usize,
                offset: i64,
                max: u32,
            ) -> i64;
            pub(super) safe fn file_list(path: *const u8, path_len: usize) -> i64;
            pub(super) safe fn file_write(
                path: *const u8,
                path_len: usize,
                offset: i64,
                ptr: *const u8,
                len: usize,
                flags: u32,
            ) -> i32;
            pub(super) safe fn storage_get(key: *const u8, key_len: usize) -> i64;
            pub(super) safe fn storage_list(prefix: *const u8, prefix_len: usize) -> i64;
            pub(super) safe fn storage_set(
                key: *const u8,
                key_len: usize,
                ptr: *const u8,
                len: usize,
            ) -> i32;
            pub(super) safe fn storage_delete(key: *const u8, key_len: usize) -> i32;
            pub(super) safe fn http_request(ptr: *const u8, len: usize) -> i64;
            pub(super) safe fn log(level: u32, ptr: *const u8, len: usize) -> i32;
            pub(super) safe fn config_get(key: *const u8, key_len: usize) -> i64;
            pub(super) safe fn node_get(id: *const u8, id_len: usize) -> i64;
            pub(super) safe fn node_put(ptr: *const u8, len: usize) -> i32;
            pub(super) safe fn node_query(ptr: *const u8, len: usize) -> i64;
            pub(super) safe fn edge_get(ptr: *const u8, len: usize) -> i64;
            pub(super) safe fn edge_put(ptr: *const u8, len: usize) -> i32;
            pub(super) safe fn edge_query(ptr: *const u8, len: usize) -> i64;
            pub(super) safe fn event_emit(
                topic: *const u8,
                topic_len: usize,
                ptr: *const u8,
                len: usize,
            ) -> i32;
        }
    }

    pub(crate) fn reply(document: &[u8]) -> i32 {
        gm::reply(document.as_ptr(), document.len())
    }

    pub(crate) fn fail(text: &[u8]) -> i32 {
        gm::fail(text.as_ptr(), text.len())
    }

    pub(crate) fn result(to: &mut [u8]) -> i32 {
        // SAFETY: `to` is exclusively borrowed for the whole call, and the host
        // writes at most `to.len()` bytes from its start.
        unsafe { gm::result(to.as_mut_ptr(), to.len()) }
    }

    pub(crate) fn asset_read(name: &[u8], offset: i64, max: u32) -> i64 {
        gm::asset_read(name.as_ptr(), name.len(), offset, max)
    }

    pub(crate) fn file_read(path: &[u8], offset: i64, max: u32) -> i64 {
        gm::file_read(path.as_ptr(), path.len(), offset, max)
    }

    pub(crate) fn file_list(path: &[u8]) -> i64 {
        gm::file_list(path.as_ptr(), path.len())
    }

    pub(crate) fn file_write(path: &[u8], offset: i64, bytes: &[u8], flags: u32) -> i32 {
        gm::file_write(
            path.as_ptr(),
            path.len(),
            offset,
            bytes.as_ptr(),
            bytes.len(),
            flags,
        )
    }

    pub(crate) fn storage_get(key: &[u8]) -> i64 {
        gm::storage_get(key.as_ptr(), key.len())
    }

    pub(crate) fn storage_list(prefix: &[u8]) -> i64 {
        gm::storage_list(prefix.as_ptr(), prefix.len())
    }

    pub(crate) fn storage_set(key: &[u8], value: &[u8]) -> i32 {
        gm::storage_set(key.as_ptr(), key.len(), value.as_ptr(), value.len())
    }

    pub(crate) fn storage_delete(key: &[u8]) -> i32 {
        gm::storage_delete(key.as_ptr(), key.len())
    }

    pub(crate) fn http_request(request: &[u8]) -> i64 {
        gm::http_request(request.as_ptr(), request.len())
    }

    pub(crate) fn log(level: u32, text: &[u8]) -> i32 {
        gm::log(level, text.as_ptr(), text.len())
    }

    pub(crate) fn config_get(key: &[u8]) -> i64 {
        gm::config_get(key.as_ptr(), key.len())
    }

    pub(crate) fn node_get(id: &[u8]) -> i64 {
        gm::node_get(id.as_ptr(), id.len())
    }

    pub(crate) fn node_put(nodes: &[u8]) -> i32 {
        gm::node_put(nodes.as_ptr(), nodes.len())
    }

    pub(crate) fn node_query(query: &[u8]) -> i64 {
        gm::node_query(query.as_ptr(), query.len())
    }

    pub(crate) fn edge_get(key: &[u8]) -> i64 {
        gm::edge_get(key.as_ptr(), key.len())
    }

    pub(crate) fn edge_put(edges: &[u8]) -> i32 {
        gm::edge_put(edges.as_ptr(), edges.len())
    }

    pub(crate) fn edge_query(query: &[u8]) -> i64 {
        gm::edge_query(query.as_ptr(), query.len())
    }

    pub(crate) fn event_emit(topic: &[u8], document: &[u8]) -> i32 {
        gm::event_emit(
            topic.as_ptr(),
            topic.len(),
            document.as_ptr(),
            document.len(),
        )
    }
}

/// Any other target, where a plugin is only tested: there is no host, so every
/// call answers `internal`.
#[cfg(not(target_arch = "wasm32"))]
mod elsewhere {
    /// The ABI's number for `internal`.
    const INTERNAL: i32 = -9;

    pub(crate) fn reply(_document: &[u8]) -> i32 {
        INTERNAL
    }

    pub(crate) fn fail(_text: &[u8]) -> i32 {
        INTERNAL
    }

    pub(crate) fn result(_to: &mut [u8]) -> i32 {
        INTERNAL
    }

    pub(crate) fn asset_read(_name: &[u8], _offset: i64, _max: u32) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn file_read(_path: &[u8], _offset: i64, _max: u32) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn file_list(_path: &[u8]) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn file_write(_path: &[u8], _offset: i64, _bytes: &[u8], _flags: u32) -> i32 {
        INTERNAL
    }

    pub(crate) fn storage_get(_key: &[u8]) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn storage_list(_prefix: &[u8]) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn storage_set(_key: &[u8], _value: &[u8]) -> i32 {
        INTERNAL
    }

    pub(crate) fn storage_delete(_key: &[u8]) -> i32 {
        INTERNAL
    }

    pub(crate) fn http_request(_request: &[u8]) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn log(_level: u32, _text: &[u8]) -> i32 {
        INTERNAL
    }

    pub(crate) fn config_get(_key: &[u8]) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn node_get(_id: &[u8]) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn node_put(_nodes: &[u8]) -> i32 {
        INTERNAL
    }

    pub(crate) fn node_query(_query: &[u8]) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn edge_get(_key: &[u8]) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn edge_put(_edges: &[u8]) -> i32 {
        INTERNAL
    }

    pub(crate) fn edge_query(_query: &[u8]) -> i64 {
        INTERNAL.into()
    }

    pub(crate) fn event_emit(_topic: &[u8], _document: &[u8]) -> i32 {
        INTERNAL
    }
}
