"""A server under measurement: started on a core of its own, watched, and stopped with all that it started."""

import ctypes
import http.client
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

READY_SECONDS = 90
STOP_SECONDS = 10
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class NotReady(Exception):
    """The server didn't come up."""


class Server:
    """`with Server(...)`: up and answering its health route. `start_ms` is the time from exec until then."""

    def __init__(self, command, port, health, core, folder, log, env):
        self.command, self.port, self.health, self.core = command, port, health, core
        self.folder, self.log, self.env = folder, log, env

    def __enter__(self):
        ours = os.sched_getaffinity(0)
        with open(self.log, "w") as log:
            # The server inherits the core: no program stands between us and it, whose start would count as its own.
            os.sched_setaffinity(0, {self.core})
            start = time.perf_counter()
            try:
                self.process = subprocess.Popen(
                    self.command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                )
            finally:
                os.sched_setaffinity(0, ours)
        try:
            self._wait(start + READY_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        self.start_ms = (time.perf_counter() - start) * 1e3
        return self

    def __exit__(self, *_):
        try:
            signal_group(self.process.pid, signal.SIGTERM)
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()
            end_children()

    def _wait(self, deadline):
        while time.perf_counter() < deadline:
            if self.process.poll() is not None:
                raise NotReady(f"it ended with {self.process.returncode}: {last_line(self.log)}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                status, _ = self.request("GET", self.health)
                if status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.0002)
        raise NotReady(f"not ready after {READY_SECONDS} s: {last_line(self.log)}")

    def request(self, method, path, body=None):
        """The status and the body of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def rss_mb(self):
        """Resident memory now and at its highest, over all processes of the server, in 10^6 bytes."""
        totals = {"VmRSS": 0, "VmHWM": 0}
        for pid in tree(self.process.pid):
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:
                continue
            for name, _, value in (line.partition(":") for line in lines):
                if name in totals:
                    totals[name] += int(value.split()[0]) * 1024
        return totals["VmRSS"] / 1e6, totals["VmHWM"] / 1e6


def adopt_orphans():
    """Lets what a dead server leaves behind become our child, so that `end_children` finds it."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children():
    """Ends every child that is left, and theirs as they become ours."""
    while True:
        for pid in tree(os.getpid())[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def signal_group(pid, number):
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


def tree(root):
    """`root` and its descendants."""
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue
        # The name before the last parenthesis may hold anything.
        parent = int(stat.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def last_line(path):
    lines = Path(path).read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"nothing in {path}")
