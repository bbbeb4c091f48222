#!/usr/bin/env python3
"""The S3 store on real servers: Swift's s3api, without conditional writes, and radosgw, with. The scripts that start
them are ../shared/s3; where that folder or a server is absent the tests are skipped."""
import os
import re
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from orrery_test import (BUILD, ROOT, Cluster, Single, api, check, free_port, http_call, main,
                         TENANT, push, push_ok, samples_of, wait_for)
from s3_proxy import S3Proxy, uploads_of
from s3_server import a_server, radosgw, swift


def now_ms():
    return int(time.time() * 1000)


def ramp(name, start, count, step=15000, **labels):
    return ({"__name__": name, **labels}, [(start + i * step, float(i)) for i in range(count)])


def contract(server, is_atomic, options=""):
    program = os.path.join(ROOT, BUILD, "tests", "s3_contract")
    env = dict(os.environ, **server.env, S3_ATOMIC="yes" if is_atomic else "no", S3_OPTIONS=options)
    r = subprocess.run([program], capture_output=True, text=True, timeout=600, env=env)
    bad = [line for line in (r.stdout + r.stderr).splitlines() if not re.match(r"\[ (RUN|      OK)|ts=", line)]
    check(r.returncode == 0, lambda: f"exit status {r.returncode}\n" + "\n".join(bad[-40:]))
    passed = re.search(r"PASSED.*?(\d+) test", r.stdout + r.stderr)
    check(passed and int(passed.group(1)) >= 18, f"too few tests ran: {bad[-3:]}")


def test_contract_on_swift(t):
    contract(swift(t), False)


def test_contract_on_radosgw(t):
    contract(radosgw(t), True)


def test_contract_with_bodies_vouched_for_otherwise(t):
    server = radosgw(t)
    contract(server, True, "  payload: unsigned\n")
    contract(server, True, "  payload: chunked\n")


def blocks(o):
    return api(o.addr, "/api/v1/status/tsdb/blocks").json["data"]["blocks"]


