"""Buckets on a SeaweedFS of one's own; needs boto3."""

import subprocess
import tempfile
import time
from contextlib import contextmanager
from urllib.parse import quote_plus

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import install
from server import free_ports

READY_SECONDS = 120


@contextmanager
def seaweedfs(weed):
    """The endpoint of a server that is empty, and ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        ports = free_ports(8)
        command = [weed, "server", "-s3", "-ip=127.0.0.1", f"-dir={folder}", f"-s3.port={ports[0]}", f"-s3.port.grpc={ports[1]}",
                   "-s3.port.iceberg=0", "-s3.port.lance=0",
                   # Room enough that nothing is tidied up in the middle.
                   "-volume.max=32", "-volume.minFreeSpace=64MiB", "-master.volumeSizeLimitMB=1024", "-master.garbageThreshold=0.99"]
        for number, service in enumerate(("master", "volume", "filer")):
            command += [f"-{service}.port={ports[2 + 2 * number]}", f"-{service}.port.grpc={ports[3 + 2 * number]}"]
        command += [f"-{service}.localSocket={folder}/{service}.sock" for service in ("s3", "filer")]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=folder, **quiet)
        try:
            yield f"http://127.0.0.1:{ports[0]}"
        finally:
            process.kill()
            process.wait()


class Buckets:
    """A bucket of pictures and one of masks."""

    def __init__(self, endpoint, pictures, masks):
        self.s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                               aws_access_key_id="any", aws_secret_access_key="any")
        self.pictures, self.masks = pictures, masks
        for bucket in (pictures, masks):
            self._make(bucket, time.monotonic() + READY_SECONDS)

    def _make(self, bucket, deadline):
        while True:
            try:
                self.s3.create_bucket(Bucket=bucket)
                # A server may take a bucket before it can hold an object.
                self.s3.put_object(Bucket=bucket, Key="ready", Body=b"x")
                return
            except (BotoCoreError, ClientError) as why:
                if time.monotonic() > deadline:
                    raise install.Missing(f"SeaweedFS takes no bucket: {why}") from why
                time.sleep(0.2)

    def empty(self):
        for bucket in (self.pictures, self.masks):
            for key in self._keys(bucket):
                self.s3.delete_object(Bucket=bucket, Key=key)

    def fill(self, pictures):
        """Uploads pictures; for each the record that S3 would send."""
        records = []
        for number, (key, content) in enumerate(pictures.items()):
            put = self.s3.put_object(Bucket=self.pictures, Key=key, Body=content)
            thing = {"key": quote_plus(key, safe="/"), "size": len(content), "eTag": put["ETag"].strip('"'), "sequencer": f"{number:016X}"}
            records.append({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                            "s3": {"bucket": {"name": self.pictures}, "object": thing}})
        return records

    def found(self):
        """The keys of pictures that are left, and the masks by key."""
        keys = [key for key in self._keys(self.masks) if not key.startswith("_jobs/")]
        masks = {key: self.s3.get_object(Bucket=self.masks, Key=key)["Body"].read() for key in keys}
        return self._keys(self.pictures), masks

    def _keys(self, bucket):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
