"""What the benchmark needs beside the repository: wrk, and the peers in environments of their own."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


class Missing(Exception):
    """Something is not there and could not be put there."""


def wrk():
    """The path of wrk, installed if that is possible."""
    if not shutil.which("wrk") and shutil.which("apt-get") and os.geteuid() == 0:
        print("installing wrk", file=sys.stderr)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if subprocess.run(["apt-get", "install", "-y", "wrk"], **quiet).returncode != 0:
            subprocess.run(["apt-get", "update"], **quiet)
            subprocess.run(["apt-get", "install", "-y", "wrk"], **quiet)
    found = shutil.which("wrk")
    if not found:
        raise Missing("wrk is missing: install the Debian package wrk (apt-get install wrk), or build github.com/wg/wrk")
    return found


def environment(folder, requirements):
    """The folder of the programs of a virtual environment that holds exactly `requirements` (a file)."""
    want = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()
    stamp = folder / "installed"
    if not (stamp.exists() and stamp.read_text() == want):
        print(f"installing {requirements.name} into {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        step([sys.executable, "-m", "venv", folder])
        step([folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements])
        stamp.write_text(want)
    return folder / "bin"


def enter(folder, requirements):
    """Goes on in the environment of `environment`, with the same arguments; returns there."""
    programs = environment(folder, requirements)
    if Path(sys.prefix).resolve() != folder.resolve():
        os.execv(programs / "python", [programs / "python", *sys.argv])


def step(command, variables=None):
    done = subprocess.run(command, env=os.environ | (variables or {}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")]
        raise Missing((errors or lines or ["no reason given"])[-1])
