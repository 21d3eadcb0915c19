"""What is measured: for each system how it is started, what it is asked and what it has to answer."""

import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import install

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PEERS = HERE / "peers"
IRIS = ROOT / "models/iris"
CACHE = ROOT / "target/bench-logs/cache"
SPECIES = ["setosa", "versicolor", "virginica"]
TOLERANCE = 1e-5  # absolute, on a probability

FASTAPI = "fastapi-xgboost"


class WrongAnswer(Exception):
    """A server answered, but not what the model says."""


@dataclass
class System:
    name: str
    title: str
    model: str  # iris or mlp
    # Gives the command, or raises `install.Missing`. Ports: the one to serve on, and two to spare.
    command: callable
    health: str = "/health"
    route: str = "/predictions"
    env: callable = lambda ports: {}
    body: callable = lambda rows: {"instances": rows}
    read: callable = lambda answer: answer["predictions"]
    tags: set = field(default_factory=set)

    def request(self, rows):
        return json.dumps(self.body(rows))

    def check(self, server):
        """Asks for one flower of each species, and for the one that is measured.

        Raises `WrongAnswer` where the answers are not the reference's.
        """
        reference = references(self.model)
        for indices in ([0, 50, 100], [0]):
            status, answer = server.request("POST", self.route, self.request([reference["instances"][i] for i in indices]))
            shown = answer[:300].decode(errors="replace")
            try:
                got = self.read(json.loads(answer)) if status == 200 else None
                right = got is not None and len(got) == len(indices) and all(
                    agrees(prediction, reference["labels"][i], reference["probabilities"][i])
                    for prediction, i in zip(got, indices)
                )
            except (ValueError, LookupError, TypeError):
                right = False
            if not right:
                expected = [(reference["labels"][i], reference["probabilities"][i]) for i in indices]
                raise WrongAnswer(f"{self.name}: expected {expected}, got {status} {shown}")

    def row(self):
        """The body that is measured: one flower."""
        return self.request(references(self.model)["instances"][:1])


def agrees(prediction, label, probabilities):
    """Whether an answer (a label, its name, probabilities, or an object of both) is the reference's."""
    if isinstance(prediction, dict):
        return agrees(prediction["label"], label, probabilities) and agrees(
            prediction["probabilities"], label, probabilities
        )
    if isinstance(prediction, list):
        return len(prediction) == len(probabilities) and all(
            abs(a - e) <= TOLERANCE for a, e in zip(prediction, probabilities)
        )
    return prediction in (label, SPECIES[label])


def references(model):
    return json.loads((folder_of(model) / "reference.json").read_text())


def folder_of(model):
    return HERE / "mlp" if model == "mlp" else ROOT / "models" / model


def path_from(variable, default, how):
    path = Path(os.environ.get(variable) or default).resolve()
    if not path.exists():
        raise install.Missing(f"{path} is not there: {how}, or set {variable}")
    return path


def command_line():
    return path_from("AMPOULE", ROOT / "target/release/ampoule", "cargo build --release --bin ampoule")


def serve(model):
    """The command line's server, which has the compiler in it."""
    return lambda ports: [command_line(), "serve", sealed(model), "--port", str(ports[0]), "--threads", "1"]


def deployed(ports):
    """The program of containers, as `make serving` builds it."""
    return [path_from("CLOUD", ROOT / "target/serving/cloud", "make serving")]


def deployed_env(model, reuse=0):
    settings = {"AMPOULE_LOG": "warn"} | ({"AMPOULE_REUSE": str(reuse)} if reuse else {})
    return lambda ports: settings | {"PORT": str(ports[0]), "AMPOULE_MODEL": str(precompiled(model))}


def ours(model):
    """A model in a fresh sandbox for each call, and in one that is used again."""
    return [
        System(f"ampoule-{model}", f"ampoule, {model}", model, deployed, env=deployed_env(model), tags={"ours"}),
        System(f"ampoule-{model}-reuse", f"ampoule, reuse 1000, {model}", model, deployed,
               env=deployed_env(model, 1000), tags={"ours"}),
        System(f"bare-{model}", f"bare axum + engine, {model}", model, bare(model)),
    ]


@cache
def sealed(model):
    """The sealed model: the one in MODELS, or else sealed now, once."""
    if os.environ.get("MODELS"):
        return path_from("MODELS", "", "seal the models into it") / f"{model}.wasm"
    file = ROOT / f"target/bench-models/{model}.wasm"
    file.parent.mkdir(parents=True, exist_ok=True)
    install.step([command_line(), "seal", folder_of(model), "-o", file])
    return file


@cache
def precompiled(model):
    """The sealed model of a table, its code in `CACHE` for programs without a compiler."""
    file = sealed(model)
    row = ROOT / f"target/bench-models/{model}.json"
    row.write_text(json.dumps(references(model)["instances"][:1]))
    install.step([command_line(), "predict", file, row], {"AMPOULE_CACHE": str(CACHE)})
    return file


def bare(model):
    def command(ports):
        program = path_from("BARE", ROOT / "target/serving/bare", "cargo build --profile serving -p ampoule-bare")
        return [program, folder_of(model) / "model.onnx", "--port", str(ports[0])]

    return command


def programs(name):
    """The programs of the environment that peers/NAME.txt describes."""
    return install.environment(ROOT / "target/bench-venv" / name, PEERS / f"{name}.txt")


def script(environment, name, model):
    return lambda ports: [programs(environment) / "python", PEERS / name, IRIS / model, str(ports[0])]


def bentoml(ports):
    serve = [programs("bentoml") / "bentoml", "serve", "bentoml_service:Iris", "--working-dir", PEERS]
    return [*serve, "--host", "127.0.0.1", "--port", str(ports[0])]


def bentoml_env(ports):
    home = ROOT / "target/bench-logs/bentoml"
    return {"MODEL": str(IRIS / "model.json"), "BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(home)}


def mlserver(ports):
    return [programs("mlserver") / "mlserver", "start", PEERS / "mlserver"]


def mlserver_env(ports):
    names = ["MLSERVER_HTTP_PORT", "MLSERVER_GRPC_PORT", "MLSERVER_METRICS_PORT"]
    return {"MLSERVER_HOST": "127.0.0.1"} | dict(zip(names, map(str, ports)))


def open_inference(rows):
    """A request of the Open Inference Protocol, which MLServer speaks."""
    data = [value for row in rows for value in row]
    return {"inputs": [{"name": "features", "shape": [len(rows), 4], "datatype": "FP32", "data": data}]}


SYSTEMS = [
    *ours("iris"),
    *ours("mlp"),
    System("ampoule-serve", "ampoule serve, iris", "iris", serve("iris")),
    System(FASTAPI, "FastAPI + XGBoost", "iris", script("fastapi", "fastapi_xgboost.py", "model.json")),
    System("fastapi-onnxruntime", "FastAPI + ONNX Runtime", "iris",
           script("fastapi", "fastapi_onnxruntime.py", "model.onnx")),
    System("bentoml", "BentoML + XGBoost", "iris", bentoml, health="/readyz", env=bentoml_env),
    System("mlserver", "MLServer + XGBoost", "iris", mlserver, health="/v2/health/ready",
           route="/v2/models/iris/infer", env=mlserver_env, body=open_inference,
           read=lambda answer: answer["outputs"][0]["data"]),
    System("litserve", "LitServe + XGBoost", "iris", script("fastapi", "litserve_xgboost.py", "model.json")),
]
