//! What the engine makes of `wit/process.wit`.

wasmtime::component::bindgen!({
    path: "src/wasm/host/wit",
    world: "wippy:process/imports",
    imports: {
        "wippy:process/processes.send-wait": async | trappable,
        "wippy:process/mailbox.receive": async | trappable,
        "wippy:process/mailbox.next-event": async | trappable,
        "wippy:process/mailbox.next": async | trappable,
        default: trappable,
    },
    with: { "wasi:io/poll": wasmtime_wasi_io::bindings::wasi::io::poll },
});
