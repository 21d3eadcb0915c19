"""Predictions of a booster that XGBoost saved, for `ampoule check --against xgboost:MODEL`.

Arguments: the model's file, the signature's inputs and its outputs as JSON. Instances come on standard input, one to a line;
what the signature calls them is printed in their order.
"""

import json
import sys

import numpy
import xgboost


def main():
    inputs, outputs = json.loads(sys.argv[2]), json.loads(sys.argv[3])
    booster = xgboost.Booster(model_file=sys.argv[1])
    rows = [row(json.loads(line), [field["name"] for field in inputs]) for line in sys.stdin if line.strip()]
    names = booster.feature_names
    if names and len(names) != len(inputs):
        sys.exit(f"expected {len(inputs)} features as in the signature, got a model of {len(names)}")
    table = numpy.array(rows, dtype=numpy.float32)
    given = booster.predict(xgboost.DMatrix(table, missing=numpy.nan, feature_names=names))
    for values in given:
        print(json.dumps(prediction(numpy.atleast_1d(values).tolist(), outputs)))


def row(instance, names):
    """The numbers of an instance in the order of the inputs; a missing one is NaN."""
    if isinstance(instance, dict):
        values = [instance.get(name) for name in names]
    elif isinstance(instance, list):
        values = instance
    else:
        values = [instance]
    if any(isinstance(value, str) for value in values):
        sys.exit("expected numbers, got a text: names of categories are not compared")
    return [float("nan") if value is None else float(value) for value in values]


def prediction(values, outputs):
    """Label and probabilities where the signature has them, and else the values themselves."""
    labelled = next((field for field in outputs if field.get("dtype") == "string" and field.get("labels")), None)
    shaped = next((field for field in outputs if field.get("dtype") in ("f32", "f64") and field.get("shape")), None)
    width = shaped["shape"][-1] if shaped else None
    if width == 2 and len(values) == 1:
        values = [1.0 - values[0], values[0]]
    named = {}
    if labelled and len(values) == len(labelled["labels"]):
        named[labelled["name"]] = labelled["labels"][max(range(len(values)), key=values.__getitem__)]
    if shaped and width == len(values):
        named[shaped["name"]] = values
    if not named:
        number = next((field for field in outputs if field.get("dtype") in ("f32", "f64")), outputs[0])
        named[number["name"]] = values if len(values) > 1 or number.get("shape") else values[0]
    return named if len(outputs) > 1 else next(iter(named.values()))


main()
