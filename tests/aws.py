"""Local AWS for tests: one moto for the session, a bucket of its own for each test that asks."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config

REGION = "eu-central-1"


class Aws:
    """The local AWS: `environment` points a worker at it, `s3` talks to it directly."""

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._to, self._from = child.stdin, child.stdout
        self.url = url = f"http://127.0.0.1:{int(self._from.readline())}"
        self.environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        self.s3 = self.client("s3")

    def client(self, service: str, region: str = REGION) -> Any:
        """Give a client of a service, one that does not try again."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def bucket(self, versioned: bool = False) -> str:
        """Make an empty bucket."""
        name = f"test-{secrets.token_hex(6)}"
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        if versioned:
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def put(self, bucket: str, texts: dict[str, str]) -> None:
        """Put many objects at once."""
        self._to.write(json.dumps([bucket, texts]) + "\n")
        self._to.flush()
        assert self._from.readline() == "done\n"

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """List a bucket's keys."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def body(self, bucket: str, key: str) -> bytes:
        """Read an object."""
        body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body


@contextmanager
def local_aws(program: str = "moto_child.py") -> Iterator[Aws]:
    """Start it, or another program that prints its port, and end it afterwards."""
    child = subprocess.Popen(
        [sys.executable, Path(__file__).with_name(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with child:
        aws = Aws(child)
        try:
            yield aws
        finally:
            aws.s3.close()
            child.kill()
