"""Real S3 servers, started by the scripts of ../shared/s3 (absent: the test is skipped), and buckets on them."""
import atexit
import hashlib
import hmac
import itertools
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import xml.etree.ElementTree

from orrery_test import ROOT, Skip, TEST_BUCKET, check, http_call

SCRIPTS = os.path.join(ROOT, "..", "shared", "s3")


class Server:
    """A server that a script of ../shared/s3 starts, with what it prints in .env."""

    def __init__(self, t, script, port=None, directory=None):
        self.script, self.port = os.path.join(SCRIPTS, script), port
        if not os.path.exists(self.script):
            raise Skip(f"there is no {self.script}")
        self.dir = directory or os.path.join(t.dir, script.split("-")[0])
        t.add(self)
        self.start()

    def start(self):
        port = [] if self.port is None else [str(self.port)]
        r = subprocess.run([self.script, "start", self.dir, *port], capture_output=True, text=True, timeout=600)
        check(r.returncode == 0, f"{self.script}: {r.stderr[-1000:]}")
        self.env = dict(line.split("=", 1) for line in r.stdout.splitlines())
        self.endpoint = self.env["S3_ENDPOINT"]
        self.port = int(self.endpoint.rsplit(":", 1)[1])
        self.keys = {"AWS_ACCESS_KEY_ID": self.env["S3_ACCESS_KEY"],
                     "AWS_SECRET_ACCESS_KEY": self.env["S3_SECRET_KEY"],
                     "AWS_REGION": self.env["S3_REGION"]}

    def stop(self):
        subprocess.run([self.script, "stop", self.dir], capture_output=True, timeout=60)

    def tail(self, lines=10):
        return ""

    def options(self, bucket="orrery", *more):
        return ["--storage.backend=s3", f"--s3.endpoint={self.endpoint}", f"--s3.bucket={bucket}",
                "--s3.create-bucket", "--s3.lease-timeout=1s", *more]

    def request(self, method, path, query=(), body=b""):
        """One signed request of our own, so that what is in the bucket is not only said by Orrery."""
        host = self.endpoint.split("//")[1]
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        text = "&".join(f"{urllib.parse.quote(k, '')}={urllib.parse.quote(v, '')}" for k, v in sorted(query))
        nothing = hashlib.sha256(body).hexdigest()
        request = (f"{method}\n{urllib.parse.quote(path)}\n{text}\nhost:{host}\nx-amz-content-sha256:{nothing}\n"
                   f"x-amz-date:{stamp}\n\nhost;x-amz-content-sha256;x-amz-date\n{nothing}")
        scope = f"{stamp[:8]}/{self.env['S3_REGION']}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = ("AWS4" + self.env["S3_SECRET_KEY"]).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        headers = {"Host": host, "x-amz-date": stamp, "x-amz-content-sha256": nothing,
                   "Authorization": f"AWS4-HMAC-SHA256 Credential={self.env['S3_ACCESS_KEY']}/{scope}, "
                                    f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"}
        return http_call(host, method, urllib.parse.quote(path) + ("?" + text if text else ""), body=body or None, headers=headers)

    def listing(self, bucket):
        """{key: etag}"""
        out, after = {}, ""
        while True:
            r = self.request("GET", f"/{bucket}", [("list-type", "2"), ("start-after", after)])
            if r.status == 404:
                return out
            check(r.status == 200, f"list {bucket}: {r.status} {r.text[:300]}")
            tree = xml.etree.ElementTree.fromstring(r.body)
            rows = [{e.tag.split("}")[1]: e.text for e in c} for c in tree.iter() if c.tag.endswith("}Contents")]
            out.update({row["Key"]: row.get("ETag") for row in rows})
            if not rows or "<IsTruncated>true" not in r.text:
                return out
            after = rows[-1]["Key"]

    def keys_in(self, bucket="orrery"):
        return list(self.listing(bucket))


def swift(t, directory=None):
    """What it stores stays in the directory; without one it lies below the test's."""
    return Server(t, "swift-s3", directory=directory)


def radosgw(t):
    if not shutil.which("radosgw"):
        raise Skip("radosgw is not installed")
    for _ in range(50):  # below the ports that the system gives to connections; its monitor listens on the next one
        port = random.randrange(10000, 19999)
        try:
            for p in port, port + 1:
                with socket.socket() as s:
                    s.bind(("127.0.0.1", p))
        except OSError:
            continue
        return Server(t, "rgw-s3", port)
    raise Skip("no two ports side by side are free")


def a_server(t):
    """Of the test's own: Swift, or what TEST_BUCKET says."""
    return (radosgw if TEST_BUCKET == "rgw" else swift)(t)


class Keep:
    """For what outlives one test: ended with the program."""

    def __init__(self):
        self.dir, self.things = tempfile.mkdtemp(prefix="orrery-s3-"), []
        atexit.register(self.stop)

    def add(self, thing):
        self.things.append(thing)

    def stop(self):
        for x in self.things:
            x.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


_server, _numbers, _lock = [], itertools.count(1), threading.Lock()


def the_server():
    """One for all tests of a program: Swift, or what TEST_BUCKET says."""
    with _lock:
        if not _server:
            _server.append(a_server(Keep()))
        return _server[0]


class Bucket:
    """A new bucket on it, of one orrery or cluster."""

    def __init__(self):
        self.server, self.name = the_server(), f"test-{next(_numbers)}"
        self.keys, self.etags = self.server.keys, {}

    def options(self):
        """Of an orrery, whose compactor is the only one: without leases, which one that was killed would have to wait for. A
        cluster has them; s3_store_test.py and writers_test.py are about them, too."""
        return self.server.options(self.name, "--s3.one-writer=false")

    def url(self):
        return f"{self.server.endpoint}/{self.name}"

    def mirror(self, directory):
        """Makes the directory what the bucket is now."""
        now = self.server.listing(self.name)
        for key in [k for k in self.etags if k not in now]:
            del self.etags[key]
            os.remove(f"{directory}/{key}")
            parent = os.path.dirname(f"{directory}/{key}")
            while parent != directory and not os.listdir(parent):
                os.rmdir(parent)
                parent = os.path.dirname(parent)
        for key, etag in now.items():
            r = self.server.request("GET", f"/{self.name}/{key}") if self.etags.get(key) != etag else None
            if r and r.status == 200:  # else it has gone meanwhile
                os.makedirs(os.path.dirname(f"{directory}/{key}"), exist_ok=True)
                with open(f"{directory}/{key}", "wb") as f:
                    f.write(r.body)
                self.etags[key] = etag
        return directory

    def save_all(self, directory):
        """What was changed in the mirror, or removed from it, since it was made."""
        for key, etag in list(self.etags.items()):
            path = f"{directory}/{key}"
            if not os.path.exists(path):
                r = self.server.request("DELETE", f"/{self.name}/{key}")
                check(r.status // 100 == 2, f"delete {key}: {r.status} {r.text[:300]}")
                del self.etags[key]
                continue
            with open(path, "rb") as f:
                is_same = hashlib.md5(f.read()).hexdigest() == etag.strip('"')
            if not is_same:
                self.save(directory, path)

    def save(self, directory, path):
        """What was changed in the mirror goes to the bucket."""
        with open(path, "rb") as f:
            r = self.server.request("PUT", f"/{self.name}/{os.path.relpath(path, directory)}", body=f.read())
        check(r.status == 200, f"put {path}: {r.status} {r.text[:300]}")
