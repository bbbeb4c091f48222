"""A service of a shop, run by OpenTelemetry's auto-instrumentation (opentelemetry-instrument): role, port, address of the next one or "-".

It knows nothing of Orrery: spans, log lines and metrics are what the agent makes of Flask, requests and logging.
"""
import logging
import sys

import requests
from flask import Flask
from opentelemetry import trace

role, port, following = sys.argv[1:4]
app = Flask(role)
log = logging.getLogger(role)
tracer = trace.get_tracer("shop", "1.0")


def charge(item):
    earlier = tracer.start_span("earlier try")
    earlier.end()
    with tracer.start_as_current_span("charge", links=[trace.Link(earlier.get_span_context(), {"why": "retry"})]) as span:
        span.add_event("lock wanted", {"table": "accounts"})
        if item == "broken":
            raise RuntimeError("lock held by batch")


@app.route("/ready")
def ready():
    return "ok"


@app.route("/buy/<item>")
def buy(item):
    log.warning("%s is asked for %s", role, item)
    if following == "-":
        charge(item)
        return "%032x" % trace.get_current_span().get_span_context().trace_id
    r = requests.get(f"http://{following}/buy/{item}", timeout=20)
    return "%032x" % trace.get_current_span().get_span_context().trace_id, r.status_code


app.run("127.0.0.1", int(port))
