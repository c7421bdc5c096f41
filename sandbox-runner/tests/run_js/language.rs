//! What the language offers, and what of it a plugin has not: no text becomes
//! code, whatever is asked to make it.

use crate::script::{hook, refused, reply, reply_of, script};

#[test]
fn no_text_becomes_code() {
    for make in [
        "eval('globalThis.ran = true')",
        "(0, eval)('globalThis.ran = true')",
        "globalThis['ev' + 'al']('globalThis.ran = true')",
        "Reflect.apply(eval, null, ['globalThis.ran = true'])",
        "new Function('globalThis.ran = true')()",
        "Function('globalThis.ran = true')()",
        "Function.prototype.constructor('globalThis.ran = true')()",
        "(function () {}).constructor('globalThis.ran = true')()",
        "(() => {}).constructor('globalThis.ran = true')()",
        "(class {}).constructor('globalThis.ran = true')()",
        "(function* () {}).constructor('globalThis.ran = true')().next()",
        "(async () => {}).constructor('globalThis.ran = true')()",
        "(async function* () {}).constructor('globalThis.ran = true')().next()",
        "Reflect.construct(Function, ['globalThis.ran = true'])()",
        "Reflect.construct(Function, ['globalThis.ran = true'], Object)()",
        "new (class extends Function {})('globalThis.ran = true')()",
        "gm.log.constructor('globalThis.ran = true')()",
        "Object.getPrototypeOf(gm.node_get).constructor('globalThis.ran = true')()",
        "[].map.constructor('globalThis.ran = true')()",
        "on_commit_analyzed.constructor('globalThis.ran = true')()",
        "Array.from.bind().constructor('globalThis.ran = true')()",
        "new Proxy(Function, {})('globalThis.ran = true')()",
        "['globalThis.ran = true'].map(Function)[0]()",
        "'globalThis.ran = true'.replace(/.*/, eval)",
        "JSON.parse('[\"globalThis.ran = true\"]', (k, v) => typeof v === 'string' ? eval(v) : v)",
        "setTimeout('globalThis.ran = true')",
        "new Worker('data:,globalThis.ran = true')",
        "new ShadowRealm().evaluate('globalThis.ran = true')",
        "require('globalThis.ran = true')",
    ] {
        let body = format!(
            "try {{ {make} }} catch (e) {{ return {{ran: globalThis.ran === true, error: e.name}} }} return {{ran: 'or not'}}"
        );
        let reply = reply(&body);
        let refused = [
            "{\"ran\":false,\"error\":\"TypeError\"}",
            "{\"ran\":false,\"error\":\"ReferenceError\"}",
        ];
        assert!(refused.contains(&reply.as_str()), "{make}: {reply}");
    }
}

#[test]
fn no_text_becomes_code_at_the_top_level_either() {
    for text in [
        "eval('1')",
        "new Function('1')",
        "import('data:text/javascript,1').then(() => {}, e => { throw e }); await import('data:,1')",
    ] {
        let why = refused(text, &[]);
        assert!(
            why.starts_with("TypeError: ") || why.starts_with("ReferenceError: "),
            "{why}"
        );
    }
}

#[test]
fn the_same_written_down_runs() {
    // The honest twin: what is signed is code.
    let text = "globalThis.ran = true
        export function on_commit_analyzed() { return {ran: globalThis.ran === true} }";
    assert_eq!(reply_of(&mut script(text)), "{\"ran\":true}");
}

