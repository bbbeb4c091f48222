#!/usr/bin/env python3
"""The manifests of deploy/k8s: built without a word, valid by Kubernetes' schemas, whole (what they name is there), within
the restricted pod security standard; and the seccomp profile lets Orrery work, with io_uring."""
import glob
import json
import os
import re
import shutil
import subprocess

import manifests
from manifests import OVERLAYS, build, containers, of, pod_of, workloads
from orrery_test import BIN, ROOT, Single, Skip, check, http_call, main, push_ok, query, wait_for

VERSIONS = ("1.35", "1.37")  # the oldest that production is for (Zones in deploy/k8s/README.md), the newest there are schemas of
OWN_KINDS = ("ServiceMonitor",)  # of the Prometheus operator
# Secrets that deploy/k8s/README.md tells how to make; the cluster itself makes the ConfigMap.
MADE_BY_HAND = {("Secret", "orrery-cluster"), ("ConfigMap", "kube-root-ca.crt")}
INSTALLER = "components/io-uring/installer"


def with_components(t, *components):
    """Production with more components, as its comments say: their lines there are taken in."""
    copy = shutil.copytree(manifests.K8S, os.path.join(t.dir, "k8s"))
    path = os.path.join(copy, "overlays", "production", "kustomization.yaml")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for c in components:
        text, n = re.subn(rf"^  # (- \.\./\.\./components/{c}\b)", r"  \1", text, flags=re.M)
        check(n == 1, f"{n} lines of {c}")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return manifests.text(os.path.dirname(path))


_everything = []


def everything(t):
    """(name, documents) of all that is to be applied."""
    if not _everything:
        texts = [(o, manifests.text(o)) for o in (*OVERLAYS, INSTALLER)]
        texts.append(("all components", with_components(t, "workload-identity", "service-monitor", "io-uring")))
        _everything.extend((name, [d for d in manifests.read_yaml(text) if d]) for name, text in texts)
    return _everything


def validate(t, docs, version):
    """What kubernetes-validate says against a version's schemas; fields that do not exist are errors, too."""
    different = {json.dumps(d, sort_keys=True) for d in docs if d["kind"] not in OWN_KINDS}
    program = os.path.join(os.path.dirname(manifests.python()), "kubernetes-validate")
    files = []
    for i, text in enumerate(sorted(different)):
        files.append(os.path.join(t.dir, f"{i}.json"))
        with open(files[-1], "w", encoding="utf-8") as f:
            f.write(text)
    r = subprocess.run([program, "-k", version, "--strict", *files], capture_output=True, text=True)
    for f in files:
        os.remove(f)
    return (r.stdout + r.stderr)[-1500:] if r.returncode else ""


def test_schemas(t):
    docs = [d for _, some in everything(t) for d in some]
    check(len(docs) > 100 and {d["kind"] for d in docs} >= {"StatefulSet", "NetworkPolicy", "HorizontalPodAutoscaler"}, "few")
    for version in VERSIONS:
        said = validate(t, docs, version)
        check(not said, f"Kubernetes {version}: {said}")


def test_schemas_can_fail(t):
    """The test of the test."""
    docs = json.dumps(build("overlays/quickstart"))
    check(not validate(t, json.loads(docs), VERSIONS[-1]), "quickstart")
    for good, bad in (('"readinessProbe"', '"readynessProbe"'), ('"replicas": 1', '"replicas": "one"')):
        check(good in docs, good)
        check(validate(t, json.loads(docs.replace(good, bad)), VERSIONS[-1]), f"{bad} is taken")


# ---- what is named is there -----------------------------------------------------------------------------------


def matches(selector, labels):
    return all(labels.get(k) == v for k, v in selector.items())


def pods_matching(docs, selector):
    return [w for w in workloads(docs) if matches(selector, w["spec"]["template"]["metadata"]["labels"])]


def port_names(workload):
    return {p["name"]: p["containerPort"] for c in containers(workload) for p in c.get("ports", [])}


