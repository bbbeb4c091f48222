"""Programs of Debian packages that tests need once, unpacked below build/ and not installed: two that
want to be the system's log daemon would drive each other out.

    root = debs.root("rsyslog", "libestr0", "libfastjson4")
    subprocess.run([f"{root}/usr/sbin/rsyslogd", …], env=debs.env(root))

Each set of packages is a folder of its own, made the first time and kept. Where there is no way to
Debian's archive the test that asked is a skip that says so. Name the libraries that the machine may
lack as well: dependencies are not looked for.
"""
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess

from orrery_test import ROOT, Skip

DEBS = os.path.join(ROOT, "build", "debs")


def _run(cwd, *argv):
    try:
        r = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Skip(f"{argv[0]}: {e}")
    if r.returncode:
        why = (r.stderr or r.stdout).strip().splitlines()[-1:]
        raise Skip(f"no Debian packages {' '.join(argv[2:])}: {''.join(why)}")


def root(*packages):
    """The folder that these packages are unpacked in."""
    packages = sorted(packages)
    path = os.path.join(DEBS, hashlib.sha256("\n".join(packages).encode()).hexdigest()[:16])
    os.makedirs(DEBS, exist_ok=True)
    with open(path + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(path, "complete")):
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path)
            _run(path, "apt-get", "download", *packages)
            for deb in glob.glob(os.path.join(path, "*.deb")):
                _run(path, "dpkg", "-x", deb, path)
                os.remove(deb)
            with open(os.path.join(path, "complete"), "w", encoding="utf-8") as f:
                f.write("\n".join(packages) + "\n")
    return path


def env(path, *more):
    """An environment in which programs find the libraries of path, and of these folders in it."""
    libs = [f"{path}/usr/lib/x86_64-linux-gnu", f"{path}/lib/x86_64-linux-gnu", *(f"{path}/{m}" for m in more)]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(libs)}
