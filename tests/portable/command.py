"""Runs a portable ampoule's command in a stock wasmtime: AMPOULE STDIN STDOUT ARGUMENT... Ends with 1 where it fails."""

import sys

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

path, stdin, stdout, *arguments = sys.argv[1:]
wasi = WasiConfig()
wasi.argv = [path, *arguments]
wasi.stdin_file = stdin
wasi.stdout_file = stdout
wasi.inherit_stderr()
store = Store(Engine())
store.set_wasi(wasi)
linker = Linker(store.engine)
linker.add_wasip2()
component = Component.from_file(store.engine, path)
instance = linker.instantiate(store, component)
name = next(name for name in component.type.exports(store.engine) if name.startswith("wasi:cli/run@0.2."))
run = instance.get_export_index(store, name)
run = instance.get_func(store, instance.get_export_index(store, "run", run))
sys.exit(0 if run(store) is None else 1)