def check_references(docs, workload):
    there = {(d["kind"], d["metadata"]["name"]) for d in docs} | MADE_BY_HAND
    refs = set()
    for c in containers(workload):
        for e in c.get("envFrom", []):
            refs |= {({"configMapRef": "ConfigMap", "secretRef": "Secret"}[k], v["name"]) for k, v in e.items()
                     if not v.get("optional")}
        for e in c.get("env", []):
            ref = e.get("valueFrom", {}).get("secretKeyRef")
            refs |= {("Secret", ref["name"])} if ref else set()
        mounted = {m["name"] for m in c.get("volumeMounts", [])}
        volumes = {v["name"] for v in pod_of(workload).get("volumes", []) +
                   [{"name": v["metadata"]["name"]} for v in workload["spec"].get("volumeClaimTemplates", [])]}
        check(mounted <= volumes, f"{workload['metadata']['name']}: no volume {mounted - volumes}")
    for v in pod_of(workload).get("volumes", []):
        sources = v["projected"]["sources"] if "projected" in v else [v]
        refs |= {("ConfigMap", s["configMap"]["name"]) for s in sources
                 if "configMap" in s and not s["configMap"].get("optional")}
    if "serviceAccountName" in pod_of(workload):
        refs.add(("ServiceAccount", pod_of(workload)["serviceAccountName"]))
    check(refs <= there, f"{workload['metadata']['name']}: there is no {refs - there}")


def check_ports(docs, workload):
    ports = port_names(workload)
    for c in containers(workload):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe in c:
                check(c[probe]["httpGet"]["port"] in ports, f"{workload['metadata']['name']}: {probe}")


def test_what_is_named_is_there(t):
    for name, docs in everything(t):
        for w in workloads(docs):
            check_references(docs, w)
            check_ports(docs, w)
            check(matches(w["spec"]["selector"]["matchLabels"], w["spec"]["template"]["metadata"]["labels"]), name)
        for s in of(docs, "Service"):
            pods = pods_matching(docs, s["spec"]["selector"])
            check(pods, f"{name}: {s['metadata']['name']} selects nothing")
            for w in pods:
                check(all(p["targetPort"] in port_names(w) for p in s["spec"]["ports"]), f"{name}: {s['metadata']['name']}")
        for d in of(docs, "PodDisruptionBudget"):
            check(len(pods_matching(docs, d["spec"]["selector"]["matchLabels"])) == 1, f"{name}: {d['metadata']['name']}")
        for d in of(docs, "HorizontalPodAutoscaler"):
            w = of(docs, "StatefulSet", d["spec"]["scaleTargetRef"]["name"])
            check("replicas" not in w["spec"], f"{name}: {w['metadata']['name']} has replicas of its own")
        for d in of(docs, "NetworkPolicy"):
            pods = pods_matching(docs, d["spec"]["podSelector"]["matchLabels"])
            named = {p["port"] for r in d["spec"].get("ingress", []) for p in r["ports"] if isinstance(p["port"], str)}
            check(pods and all(named <= set(port_names(w)) for w in pods if "orrery" in w["metadata"]["name"]), f"{name}: {named}")


def test_one_role_alone(t):
    """Each scale-… overlay differs from production in that role's number, size and autoscaler, and in nothing else."""
    base = {(d["kind"], d["metadata"]["name"]): d for d in build("overlays/production")}
    for overlay in OVERLAYS:
        if not overlay.startswith("overlays/scale-"):
            continue
        role = "orrery-" + overlay.rsplit("-", 1)[1]
        docs = {(d["kind"], d["metadata"]["name"]): d for d in build(overlay)}
        other = {k for k in base.keys() | docs.keys() if base.get(k) != docs.get(k)}
        check(other <= {("StatefulSet", role), ("HorizontalPodAutoscaler", role)}, f"{overlay}: {other}")
        check(("HorizontalPodAutoscaler", role) not in docs, f"{overlay}: two that scale it")
        check(docs["StatefulSet", role]["spec"]["replicas"] >= 3, overlay)