def flush(o, n):
    r = http_call(o.addr, "POST", "/ingester/flush", timeout=120)
    check(r.status // 100 == 2, f"flush: {r.status} {r.text}")
    wait_for(f"{n} blocks", lambda: len(blocks(o)) >= n, 60)


def metric(o, name):
    """The sum over all labels."""
    text = http_call(o.addr, "GET", "/metrics").text
    return sum(float(m) for m in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


def test_orrery_keeps_its_blocks_on_swift(t):
    server = a_server(t)
    options = server.options("orrery", "--s3.prefix=some/where/")
    o = Single(t, args=options, env=server.keys).wait_ready()
    start = (now_ms() - 4 * 3_600_000) // 7_200_000 * 7_200_000 + 60_000
    push_ok(o.addr, [ramp("kept", start, 400, n=str(k)) for k in range(20)])
    before = samples_of(o.addr, "kept", start - 1000, now_ms())
    check(len(before) == 20, f"{len(before)} series")
    flush(o, 1)
    check(samples_of(o.addr, "kept", start - 1000, now_ms()) == before, "another answer after the flush")
    keys = server.keys_in()
    check("some/where/metrics/test/catalogue" in keys, f"{keys}")
    check(sum(k.endswith("/meta.json") for k in keys) == len(blocks(o)), f"{keys}")
    # beside the tenant's: who writes alone where puts are not conditional
    check(all(k.startswith(("some/where/metrics/test/", "some/where/writers/")) for k in keys), f"{keys}")
    check(metric(o, "orrery_objstore_requests_total") > 5, "requests are counted")
    check(metric(o, "orrery_objstore_estimated_cost_dollars_total") > 0, "and their price")
    check(o.stop() == 0, "stop")
    # another machine, with nothing but the bucket
    shutil.rmtree(os.path.join(o.dir, "data"))
    o.start()
    o.wait_ready()
    check(samples_of(o.addr, "kept", start - 1000, now_ms()) == before, "another answer from the bucket alone")
    if shutil.which("promtool"):
        r = subprocess.run(["promtool", "check", "metrics"], capture_output=True, text=True,
                           input=http_call(o.addr, "GET", "/metrics").text)
        check("objstore" not in r.stderr + r.stdout, f"promtool: {r.stderr[:500]}")
    page = http_call(o.addr, "GET", "/config").text + http_call(o.addr, "GET", "/metrics").text
    with open(o.log, errors="replace") as f:
        page += f.read()
    check(server.env["S3_SECRET_KEY"] not in page, "the secret can be read")


def test_secrets_are_not_shown(t):
    o = Single(t, args=["--s3.secret-key=very-secret", "--s3.access-key=AK"]).wait_ready()
    config = http_call(o.addr, "GET", "/config").text
    check("very-secret" not in config and "AK" in config, "the secret is on /config")


def test_the_server_is_away_for_a_while(t):
    server = a_server(t)
    o = Single(t, args=server.options("orrery", "--s3.operation-timeout=5s", "--s3.request-timeout=3s"),
               env=server.keys).wait_ready()
    start = (now_ms() - 4 * 3_600_000) // 7_200_000 * 7_200_000 + 60_000
    push_ok(o.addr, [ramp("first", start, 100)])
    flush(o, 1)
    server.stop()
    recent = now_ms() - 600_000
    push_ok(o.addr, [ramp("second", recent, 20)])
    check(http_call(o.addr, "POST", "/ingester/flush", timeout=120).status // 100 in (2, 5), "flush")
    for _ in range(8):
        r = push(o.addr, [ramp("third", now_ms() - 20_000, 1)])
        check(r.status // 100 == 2, f"ingest goes on: {r.status} {r.text}")
        time.sleep(1)
    with open(o.log, errors="replace") as f:
        lines = [line for line in f if "object store fails" in line]
    check(len(lines) == 1, f"said {len(lines)} times that the store fails")
    server.start()
    wait_for("the second block", lambda: len(blocks(o)) >= 2, 90)
    for name, at, n in (("first", start, 100), ("second", recent, 20)):
        got = samples_of(o.addr, name, at - 1000, now_ms())
        check([len(v) for v in got.values()] == [n], f"{name}: {[len(v) for v in got.values()]}")
    with open(o.log, errors="replace") as f:
        text = f.readlines()
    print(f"   {len(text)} lines of log, {sum('level=warn' in x or 'level=error' in x for x in text)} of trouble",
          flush=True)


def test_a_process_starts_without_its_bucket(t):
    o = Single(t, args=["--storage.backend=s3", f"--s3.endpoint=http://127.0.0.1:{free_port()}",
                        "--s3.bucket=nowhere", "--s3.operation-timeout=2s"],
               env={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).wait_ready()
    push_ok(o.addr, [ramp("m", now_ms() - 60_000, 3)])
    started = time.monotonic()
    check(o.stop(90) == 0, "stop")
    print(f"   stopped in {time.monotonic() - started:.1f} s", flush=True)


def test_it_stops_though_the_server_hangs(t):
    with socket.create_server(("127.0.0.1", 0)) as hung:  # takes connections and says nothing
        o = Single(t, args=["--storage.backend=s3", f"--s3.endpoint=http://127.0.0.1:{hung.getsockname()[1]}",
                            "--s3.bucket=hung", "--server.shutdown-timeout=5s"],
                   env={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).wait_ready()
        push_ok(o.addr, [ramp("m", now_ms() - 60_000, 3)])
        check(http_call(o.addr, "POST", "/ingester/flush", timeout=120).status // 100 in (2, 5), "flush")
        time.sleep(2)
        started = time.monotonic()
        status = o.stop(90)  # not 0: what was to be handed over was not
        took = time.monotonic() - started
        print(f"   stopped in {took:.1f} s with status {status}", flush=True)
        check(status in (0, 1), f"exit status {status}")
        check(took < 12, f"it took {took:.1f} s")


def appended(addr):
    return sum(int(n) for n in re.findall(r"^orrery_head_samples_appended_total(?:{.*})? (\d+)$",
                                          http_call(addr, "GET", "/metrics").text, re.M))


def test_a_cluster_on_swift(t):
    """And what three ingesters hold of a window is uploaded once: so many PUTs of files of blocks pass, whatever is there in the end."""
    server = a_server(t)
    proxy = S3Proxy(t, server.endpoint)
    os.environ.update(server.keys)
    try:
        c = Cluster(t, args=["--s3", f"{proxy.endpoint}/fleet"])
    finally:
        for k in server.keys:
            del os.environ[k]
    start = (now_ms() - 4 * 3_600_000) // 7_200_000 * 7_200_000 + 60_000
    push_ok(c.addrs("ingester")[0], [ramp("fleet", start, 200, n=str(k)) for k in range(10)])
    before = samples_of(c.addrs("querier")[0], "fleet", start - 1000, now_ms())
    check(len(before) == 10, f"{len(before)} series")
    wait_for("all three to hold all", lambda: [appended(a) for a in c.addrs("ingester")] == [2000] * 3, 60)
    with ThreadPoolExecutor() as pool:  # one after the other would make a block of each
        for r in pool.map(lambda a: http_call(a, "POST", "/ingester/flush", timeout=120), c.addrs("ingester")):
            check(r.status // 100 == 2, f"flush: {r.status} {r.text}")

    def blocks():
        return {k.split("/")[2] for k in server.keys_in("fleet") if k.endswith("/meta.json")}
    wait_for("blocks in the bucket", blocks, 90)
    for addr in c.addrs("querier"):
        check(samples_of(addr, "fleet", start - 1000, now_ms()) == before, "another answer after the flush")
    uploads = uploads_of(proxy.log, f"metrics/{TENANT}/")
    check({k.split("/")[2] for k in uploads} == blocks() and len(blocks()) == 1, f"not one block: {uploads}")
    check(len(uploads) > 2 and set(uploads.values()) == {1}, f"not once each: {uploads}")


if __name__ == "__main__":
    main()
