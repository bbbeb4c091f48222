#!/usr/bin/env python3
"""Log lines into the bucket: flush makes one block of what replicas hold, ingesters let go, blocks are merged, replaced ones and
expired ones go; a compactor that is killed at any moment; a corrupt block."""
import contextlib
import glob
import http.client
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

from logs_test import bucket, flush, held, lines_of, live, now_ns, push_ok, wait_until_told
from orrery_test import TENANT, Cluster, Single, check, http_call, main, wait_for

EAGER = ["--compactor.sweep-interval=300ms", "--compactor.compaction-interval=300ms", "--compactor.poll-interval=200ms",
         "--compactor.drop-delay=100ms", "--limits.reject-old-samples=false"]
HOUR_NS = 3_600_000_000_000


def directories(o):
    return sorted(os.path.basename(d) for d in glob.glob(f"{bucket(o)}/01*"))


def metric(addr, name, labels='{signal="logs"}'):
    found = re.search(rf"^orrery_compactor_{name}{re.escape(labels)} (\S+)$", http_call(addr, "GET", "/metrics").text, re.M)
    check(found, f"no metric {name}{labels}")
    return float(found.group(1))


def old_lines(o, n, at_ns, app="a", text="line"):
    """Lines of long ago in blocks are due to be merged at once."""
    lines = [f"{text} {i} " + "x" * 100 for i in range(n)]
    push_ok(o.addr, [({"app": f"{app}{k}"}, [(at_ns + i, x) for i, x in enumerate(lines) if i % 7 == k])
                     for k in range(7)])
    return lines


def test_a_flush_puts_a_block_into_the_bucket(t):
    o = Single(t, args=EAGER).wait_ready()
    lines = old_lines(o, 5000, now_ns())
    check(sorted(lines) == lines_of(o.addr, '{app=~"a.+"}'), "pushed")
    flush(o.addr)
    wait_for("a block", lambda: len(live(o)) == 1, 30)
    b = live(o)[0]
    check(b["samples"] == 5000 and b["series"] == 7 and b["level"] == 1, f"{b}")
    check(sorted(os.listdir(f"{bucket(o)}/{b['ulid']}")) == ["directory", "filter", "index", "meta.json", "pages", "summary"],
          f"{os.listdir(bucket(o) + '/' + b['ulid'])}")
    wait_for("the ingester to let go", lambda: held(o.addr, '{app=~"a.+"}') == {}, 30)
    check(metric(o.addr, "flushes_total") == 1 and metric(o.addr, "flushes_total", "") == 0, "metrics")
    more = old_lines(o, 10, now_ns(), text="after")
    check(lines_of(o.addr, '{app=~"a.+"}') == sorted(more), "what comes after the flush is held")
    o.stop()
    o.start()
    o.wait_ready()
    check(lines_of(o.addr, '{app=~"a.+"}') == sorted(more), "what was dropped came back with a restart")
    check(live(o) == [b], "the block changed")


def test_replicas_become_one_block(t):
    c = Cluster(t)
    addrs = c.addrs("ingester")
    wait_until_told(addrs, "sprobe")
    ts, sent = now_ns(), len(addrs)
    for i in range(60):
        push_ok(addrs[i % len(addrs)], [({"app": f"s{i % 12}"}, [(ts + i, f"line {i}"), (ts + i, "same")])])
        sent += 2
    # a push is through when two have it; what comes to the third after the flush is not in it
    wait_for("all three to hold all", lambda: all(len(lines_of(a, '{app=~"s.+"}')) == sent for a in addrs), 60)
    with ThreadPoolExecutor() as pool:  # one after the other would make a block of each
        list(pool.map(flush, addrs))
    wait_for("the ingesters to let go", lambda: all(held(a, '{app=~"s.+"}') == {} for a in addrs), 60)
    check([b["samples"] for b in live(c)] == [sent], f"{live(c)} of {sent}")
    check(len(live(c)[0]["segments"]) == len(addrs), f"{live(c)}")
    compactors = c.addrs("compactor")
    check(sum(metric(a, "flush_duplicate_lines_total") for a in compactors) == 2 * sent, "duplicates")
    rows = http_call(compactors[0], "GET", "/compactor/status").json
    check({s["signal"]: s["ingesters"] for s in rows["signals"]} == {"metrics": 3, "logs": 3, "traces": 3}, f"{rows}")


def test_blocks_are_merged_and_replaced_ones_go(t):
    o = Single(t, args=EAGER + ["--compactor.deletion-delay=1s", "--compactor.dry-run=true"]).wait_ready()
    at = now_ns() - 50 * HOUR_NS
    sent = 0
    for i in range(4):
        sent += len(old_lines(o, 700, at + i, text="round" + str(i % 2)))
        flush(o.addr)
        wait_for("a block", lambda n=i + 1: len(live(o)) == n, 30)
    o.stop()
    o.args = [a for a in o.args if "dry-run" not in a]
    o.start()
    o.wait_ready()
    wait_for("one block", lambda: len(live(o)) == 1, 30)
    b = live(o)[0]
    check(b["samples"] == sent and b["level"] == 2 and len(b["segments"]) == 4, f"{b}")
    wait_for("replaced files to go", lambda: directories(o) == [b["ulid"]], 30)
    check(metric(o.addr, "compactions_total") == 1, "metric")


