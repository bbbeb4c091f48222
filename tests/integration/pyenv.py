"""Pythons with packages from PyPI, for tests that drive Orrery with other people's clients.

    python = pyenv.python("grpcio==1.66.2", "protobuf==5.28.3")
    subprocess.run([python, "script.py"])

Each set of packages is a virtual environment of its own, build/pyenv/<hash of the set>, made the
first time and kept; two tests that want the same one at once wait for each other. Pin the versions,
so that a test is the same test tomorrow. Where there is no way to PyPI, or no venv module, the test
that asked is a skip that says so.
"""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

from orrery_test import ROOT, Skip

ENVS = os.path.join(ROOT, "build", "pyenv")
INSTALL_S = 600


def _make(path, packages):
    shutil.rmtree(path, ignore_errors=True)  # half an environment of one that was interrupted
    steps = ([sys.executable, "-m", "venv", path],
             [os.path.join(path, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check",
              "--only-binary", ":all:", *packages])
    for step in steps:
        try:
            r = subprocess.run(step, capture_output=True, text=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            raise Skip(f"{' '.join(step[1:3])} took longer than {INSTALL_S} s")
        if r.returncode:
            why = (r.stderr or r.stdout).strip().splitlines()[-1:]
            raise Skip(f"no Python environment with {', '.join(packages)}: {''.join(why)}")
    with open(os.path.join(path, "complete"), "w", encoding="utf-8") as f:
        f.write("\n".join(packages) + "\n")


def python(*packages):
    """The interpreter of an environment that has these packages (as pip names them)."""
    packages = sorted(packages)
    key = hashlib.sha256("\n".join([sys.version, *packages]).encode()).hexdigest()[:16]
    path = os.path.join(ENVS, key)
    os.makedirs(ENVS, exist_ok=True)
    with open(path + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(path, "complete")):
            _make(path, packages)
    return os.path.join(path, "bin", "python")
