"""The manifests of deploy/k8s as an API server would get them: built by kustomize, checked against Kubernetes' schemas.

    docs = manifests.build("overlays/production")        # a list of dicts
    manifests.of(docs, "StatefulSet", "orrery-ingester")

kustomize is that of kubectl, or a program of that name; where there is neither it is built once from its Go module, pinned,
into build/go. YAML is read by a Python of pyenv.py, since the standard library reads none.
"""
import json
import os
import shutil
import subprocess

import pyenv
from orrery_test import ROOT, Skip, check

K8S = os.path.join(ROOT, "deploy", "k8s")
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
VALIDATE = "kubernetes-validate==1.37.0"
OVERLAYS = ("overlays/quickstart", "overlays/production", "overlays/scale-ingester", "overlays/scale-querier",
            "overlays/scale-compactor", "overlays/scale-ruler", "overlays/scale-alertmanager")
TO_JSON = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"
_built = {}


def kustomize():
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    bin_dir = os.path.join(ROOT, "build", "go")
    program = os.path.join(bin_dir, "kustomize")
    if not os.path.exists(program):
        if not shutil.which("go"):
            raise Skip("there is no kubectl, no kustomize, and no go to build it with")
        r = subprocess.run(["go", "install", "-p", "2", KUSTOMIZE], capture_output=True, text=True,
                           env={**os.environ, "GOBIN": bin_dir, "GOFLAGS": "-mod=mod"})
        if r.returncode:
            raise Skip(f"{KUSTOMIZE} cannot be built: {r.stderr.strip().splitlines()[-1:]}")
    return [program, "build"]


def python():
    return pyenv.python(VALIDATE)


def read_yaml(text):
    r = subprocess.run([python(), "-c", TO_JSON], input=text, capture_output=True, text=True)
    check(r.returncode == 0, lambda: f"no YAML: {r.stderr[-500:]}")
    return json.loads(r.stdout)


def text(path):
    """What kustomize makes of deploy/k8s/<path>; it is to have nothing to say besides."""
    r = subprocess.run([*kustomize(), os.path.join(K8S, path)], capture_output=True, text=True)
    check(r.returncode == 0 and not r.stderr, lambda: f"{path}: {r.stderr[:1000]}")
    return r.stdout


def build(path):
    if path not in _built:
        _built[path] = [d for d in read_yaml(text(path)) if d]
    return json.loads(json.dumps(_built[path]))


def of(docs, kind, name=None):
    found = [d for d in docs if d["kind"] == kind and (name is None or d["metadata"]["name"] == name)]
    if name is None:
        return found
    check(len(found) == 1, f"{len(found)} of {kind} {name}")
    return found[0]


def workloads(docs):
    return [d for d in docs if d["kind"] in ("StatefulSet", "DaemonSet", "Deployment")]


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def containers(workload):
    return pod_of(workload).get("initContainers", []) + pod_of(workload)["containers"]