def test_restricted(t):
    """What the pod security standard "restricted" asks, and a root file system that is read-only."""
    for name, docs in everything(t):
        for w in workloads(docs):
            if w["metadata"].get("namespace") == "orrery-seccomp":
                continue  # writes profiles to nodes
            pod = pod_of(w)
            where = f"{name}: {w['metadata']['name']}"
            check(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, where)
            check(pod["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost"), where)
            check(not any(pod.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")), where)
            check(not any("hostPath" in v for v in pod.get("volumes", [])), where)
            for c in containers(w):
                ctx = c["securityContext"]
                check(ctx["readOnlyRootFilesystem"] and ctx["allowPrivilegeEscalation"] is False, where)
                check(ctx["capabilities"] == {"drop": ["ALL"]}, where)
                check(c["resources"]["requests"]["memory"] == c["resources"]["limits"]["memory"] or c["name"] != "orrery", where)


# ---- the seccomp profile ---------------------------------------------------------------------------------------

# Runs a program under a profile as runc would: libseccomp by ctypes, then exec.
UNDER_PROFILE = r"""
import ctypes, ctypes.util, json, os, sys
lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
lib.seccomp_init.restype = ctypes.c_void_p
ERRNO, ALLOW = 0x00050000, 0x7fff0000
profile = json.load(open(sys.argv[1]))
less = set(filter(None, sys.argv[2].split(",")))
action = {"SCMP_ACT_ALLOW": lambda s: ALLOW, "SCMP_ACT_ERRNO": lambda s: ERRNO | s.get("errnoRet", 1)}
ctx = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(ERRNO | profile["defaultErrnoRet"])))
for s in profile["syscalls"]:
    for name in s["names"]:
        nr = lib.seccomp_syscall_resolve_name(name.encode())
        if nr >= 0 and name not in less:
            if lib.seccomp_rule_add(ctx, ctypes.c_uint32(action[s["action"]](s)), nr, 0):
                raise SystemExit(name)
if lib.seccomp_load(ctx):
    raise SystemExit("seccomp_load")
os.execv(sys.argv[3], sys.argv[3:])
"""


def under_profile(t, name, less=""):
    """An orrery under the profile, less some calls."""
    runner = os.path.join(t.dir, f"{name}.sh")
    profile = os.path.join(manifests.K8S, INSTALLER, "orrery.json")
    script = os.path.join(t.dir, "under_profile.py")
    with open(script, "w", encoding="utf-8") as f:
        f.write(UNDER_PROFILE)
    with open(runner, "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\nexec /usr/bin/python3 '{script}' '{profile}' '{less}' '{BIN}/orrery' \"$@\"\n")
    os.chmod(runner, 0o755)
    return runner


def wal_of(o):
    return http_call(o.addr, "GET", "/ingester/status").json["wal"]["backend"]


def test_seccomp_profile(t):
    """Orrery writes its log by io_uring under the profile, and keeps blocks, answers, is scraped, stops; without the three
    calls it works as well, by the other way."""
    if not glob.glob("/usr/lib/*/libseccomp.so.2*"):
        raise Skip("libseccomp.so.2 is not installed")
    if wal_of(Single(t, "plain").wait_ready()) != "io_uring":
        raise Skip("this kernel, or what it runs in, refuses io_uring")
    for name, less in (("whole", ""), ("less", "io_uring_setup,io_uring_enter,io_uring_register")):
        o = Single(t, name, program=under_profile(t, name, less)).wait_ready()
        check((wal_of(o) == "io_uring") == (not less), f"{name}: the log is written by {wal_of(o)}")
        push_ok(o.addr, [({"__name__": "guarded"}, [(1_000, 1.0)])])
        wait_for("an answer", lambda: query(o.addr, "guarded", 1_000)["result"])
        http_call(o.addr, "POST", "/ingester/flush", timeout=120)
        check(http_call(o.addr, "GET", "/metrics").status == 200, "metrics")


if __name__ == "__main__":
    main()
