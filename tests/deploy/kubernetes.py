"""Checks manifests against the schemas of Kubernetes, strictly.

Kinds that Kubernetes itself doesn't have (Knative, Cloud Run jobs, KServe) are checked for their pods: the
part of them that Kubernetes will see.
"""

import sys

import kubernetes_validate
import yaml

VERSION = "1.31"
# What Cloud Run has in a pod, and Kubernetes has elsewhere or not at all.
ELSEWHERE = {"containerConcurrency", "timeoutSeconds", "maxRetries"}


def pod(document):
    """The pod specification within a document of a kind that is not Kubernetes' own."""
    spec = document["spec"]
    if document["kind"] == "ServingRuntime":
        return {"containers": spec["containers"]}
    if document["kind"] == "InferenceService":
        return None
    while "template" in spec:
        spec = spec["template"]["spec"]
    spec = {key: value for key, value in spec.items() if key not in ELSEWHERE}
    if document["apiVersion"].startswith("run.googleapis.com/"):
        spec["restartPolicy"] = "Never"
    return spec


checked = 0
for path in sys.argv[1:]:
    with open(path) as file:
        for document in yaml.safe_load_all(file):
            own = document["apiVersion"].split("/")[0] in ("v1", "apps", "autoscaling", "policy")
            if not own:
                spec = pod(document)
                if spec is None:
                    continue
                document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
            kubernetes_validate.validate(document, VERSION, strict=True)
            checked += 1
print(f"{checked} checked")