#[test]
fn polluted_prototypes_reach_nothing_of_the_hosts() {
    let text = "
        Object.prototype.toJSON = undefined
        Object.prototype.kind = 'stolen'
        Object.prototype.reply = 'stolen'
        Array.prototype.push = String.prototype.split = Function.prototype.call = () => { throw 1 }
        JSON.parse = JSON.stringify = Object.freeze = () => { throw 2 }
        Uint8Array.prototype.constructor = null
        globalThis.Uint8Array = null
        Promise.prototype.then = () => { throw 3 }
        export function on_commit_analyzed(event) {
          gm.node_put({id: 'a'})
          gm.log('info', 'fine')
          return {id: event.id, own: Object.keys(gm.node_query({n: 1}))}
        }";
    let mut plugin = script(text);
    let called = plugin.call(br#"{"id":"a1","__proto__":{"x":1}}"#);
    let asked: Vec<_> = called
        .asked
        .iter()
        .map(|(_, _, bytes)| bytes.as_slice())
        .collect();
    assert_eq!(asked, [&br#"{"id":"a"}"#[..], b"fine", br#"{"n":1}"#]);
    assert_eq!(called.document.unwrap(), br#"{"id":"a1","own":["n"]}"#);
}

#[test]
fn a_document_can_not_pollute_a_prototype() {
    let body = "return {own: Object.keys(event), x: ({}).x ?? null}";
    let called = hook(body).call(br#"{"__proto__":{"x":1},"constructor":{"prototype":{"x":2}}}"#);
    let expected = br#"{"own":["__proto__","constructor"],"x":null}"#;
    assert_eq!(called.document.unwrap(), expected);
}

#[test]
fn the_globals_are_these() {
    // `eval`, `Function` and `import` are of the language, and can't do their work.
    let expected = "AggregateError Array ArrayBuffer AsyncDisposableStack BigInt Boolean Date \
        DisposableStack Error EvalError FinalizationRegistry Function Infinity InternalError \
        Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect \
        RegExp Set String SuppressedError Symbol SyntaxError TypeError URIError Uint8Array WeakMap \
        WeakRef WeakSet decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval \
        globalThis gm isFinite isNaN parseFloat parseInt queueMicrotask undefined unescape";
    let body = "return {names: Reflect.ownKeys(globalThis).map(String).sort().join(' ')}";
    let tag = "Symbol(Symbol.toStringTag) ";
    let seen = reply(body).replace(tag, "");
    assert_eq!(seen, format!("{{\"names\":\"{expected}\"}}"));
}

#[test]
fn memory_between_threads_and_other_views_of_bytes_are_not_there() {
    let body = "const names = ['SharedArrayBuffer', 'Atomics', 'DataView', 'Int8Array', 'Uint8ClampedArray',
          'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array', 'BigInt64Array', 'BigUint64Array',
          'Float16Array', 'Float32Array', 'Float64Array']
        const abstract = Object.getPrototypeOf(Uint8Array); let made
        try { made = new abstract(1) } catch (e) { made = e.name }
        return {there: names.filter(name => name in globalThis), made, u8: [...new Uint8Array([1, 256])]}";
    assert_eq!(reply(body), r#"{"there":[],"made":"TypeError","u8":[1,0]}"#);
}

#[test]
fn the_language_is_there() {
    let body = r#"
        class Point { #x = 1; get x() { return this.#x } static of() { return new Point() } }
        const {a, ...rest} = {a: 1, b: 2, c: 3}
        function* count() { yield 1; yield 2 }
        const date = new Date(Date.UTC(2026, 0, 2, 3, 4, 5))
        return {
          point: Point.of().x, rest, gen: [...count()], opt: null?.x ?? 'none', pow: 2n ** 64n + '',
          date: date.toISOString(), local: date.toString(), zone: date.getTimezoneOffset(),
          found: 'fix: a thing'.match(/^(?<kind>\w+): (.*)$/).groups.kind,
          made: new RegExp('b+', 'g')[Symbol.replace]('abba', 'x'),
          set: [...new Set([1, 1, 2])], map: [...new Map([['k', 1]])], sorted: [3, 1, 2].toSorted(),
          tag: ((s, ...v) => s.raw.join('|') + v)`a${1}b`, flat: [[1], [2]].flat(), at: [1, 2].at(-1),
          now: Date.now() > 1.6e12, random: Math.random() < 1, weak: new WeakRef(date).deref() === date,
          norm: 'ﬁ'.normalize('NFKC'), up: 'straße'.toUpperCase(), json: JSON.stringify({u: '\ud800'}),
        }"#;
    let expected = r#"{"point":1,"rest":{"b":2,"c":3},"gen":[1,2],"opt":"none","pow":"18446744073709551616","date":"2026-01-02T03:04:05.000Z","local":"Fri Jan 02 2026 03:04:05 GMT+0000","zone":0,"found":"fix","made":"axa","set":[1,2],"map":[["k",1]],"sorted":[1,2,3],"tag":"a|b1","flat":[1,2],"at":2,"now":true,"random":true,"weak":true,"norm":"fi","up":"STRASSE","json":"{\"u\":\"\\ud800\"}"}"#;
    assert_eq!(reply(body), expected);
}
