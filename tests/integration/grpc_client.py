"""Google's gRPC client against tests/integration/grpc_peer.c; run by grpc_test.py in an environment
that has it: grpc_client.py ADDRESS CASE [CA]. Says nothing when all is well."""
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from google.rpc import error_details_pb2

BIG = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
STATUS = grpc.StatusCode


def unary(channel, method, **kw):
    return channel.unary_unary(f"/peer.Peer/{method}", **kw)


def stream(channel):
    return channel.unary_stream("/peer.Peer/Stream")


def error_of(call):
    try:
        call()
    except grpc.RpcError as e:
        return e
    raise AssertionError("the call succeeded")


def expect(error, code, words=""):
    assert error.code() == code, f"{error.code()} {error.details()!r}, not {code}"
    assert words in error.details(), f"no {words!r} in {error.details()!r}"


def case_unary(channel):
    echo = unary(channel, "Echo")
    for size in (0, 1, 1000, 16384, 70000, 4 << 20):
        assert echo(b"e" * size) == b"e" * size, size
    reply, call = echo.with_call(b"m", metadata=(("echo-bin", b"\x00\xff\x10"), ("plain", "x")))
    assert dict(call.initial_metadata())["echo-bin"] == b"\x00\xff\x10", call.initial_metadata()


def case_many_at_once(channel):
    echo = unary(channel, "Echo")
    calls = [echo.future(b"%d" % i * 1000) for i in range(1000)]
    for i, call in enumerate(calls):
        assert call.result(timeout=60) == b"%d" % i * 1000, i


def case_compression(channel):
    echo = unary(channel, "Echo")
    for how in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        assert echo(b"c" * 200000, compression=how) == b"c" * 200000, how
    pieces = list(stream(channel)(b"20 50000", compression=grpc.Compression.Gzip))
    assert [len(p) for p in pieces] == [50000] * 20


def case_stream(channel):
    call = stream(channel)(b"2000 10000")
    assert [len(p) for p in call] == [10000] * 2000
    assert dict(call.trailing_metadata())["peer-end"] == "all", call.trailing_metadata()
    assert list(stream(channel)(b"0 0")) == []
    assert list(stream(channel)(b"2 0")) == [b"", b""]
    call = stream(channel)(b"5000 100000")  # half a GB that nobody waits for
    assert len(next(call)) == 100000
    call.cancel()
    assert unary(channel, "Echo")(b"fine") == b"fine"


def case_errors(channel):
    fail = unary(channel, "Fail")
    expect(error_of(lambda: fail(b"invalid")), STATUS.INVALID_ARGUMENT, "as told: invalid, 100% ü")
    expect(error_of(lambda: fail(b"not_found")), STATUS.NOT_FOUND)
    expect(error_of(lambda: fail(b"unauthorized")), STATUS.UNAUTHENTICATED)
    expect(error_of(lambda: fail(b"timeout")), STATUS.DEADLINE_EXCEEDED)
    for name, code in ((b"rate", STATUS.RESOURCE_EXHAUSTED), (b"unavailable", STATUS.UNAVAILABLE)):
        error = error_of(lambda: fail(name))
        expect(error, code)
        status = rpc_status.from_call(error)
        info = error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(info), status
        assert (info.retry_delay.seconds, info.retry_delay.nanos) == (1, 500000000), info
    error = error_of(lambda: fail(b"limit"))
    expect(error, STATUS.RESOURCE_EXHAUSTED)
    assert rpc_status.from_call(error) is None


def case_unimplemented(channel):
    expect(error_of(lambda: unary(channel, "Other")(b"")), STATUS.UNIMPLEMENTED, "/peer.Peer/Other")
    many = channel.stream_unary("/peer.Peer/Echo")
    expect(error_of(lambda: many(iter([b"one", b"two"]))), STATUS.UNIMPLEMENTED, "more than one")
    expect(error_of(lambda: unary(channel, "Echo")(b"l" * ((4 << 20) + 1))),
           STATUS.RESOURCE_EXHAUSTED, "larger than")
    assert unary(channel, "Echo")(b"fine") == b"fine"


def case_deadline_and_cancel(channel):
    never = unary(channel, "Never")
    expect(error_of(lambda: never(b"", timeout=0.3)), STATUS.DEADLINE_EXCEEDED)
    call = never.future(b"")
    try:
        call.result(timeout=0.3)
    except grpc.FutureTimeoutError:
        pass
    call.cancel()
    assert unary(channel, "Echo")(b"fine") == b"fine"


def case_health(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "peer.Peer", "grpc.health.v1.Health"):
        reply = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING, (service, reply)
    request = health_pb2.HealthCheckRequest(service="peer")
    expect(error_of(lambda: health.Check(request)), STATUS.NOT_FOUND, "peer")
    expect(error_of(lambda: list(health.Watch(request))), STATUS.UNIMPLEMENTED, "Watch")


def case_serving(channel):
    """A whole orrery."""
    reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert reply.status == health_pb2.HealthCheckResponse.SERVING, reply
    expect(error_of(lambda: unary(channel, "Echo")(b"")), STATUS.UNIMPLEMENTED)


def main():
    address, case = sys.argv[1:3]
    if len(sys.argv) > 3:
        with open(sys.argv[3], "rb") as f:
            credentials = grpc.ssl_channel_credentials(f.read())
        channel = grpc.secure_channel(address, credentials, options=BIG)
    else:
        channel = grpc.insecure_channel(address, options=BIG)
    with channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        globals()["case_" + case](channel)


main()
