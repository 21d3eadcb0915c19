"""A stock runtime's command line, as far as it is used here: command.py run [--dir HOST::GUEST] COMPONENT ARGUMENT...

With WASMTIME_CACHE set, compiled code is kept in the user's own folder.
"""

import os
import sys

from wasmtime import Config, Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

_, *arguments = sys.argv[1:]
wasi = WasiConfig()
if arguments[0] == "--dir":
    wasi.preopen_dir(*arguments[1].split("::"))
    arguments = arguments[2:]
path = arguments[0]
wasi.argv = arguments
wasi.inherit_stdin()
wasi.inherit_stdout()
wasi.inherit_stderr()
config = Config()
if "WASMTIME_CACHE" in os.environ:
    config.cache = True
store = Store(Engine(config))
store.set_wasi(wasi)
linker = Linker(store.engine)
linker.add_wasip2()
component = Component.from_file(store.engine, path)
instance = linker.instantiate(store, component)
name = next(name for name in component.type.exports(store.engine) if name.startswith("wasi:cli/run@0.2."))
run = instance.get_export_index(store, name)
run = instance.get_func(store, instance.get_export_index(store, "run", run))
sys.exit(0 if run(store).tag == "ok" else 1)
