"""The Lambda Runtime API for one function at a time: it hands out events and takes the answers."""

import select
import socket
import subprocess
import time
from contextlib import contextmanager

from systems import WrongAnswer


@contextmanager
def function(program, variables, deadline_s=60):
    """The API of a process of `program` that was started for it, has asked for its first event, and ends with the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "127.0.0.1:{}".format(listener.getsockname()[1])
        env = {"AWS_LAMBDA_RUNTIME_API": address, "AWS_LAMBDA_FUNCTION_NAME": "bench", "AWS_LAMBDA_FUNCTION_VERSION": "1",
               "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"} | variables
        listener.settimeout(60)
        start = time.perf_counter()
        process = subprocess.Popen([str(program)], env=env)
        try:
            api = RuntimeApi(listener, deadline_s)
            path, _ = api.request()
            api.start_ms = (time.perf_counter() - start) * 1e3
            if not path.endswith("/next"):
                raise WrongAnswer(f"{program} asked for {path}")
            yield api
        finally:
            process.kill()
            process.wait()


class RuntimeApi:
    """The side of the platform. The function has one request under way at a time, on any of its connections."""

    def __init__(self, listener, deadline_s):
        self.listener, self.deadline_s, self.number = listener, deadline_s, 0
        # What came on each connection and isn't read, and the connection that waits for an answer.
        self.rests, self.asking = {}, None

    def request(self):
        """The function's next request: its path and body."""
        end = time.monotonic() + self.deadline_s
        while True:
            ready, _, _ = select.select([self.listener, *self.rests], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise WrongAnswer(f"nothing was said for {self.deadline_s} s")
            for one in ready:
                if one is self.listener:
                    stream, _ = self.listener.accept()
                    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.rests[stream] = b""
                    continue
                piece = one.recv(1 << 16)
                self.rests[one] += piece
                found = self._whole(one)
                if found:
                    self.asking = one
                    return found
                if not piece:
                    del self.rests[one]
                    one.close()

    def _whole(self, stream):
        """The request that has come on `stream`, if it is whole."""
        head, end, rest = self.rests[stream].partition(b"\r\n\r\n")
        if not end:
            return None
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return None
        self.rests[stream] = rest[length:]
        return lines[0].split(" ")[1], rest[:length]

    def event(self, payload):
        """Hands out an event (bytes) to who asked for one; what was said to it, and milliseconds until then."""
        self.number += 1
        deadline_ms = int((time.time() + self.deadline_s) * 1e3)
        head = ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                f"lambda-runtime-aws-request-id: {self.number}\r\nlambda-runtime-deadline-ms: {deadline_ms}\r\n"
                f"lambda-runtime-invoked-function-arn: arn\r\ncontent-length: {len(payload)}\r\n\r\n").encode()
        start = time.perf_counter()
        self.asking.sendall(head + payload)
        path, body = self.request()
        took_ms = (time.perf_counter() - start) * 1e3
        if not path.endswith("/response"):
            raise WrongAnswer(f"{path}: {body[:300]!r}")
        self.asking.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        self.request()
        return body, took_ms
