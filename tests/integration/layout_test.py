#!/usr/bin/env python3
"""The rules of the tree: who may include whom, one word per module, a README in every directory."""
import collections
import os
import re
import shutil
import subprocess

from orrery_test import ROOT, Skip, check, main

ROLES = ("ingester", "querier", "compactor", "ruler", "alertmanager")


def tracked():
    r = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [f for f in r.stdout.splitlines() if os.path.exists(os.path.join(ROOT, f))]


def includes(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return re.findall(r'^#include "([^"]+)"', f.read(), re.M)


def sources():
    return [f for f in tracked() if f.endswith((".c", ".h", ".cc"))]


def test_top_level_is_fixed(t):
    allowed = {"CMakeLists.txt", "README.md", "CMakePresets.json", "common", "deploy", "tests", *ROLES}
    top = {f.split("/")[0] for f in tracked()}
    extra = {x for x in top - allowed if not x.startswith(".")}
    check(not extra, f"at the top level: {sorted(extra)}")


def test_includes_point_down(t):
    bad = []
    for f in sources():
        role = f.split("/")[0]
        for inc in includes(f):
            target = inc.split("/")[0]
            if "/" not in inc:
                bad.append(f"{f}: \"{inc}\" is not written from the root")
            elif role == "common" and target in ROLES:
                bad.append(f"{f} includes {inc} of a role")
            elif role in ROLES and target in ROLES and target != role:
                bad.append(f"{f} includes {inc} of another role")
            elif inc.endswith("_internal.h") and os.path.dirname(inc) != os.path.dirname(f) \
                    and role != "tests":
                bad.append(f"{f} includes {inc}, which is internal to its directory")
    check(not bad, lambda: "\n".join(bad[:20]))


def test_stems_are_unique(t):
    stems = collections.defaultdict(set)
    for f in sources():
        if f.split("/")[0] != "tests" and os.path.basename(f) != "main.c":
            stems[os.path.splitext(os.path.basename(f))[0]].add(os.path.dirname(f))
    twice = {k: sorted(v) for k, v in stems.items() if len(v) > 1}
    check(not twice, f"{twice}")


def test_every_source_directory_has_a_readme(t):
    dirs = {os.path.dirname(f) for f in sources()}
    missing = sorted(d for d in dirs if not d.startswith(("tests/unit/", "tests/fuzz/"))
                     and not os.path.exists(os.path.join(ROOT, d, "README.md")))
    check(not missing, f"no README.md in {missing}")


def test_what_is_run_can_be_run(t):
    bad = [f for f in tracked() if (f.startswith("tests/integration/") and f.endswith("_test.py") or
                                    f in ("deploy/run", "deploy/build", "deploy/install", "tests/run", ".ci/run"))
           and not os.access(os.path.join(ROOT, f), os.X_OK)]
    check(not bad, f"not executable: {bad}")


def test_formatted(t):
    if not shutil.which("clang-format-14"):
        raise Skip("clang-format-14 is not installed")
    files = [f for f in sources()]
    r = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *files], cwd=ROOT,
                       capture_output=True, text=True)
    bad = sorted({x.split(":")[0] for x in r.stderr.splitlines() if "error:" in x})
    check(not bad, f"run clang-format-14 -i on {bad[:10]} ({len(bad)} files)")


if __name__ == "__main__":
    main()
