#!/usr/bin/env python3
"""Downsampling: old blocks of a tenant get blocks of 5m and 1h beside them, long queries read those and answer as samples do;
when the samples have expired what is left answers, and says so."""
import json
import os
import shutil
import urllib.parse

from compact_test import DAY, EAGER, HOUR, bucket, catalogue, day, flush, live, metric, row
from delete_test import ADMIN, delete, deletions
from orrery_test import Single, TENANT, check, http_call, main, push_ok, wait_for
from orreryctl_test import ctl, meta_of, single

DAYS = 45
STEP = 600_000
IDLE = ["--compactor.dry-run=true", "--limits.max-open-windows-per-user=0"]
ON = EAGER + ["--compactor.compaction-wait=0s", "--compactor.downsample-5m-after=0s",
              "--compactor.downsample-1h-after=0s", "--compactor.compaction-concurrency=2",
              "--limits.max-open-windows-per-user=0", "--limits.downsampling=true"]
EXACT = ["count_over_time(g[1d])", "sum_over_time(g[1d])", "min_over_time(g[1d])", "max_over_time(g[1d])"]
CLOSE = ["increase(c_total[1d])", "sum(rate(c_total[1d]))", "avg_over_time(g[1d])"]


def fill(o, start, days=DAYS):
    """A counter that is reset every 700 samples, and a gauge that rests on every fifth day; seven seconds after the window."""
    count = 0
    for d in range(days):
        for w in range(12):
            at = start + d * DAY + w * 2 * HOUR + 7000
            c, g = [], []
            for i in range(2 * HOUR // STEP):
                count = 3 if count % 700 == 699 else count + 1
                c.append((at + i * STEP, float(count * 2 + i % 2)))
                g.append((at + i * STEP, float((i * 37 + w * 11 + d) % 101)))
            batch = [({"__name__": "c_total"}, c)]
            if d % 5 != 4:
                batch.append(({"__name__": "g"}, g))
            push_ok(o.addr, batch)
    flush(o)


def again(o, args):
    o.stop()
    o.args = [a for a in o.args if not a.startswith(("--compactor.", "--limits."))] + args
    o.start()
    o.wait_ready()


def query(o, text, start, **more):
    """A year, day by day; the answer's series and warnings, and how many blocks of each resolution were read."""
    params = urllib.parse.urlencode(dict(query=text, start=(start + DAYS * DAY - 365 * DAY) / 1000,
                                         end=(start + DAYS * DAY) / 1000, step=86400, stats="1", **more))
    r = http_call(o.addr, "GET", f"/api/v1/query_range?{params}", headers={"X-Scope-OrgID": TENANT})
    check(r.status == 200, r.text)
    data = r.json["data"]
    return data["result"], r.json.get("warnings", []), data["stats"]["blocks"]


def values(result):
    check(len(result) == 1, f"{len(result)} series")
    return [(t, float(v)) for t, v in result[0]["values"]]


def check_close(text, got, want, error):
    check([t for t, _ in got] == [t for t, _ in want], f"{text}: other steps, {len(got)} not {len(want)}")
    for (t, g), (_, w) in zip(got, want):
        check(abs(g - w) <= error * abs(w), f"{text} at {t}: {g}, not {w}")


def by_resolution(o):
    out = {0: 0, 300_000: 0, 3_600_000: 0}
    for b in catalogue(o)["blocks"]:
        out[b.get("resolution", 0)] += 1
    return out


def test_long_queries_read_downsampled_blocks(t):
    o = Single(t, args=IDLE).wait_ready()
    start = day(DAYS + 1)
    fill(o, start)
    want = {}
    for text in EXACT + CLOSE:
        result, warnings, blocks = query(o, text, start)
        check(blocks["raw"] > 0 and blocks["5m"] == blocks["1h"] == 0, f"{text}: {blocks}")
        check(not warnings, f"{text}: {warnings}")
        want[text] = values(result)

    again(o, ON)
    wait_for("days to become blocks, all of them downsampled",
             lambda: row(o)["jobs"] == 0 and by_resolution(o)[0] == DAYS and by_resolution(o)[3_600_000], 600)
    found = by_resolution(o)
    check(found[300_000] <= DAYS // 14 + 15 and found[3_600_000] >= 2, f"{found}")
    for text in EXACT + CLOSE:
        result, warnings, blocks = query(o, text, start)
        check(blocks["1h"] > 0 and blocks["raw"] + blocks["5m"] <= 16, f"{text}: {blocks}")
        check(not warnings, f"{text}: {warnings}")
        check_close(text, values(result), want[text], 0.05 if text in CLOSE else 0)
        result, _, blocks = query(o, text, start, max_source_resolution="0s")
        check(values(result) == want[text] and blocks["1h"] == blocks["5m"] == 0, f"{text}: samples: {blocks}")
    _, _, blocks = query(o, "quantile_over_time(0.9, g[1d])", start)
    check(blocks["1h"] == blocks["5m"] == 0, f"a quantile of aggregates: {blocks}")
    _, _, blocks = query(o, "increase(c_total[1d])", start, max_source_resolution="5m")
    check(blocks["1h"] == 0 and blocks["5m"] > 0, f"5m was asked for: {blocks}")
    once = live(o)

    # something late: merged with what was there, downsampled anew, and counted once
    push_ok(o.addr, [({"__name__": "g"}, [(start + 4 * DAY + 7000 + i * STEP, 1000.0) for i in range(12)])])
    flush(o)
    wait_for("the late block to be worked in", lambda: row(o)["jobs"] == 0 and by_resolution(o)[0] == DAYS and
             live(o) != once, 60)
    text = "count_over_time(g[1d])"
    result, _, blocks = query(o, text, start)
    late = dict(want[text])
    late[(start + 5 * DAY) / 1000] = 12
    check(sorted(late.items()) == values(result), "what came late is not counted once")
    check(blocks["1h"] > 0 and blocks["raw"] + blocks["5m"] <= 16, f"{blocks}")

    again(o, ON + ["--limits.compactor-retention-raw=1s", "--compactor.deletion-delay=0s"])
    wait_for("samples to expire", lambda: by_resolution(o)[0] == 0, 60)
    result, warnings, blocks = query(o, text, start, max_source_resolution="0s")
    check(values(result) == sorted(late.items()), "answers changed when samples expired")
    check(any("have expired" in w for w in warnings), f"{warnings}")
    check(blocks["raw"] == 0, f"{blocks}")
    check(metric(o, "compaction_backlog_jobs") == 0, "work is left")


MINUTE = 60_000
OF_A_DAY = ["count_over_time(g[1d])", "sum_over_time(g[1d])", "avg_over_time(g[1d])", "max_over_time(g[1d])",
            "min_over_time(g[1d])"]


def ask(o, text, at, resolution):
    """The value, and of which resolutions blocks were read."""
    params = urllib.parse.urlencode(dict(query=text, start=at / 1000, end=at / 1000, step=86400, stats="1",
                                         max_source_resolution=resolution))
    r = http_call(o.addr, "GET", f"/api/v1/query_range?{params}", headers={"X-Scope-OrgID": TENANT})
    check(r.status == 200, r.text)
    data = r.json["data"]
    check(len(data["result"]) == 1, r.text)
    return float(data["result"][0]["values"][0][1]), {k for k, v in data["stats"]["blocks"].items() if v}


def check_day(o, at, samples, greatest):
    """All resolutions say the same; returns what is read of each."""
    read = {}
    for text in OF_A_DAY:
        want, blocks = ask(o, text, at, "0s")
        check(blocks <= {"raw"}, f"{text}: {blocks}")
        for resolution in ("5m", "1h"):
            got, read[resolution] = ask(o, text, at, resolution)
            check(abs(got - want) <= 1e-9 * abs(want), f"{text}: {got} by {resolution}, {want} by samples")
        if text.startswith("count"):
            check(want == samples, f"{want} samples, not {samples}")
        if text.startswith("max"):
            check(want == greatest, f"at most {want}, not {greatest}")
    return read


def test_deletions_within_windows(t):
    """Hours of many and of few samples, and a spike: what is deleted is gone from all resolutions at once, and for good, and nothing
    else is."""
    o = Single(t, args=IDLE + [ADMIN]).wait_ready()
    start = day(4)
    end = start + DAY
    for d in range(2):
        for h in range(24):
            n = (60, 30, 12, 6, 3)[h % 5]
            at = start + d * DAY + h * HOUR + 1000
            push_ok(o.addr, [({"__name__": "g"}, [(at + i * (HOUR // n), 1000.0 if (d, h, i) == (0, 10, 5) else float(h))
                                                  for i in range(n)])])
    flush(o)
    on = ON + ["--compactor.downsampled-block-ranges=24h"]
    again(o, on + ["--compactor.delete-rewrite-after=1h"])

    def is_whole():
        return row(o)["jobs"] == 0 and by_resolution(o) == {0: 2, 300_000: 2, 3_600_000: 2}
    wait_for("both days in all resolutions", is_whole, 120)
    read = check_day(o, end, 552, 1000)
    check(read == {"5m": {"5m"}, "1h": {"1h"}}, f"{read}")
    delete(o.addr, ["g"], start, start + 3 * HOUR - 1)  # whole windows: 60 + 30 + 12
    read = check_day(o, end, 450, 1000)
    check(read == {"5m": {"5m"}, "1h": {"1h"}}, f"{read}")
    delete(o.addr, ["g"], start + 10 * HOUR + 4 * MINUTE, start + 10 * HOUR + 7 * MINUTE)  # the spike: 3 of 60
    read = check_day(o, end, 447, 23)
    check(read == {"5m": {"raw", "5m"}, "1h": {"raw", "5m", "1h"}}, f"{read}")

    again(o, on + ["--compactor.delete-rewrite-after=0s", "--compactor.deletion-delay=1s"])
    wait_for("the deletions to be done", lambda: deletions(o) == [], 60)
    check_day(o, end, 447, 23)
    # what was cut is made anew, and merged with what was left
    wait_for("both days in all resolutions again",
             lambda: is_whole() and check_day(o, end, 447, 23) == {"5m": {"5m"}, "1h": {"1h"}}, 60)

    again(o, [a for a in on if a not in EAGER] + IDLE[:1] + ["--compactor.delete-rewrite-after=1h"])
    delete(o.addr, ["g"], start + 20 * HOUR + 4 * MINUTE, start + 21 * HOUR - 1)
    left, _ = ask(o, "count_over_time(g[1d])", end, "0s")
    again(o, on + ["--limits.compactor-retention-raw=1s", "--compactor.delete-rewrite-after=0s",
                   "--compactor.deletion-delay=1s"])
    wait_for("samples to expire and the deletion to be done", lambda: by_resolution(o)[0] == 0 and deletions(o) == [], 120)
    for resolution in ("5m", "1h"):
        got, _ = ask(o, "count_over_time(g[1d])", end, resolution)
        check(got in (left, left - 4), f"by {resolution}: {got} of {left}")  # 4 are in a window that was deleted in part
        check(ask(o, "max_over_time(g[1d])", end, resolution)[0] == 23, "the greatest")


def test_bucket_of_thanos_that_is_downsampled_is_adopted(t):
    o = Single(t, args=IDLE).wait_ready()
    start = day(DAYS + 1)
    fill(o, start, days=3)
    again(o, [a for a in ON if "1h-after" not in a] + ["--compactor.downsample-1h-after=8760h"])
    wait_for("blocks of 5m", lambda: row(o)["jobs"] == 0 and by_resolution(o)[0] == 3 and by_resolution(o)[300_000], 60)
    want = {text: values(query(o, text, start, max_source_resolution="0s")[0]) for text in EXACT}
    o.stop()

    there = f"{t.dir}/adopted"
    for block in live(o):  # as Thanos has them: in one directory, external labels, nothing of ours in meta.json
        shutil.copytree(f"{bucket(o)}/{block}", f"{there}/thanos/{block}")
        meta = meta_of(f"{there}/thanos/{block}")
        del meta["orrery"]
        meta["thanos"]["labels"] = {"cluster": "eu"}
        with open(f"{there}/thanos/{block}/meta.json", "w", encoding="utf-8") as f:
            json.dump(meta, f)
    n = len(os.listdir(f"{there}/thanos"))
    said = ctl(there, "bucket", "adopt", "--layout=thanos", "--prefix=thanos/", f"--tenant={TENANT}")
    check(f"{n} blocks adopted" in said, said)
    o = single(t, there, *IDLE, name="adopted")
    for text in EXACT:
        result, warnings, blocks = query(o, text, start)
        check(values(result) == want[text] and result[0]["metric"]["cluster"] == "eu", f"{text}: {result}")
        check(blocks["5m"] > 0 and blocks["raw"] == 0 and not warnings, f"{text}: {blocks} {warnings}")
    o.stop()
    # what Thanos downsampled is not downsampled once more, and goes on to an hour
    o = single(t, there, *ON, name="going-on")
    with_1h = 3_600_000

    def resolutions():
        with open(f"{there}/metrics/{TENANT}/catalogue", encoding="utf-8") as f:
            return sorted(b.get("resolution", 0) for b in json.load(f)["blocks"])
    wait_for("blocks of 1h", lambda: row(o)["jobs"] == 0 and with_1h in resolutions(), 60)
    check(resolutions().count(0) == 3 and 1 <= resolutions().count(300_000) <= 2, f"{resolutions()}")
    for text in EXACT:
        result, _, blocks = query(o, text, start)
        check(values(result) == want[text] and blocks["1h"] > 0, f"{text}: {blocks}")


if __name__ == "__main__":
    main()
