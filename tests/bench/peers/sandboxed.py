"""Runs a command of WebAssembly, with all files at hand: python sandboxed.py COMPONENT ARGUMENT..."""

import sys

from wasmtime import Config, Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

config = Config()
config.cache = True  # of compiled code, in the user's own folder
wasi = WasiConfig()
wasi.argv = sys.argv[1:]
wasi.preopen_dir("/", "/")
wasi.inherit_stdin()
wasi.inherit_stdout()
wasi.inherit_stderr()
store = Store(Engine(config))
store.set_wasi(wasi)
linker = Linker(store.engine)
linker.add_wasip2()
component = Component.from_file(store.engine, sys.argv[1])
instance = linker.instantiate(store, component)
command = next(name for name in component.type.exports(store.engine) if name.startswith("wasi:cli/run@0.2."))
command = instance.get_export_index(store, command)
run = instance.get_func(store, instance.get_export_index(store, "run", command))
sys.exit(0 if run(store) is None else 1)
