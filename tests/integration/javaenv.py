"""Java programs with libraries from Maven Central, for tests that drive Orrery with other people's clients.

    java = javaenv.java(("group:artifact:version", …), {"Sender": source})
    subprocess.run([*java, "Sender", argument])

Each set of libraries and sources is a directory of its own, build/javaenv/<hash of both>, made the first time and kept; pin the versions. Where there
is no JDK 17 or Maven, or no way to Maven Central, the test that asked is a skip that says so.
"""
import fcntl
import hashlib
import os
import shutil
import subprocess

from orrery_test import ROOT, Skip

ENVS = os.path.join(ROOT, "build", "javaenv")
INSTALL_S = 300
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId>
<version>1</version><dependencies>{}</dependencies></project>
"""


def _run(step, cwd):
    try:
        r = subprocess.run(step, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S)
    except FileNotFoundError:
        raise Skip(f"{step[0]} is not installed")
    except subprocess.TimeoutExpired:
        raise Skip(f"{' '.join(step[:3])} took longer than {INSTALL_S} s")
    return r


def _make(path, libraries, sources):
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    parts = [library.split(":") for library in libraries]
    with open(f"{path}/pom.xml", "w", encoding="utf-8") as f:
        f.write(POM.format("".join(f"<dependency><groupId>{g}</groupId><artifactId>{a}</artifactId><version>{v}</version></dependency>"
                                   for g, a, v in parts)))
    r = _run(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"], path)
    if r.returncode:
        why = (r.stdout + r.stderr).strip().splitlines()[:1]
        raise Skip(f"no libraries {', '.join(libraries)}: {''.join(why)}")
    for name, text in sources.items():
        with open(f"{path}/{name}.java", "w", encoding="utf-8") as f:
            f.write(text)
    r = _run(["javac", "-cp", "jars/*", *(f"{name}.java" for name in sources)], path)
    if r.returncode:
        raise RuntimeError(f"javac: {r.stderr}")  # our own program, so no skip
    with open(f"{path}/complete", "w", encoding="utf-8") as f:
        f.write("\n".join(libraries) + "\n")


def java(libraries, sources):
    """The beginning of a command that runs one of the classes."""
    key = hashlib.sha256(repr((sorted(libraries), sorted(sources.items()))).encode()).hexdigest()[:16]
    path = os.path.join(ENVS, key)
    os.makedirs(ENVS, exist_ok=True)
    with open(path + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f"{path}/complete"):
            _make(path, libraries, sources)
    return ["java", "-cp", f"{path}/jars/*:{path}"]