def test_retention(t):
    o = Single(t, args=EAGER + ["--compactor.deletion-delay=1s"]).wait_ready()
    old_lines(o, 100, now_ns() - 80 * HOUR_NS)
    flush(o.addr)
    old_lines(o, 200, now_ns())
    flush(o.addr)
    wait_for("two blocks", lambda: sorted(b["samples"] for b in live(o)) == [100, 200], 30)
    o.stop()
    o.args.append("--limits.logs-retention-period=48h")
    o.start()
    o.wait_ready()
    wait_for("the older one to go", lambda: [b["samples"] for b in live(o)] == [200] and len(directories(o)) == 1, 30)
    check(metric(o.addr, "blocks_expired_total") == 1, "metric")


def test_what_has_expired_when_it_comes_is_made_into_a_block_once(t):
    """Sweeps come before the ingester is told to drop its segment, which is let go all the same, and nothing is rewritten that is to go."""
    rules = os.path.join(t.dir, "overrides.yaml")
    with open(rules, "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"logs_retention_period": "48h", "logs_retention_stream": [
            {"selector": '{app="a1"}', "period": "1d"}]}}}, f)
    o = Single(t, args=[a for a in EAGER if "drop-delay" not in a] + [
        "--compactor.drop-delay=2s", "--compactor.deletion-delay=0s", "--compactor.retry-max=1s",
        f"--limits.overrides-file={rules}"]).wait_ready()
    old_lines(o, 700, now_ns() - 80 * HOUR_NS)
    flush(o.addr)
    wait_for("the block to go", lambda: metric(o.addr, "blocks_expired_total") >= 1 and not live(o), 30)
    wait_for("the ingester to let go", lambda: held(o.addr, '{app=~"a.+"}') == {}, 30)
    check(metric(o.addr, "flushes_total") == 1 and metric(o.addr, "blocks_expired_total") == 1, "it was made again")
    check(metric(o.addr, "compactions_total") == 0, "it was rewritten")
    check(metric(o.addr, "flush_wasted_blocks_total", '{signal="logs",reason="failed"}') == 0, "it was made for nothing")


def test_retention_of_streams(t):
    """A block that nothing is merged with is rewritten without the streams whose own period is over."""
    rules = os.path.join(t.dir, "overrides.yaml")
    with open(rules, "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"logs_retention_period": "20d", "logs_retention_stream": [
            {"selector": '{app="a1"}', "period": "1d"}, {"selector": '{app=~"a.+"}', "period": "30d"}]}}}, f)
    o = Single(t, args=EAGER + ["--compactor.deletion-delay=1s", "--compactor.dry-run=true",
                                f"--limits.overrides-file={rules}"]).wait_ready()
    old_lines(o, 700, now_ns() - 80 * HOUR_NS)
    flush(o.addr)
    wait_for("a block", lambda: [b["series"] for b in live(o)] == [7], 30)
    o.stop()
    o.args = [a for a in o.args if "dry-run" not in a]
    o.start()
    o.wait_ready()
    wait_for("the stream to go", lambda: [(b["series"], b["samples"], b["level"]) for b in live(o)] == [(6, 600, 1)], 30)
    wait_for("its files to go", lambda: directories(o) == [live(o)[0]["ulid"]], 30)
    check(metric(o.addr, "blocks_rewritten_total") == 1, "metric")
    check(metric(o.addr, "compaction_expired_series_total") == 1, "metric")


def test_kill_at_any_moment(t):
    o = Single(t, args=EAGER).wait_ready()
    sent, at = 0, now_ns() - 50 * HOUR_NS
    for i in range(8):
        sent += len(old_lines(o, 400, at + 1000 * i, text=f"kill {i}"))
        killer = threading.Timer(0.03 + 0.04 * i, o.kill)
        killer.start()
        with contextlib.suppress(OSError, http.client.HTTPException):
            http_call(o.addr, "POST", f"/ingester/flush?tenant={TENANT}", timeout=10)
        killer.join()
        o.start()
        o.wait_ready()
    flush(o.addr)
    wait_for("every line in one block, once", lambda: len(live(o)) == 1 and not lines_of(o.addr, '{app=~"a.+"}'), 60)
    check(live(o)[0]["samples"] == sent, f"{live(o)} of {sent}")


def test_a_corrupt_block_is_left_out(t):
    o = Single(t, args=EAGER + ["--compactor.dry-run=true"]).wait_ready()
    at = now_ns() - 50 * HOUR_NS
    for i in range(3):
        old_lines(o, 300, at + i, text=f"corrupt {i}")
        flush(o.addr)
    wait_for("blocks", lambda: len(live(o)) == 3, 30)
    o.stop()
    bad = live(o)[1]["ulid"]
    with open(f"{bucket(o)}/{bad}/pages", "r+b") as f:
        at = os.path.getsize(f.name) // 2
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))
    o.blocks.save(f.name)
    o.args = [a for a in o.args if "dry-run" not in a]
    o.start()
    o.wait_ready()
    wait_for("the others to be merged", lambda: len(live(o)) == 2, 30)
    check(bad in [b["ulid"] for b in live(o)], "the corrupt one is gone")
    rows = [r for r in http_call(o.addr, "GET", "/compactor/status").json["compaction"]["tenants"]
            if r["signal"] == "logs"]
    check(rows[0]["quarantined"][0]["block"] == bad, f"{rows}")


if __name__ == "__main__":
    main()
