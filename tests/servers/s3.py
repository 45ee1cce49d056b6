"""An S3 server for tests: moto's own server process, on a free port of 127.0.0.1.

Nothing here is recorded from a provider: moto stands in for the protocol. It checks conditions
(``If-Match``, ``If-None-Match``) and computes ETags, but takes any credentials and does not
compare the checksums that clients send.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"
REGION = "us-east-1"

# One request at a time: moto checks conditions and writes without a lock, S3 does both at once.
_START = """\
import threading
from werkzeug.serving import make_server
from moto.server import DomainDispatcherApplication, create_backend_app
moto, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()
def one_at_a_time(environ, start_response):
    with lock:
        return moto(environ, start_response)
server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class S3Server:
    """A running server: where it listens and what a client must have in its environment."""

    url: str
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead boto3 and GDAL to this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self) -> Any:
        """A boto3 client of this server."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            config=Config(s3={"addressing_style": "path"}),
        )

    def make_bucket(self, name: str) -> str:
        """Create a bucket and return its name."""
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys of all objects of a bucket below a prefix."""
        pages = (
            self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        )
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, bucket: str, key: str) -> bytes:
        """The bytes of an object."""
        data: bytes = self.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        return data


@contextmanager
def serve_s3(*buckets: str) -> Iterator[S3Server]:
    """Run a server with empty buckets until the block ends."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    server = subprocess.Popen(
        [sys.executable, "-c", _START],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**clean, "PYTHONWARNINGS": "ignore"},
    )
    try:
        assert server.stdout is not None
        port = re.fullmatch(r"port (\d+)\n", server.stdout.readline())
        assert port is not None, "moto's server did not start"
        running = S3Server(f"http://127.0.0.1:{port[1]}", server.pid)
        for name in buckets:
            running.make_bucket(name)
        yield running
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
