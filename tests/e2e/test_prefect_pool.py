"""The flow as a deployment: a real server, a process pool and a worker on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
PATIENCE_S = 240


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(tmp_path):
    """Environment of a server of our own; it and the worker end with the test."""
    port = free_port()
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": f"{PREFECT.parent}:{os.environ['PATH']}",
    }
    started = []

    def start(*arguments):
        command = [PREFECT, *arguments]
        with (tmp_path / f"{arguments[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        started.append(process)

    start("server", "start", "--host", "127.0.0.1", "--port", str(port))
    wait_for(lambda: call(environment, "/health", method="GET") is True, "the server")
    yield environment, start
    for process in reversed(started):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def wait_for(ready, what):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"{what} took longer than {PATIENCE_S} s")


def call(environment, path, body=None, method="POST"):
    data = None if method == "GET" else json.dumps(body or {}).encode()
    request = urllib.request.Request(
        environment["PREFECT_API_URL"] + path,
        data,
        {"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def prefect(environment, *arguments):
    done = subprocess.run(
        [PREFECT, "--no-prompt", *arguments],
        env=environment,
        cwd=ROOT / "workflows" / "prefect",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_deployment_runs_a_region_in_a_process_pool(server, region, tmp_path):
    environment, start = server
    prefect(environment, "work-pool", "create", "--type", "process", "skymend")
    prefect(environment, "deploy", "--all")
    deployment = call(environment, "/deployments/name/reconstruct/reconstruct", method="GET")
    form = json.dumps(deployment["parameter_openapi_schema"])
    for field in ("dilate_m", "window_days", "Clouds and shadows grow by this."):
        assert field in form, "the form is made from the region model"
    document = yaml.safe_load(region().read_text())
    parameters = {
        "region": json.loads(json.dumps(document, default=str)),
        "store": str(tmp_path / "store"),
        "cores": 2,
    }
    start("worker", "start", "--pool", "skymend")
    made = call(
        environment, f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters}
    )

    def ended():
        run = call(environment, f"/flow_runs/{made['id']}", method="GET")
        return run["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED"}

    wait_for(ended, "the flow run")
    run = call(environment, f"/flow_runs/{made['id']}", method="GET")
    assert run["state"]["type"] == "COMPLETED", run["state"].get("message")
    names = {t["name"] for t in call(environment, "/task_runs/filter", {"limit": 200})}
    assert "reconstruct 31TCJ 20180604" in names
    keys = {a["key"] for a in call(environment, "/artifacts/filter", {})}
    assert {"scores", "before-after"} <= keys
