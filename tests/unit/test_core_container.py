"""The ``docker run`` command line fences a job in, and what surrounds it explains itself."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core import container
from skymend.core.errors import StoreError, ToolMissingError

ARGV = ["job", "plan.json", "1a2b3c4d"]


def command(store: Path = Path("/data/store"), **changes: object) -> list[str]:
    arguments = {
        "job_argv": ARGV,
        "image": "skymend-core",
        "store": store,
        "read_only_paths": [Path("/images/S2_1")],
        "uid": 1000,
        "gid": 100,
        "cpus": 1,
        "memory_gb": 2.0,
        "name": "skymend-1a2b3c4d",
        **changes,
    }
    return container.docker_command(**arguments)  # type: ignore[arg-type]


def options(argv: list[str], name: str) -> list[str]:
    return [argv[i + 1] for i, part in enumerate(argv) if part == name]


def mounts(argv: list[str]) -> list[list[str]]:
    return [next(csv.reader([text])) for text in options(argv, "--mount")]


def test_a_job_is_fenced_in() -> None:
    argv = command()

    assert argv[:5] == [sys.executable, "-m", "skymend.core.container", "docker", "run"]
    assert {"--rm", "--init", "--read-only", "--pull=never"} <= set(argv)
    assert options(argv, "--network") == ["none"]
    assert options(argv, "--cap-drop") == ["ALL"]
    assert options(argv, "--security-opt") == ["no-new-privileges"]
    assert options(argv, "--user") == ["1000:100"]
    assert options(argv, "--cpus") == ["1"]
    assert options(argv, "--memory") == options(argv, "--memory-swap") == ["2048m"]
    assert options(argv, "--tmpfs") == ["/tmp:rw,nosuid,nodev,mode=1777,size=1024m"]


def test_the_job_comes_last_and_unchanged() -> None:
    assert command()[-len(ARGV) :] == ARGV


def test_more_cpus_than_there_are_do_not_stop_docker() -> None:
    assert options(command(cpus=10_000), "--cpus") == [str(os.cpu_count())]


def test_numeric_libraries_get_the_threads_they_have_outside() -> None:
    assert "OMP_NUM_THREADS=3" in options(command(cpus=3), "--env")


def test_the_store_is_writable_and_products_are_not_both_at_their_own_path() -> None:
    assert mounts(command()) == [
        ["type=bind", "src=/data/store", "dst=/data/store"],
        ["type=bind", "src=/images/S2_1", "dst=/images/S2_1", "readonly"],
    ]


def test_paths_inside_other_mounts_are_left_out() -> None:
    inner = [Path("/data/store/plans/p.json"), Path("/images/S2_1/B02.tif"), Path("/images/S2_1")]

    assert mounts(command(read_only_paths=inner)) == mounts(command())


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r/"), min_size=1))
def test_any_folder_name_survives_docker_s_csv(name: str) -> None:
    path = Path("/images") / name
    if path == Path("/images") or name == "..":
        return

    assert mounts(command(read_only_paths=[path]))[1][1] == f"src={path}"


def test_no_job_runs_as_root() -> None:
    with pytest.raises(StoreError, match=r"owned by the user.*chown -R 10001:10001 /data/store"):
        command(uid=0)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and nothing in the environment that a job could be given."""
    for name in [n for n in os.environ if n.upper().startswith(container._PASSED["providers"])]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


SECRETS = {"AWS_SECRET_ACCESS_KEY": "aws-secret", "CDSE_PASSWORD": "cdse-secret"}


@pytest.fixture
def secrets(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    for file in (".netrc", ".aws/credentials"):
        (machine / file).parent.mkdir(exist_ok=True)
        (machine / file).write_text("file-secret")
        (machine / file).chmod(0o644)
    return machine


def test_a_job_that_speaks_to_nobody_gets_neither_network_nor_secrets(secrets: Path) -> None:
    argv = command()

    assert options(argv, "--network") == ["none"]
    assert {v.split("=")[0] for v in options(argv, "--env")} == {
        *("NUMBA_CACHE_DIR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    }
    assert len(mounts(argv)) == 2


def test_a_store_in_a_bucket_brings_its_login_and_no_provider_s(secrets: Path) -> None:
    argv = command(reach="store")

    assert options(argv, "--network") == ["host"]
    assert "AWS_SECRET_ACCESS_KEY" in options(argv, "--env")
    assert "SKYMEND_STORE_FOLDER=/data/store" in options(argv, "--env")
    assert "SKYMEND_CACHE=/data/store/cache" in options(argv, "--env")
    assert not any("CDSE" in part or "netrc" in part for part in argv)
    at = "/run/skymend/AWS_SHARED_CREDENTIALS_FILE"
    assert f"AWS_SHARED_CREDENTIALS_FILE={at}" in options(argv, "--env")
    source = f"src={secrets}/.aws/credentials"
    assert ["type=bind", source, f"dst={at}", "readonly"] in mounts(argv)


def test_a_job_that_fetches_gets_every_login(secrets: Path) -> None:
    argv = command(reach="providers")

    assert {"AWS_SECRET_ACCESS_KEY", "CDSE_PASSWORD", "NETRC=/run/skymend/NETRC"} <= set(
        options(argv, "--env")
    )


@pytest.mark.parametrize("reach", ["nothing", "store", "providers"])
def test_no_secret_shows_in_the_command_line(secrets: Path, reach: container.Reach) -> None:
    values = [*SECRETS.values(), "file-secret"]
    assert not any(value in part for part in command(reach=reach) for value in values)


def test_proxies_and_certificates_go_along(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = machine / "ca.pem"
    bundle.write_text("certificates")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    argv = command(reach="store")

    assert {"https_proxy", "SSL_CERT_FILE=/run/skymend/SSL_CERT_FILE"} <= set(
        options(argv, "--env")
    )


def test_what_names_no_file_that_a_job_can_read_stays_here(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = machine / "certificates"
    certificates.mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", "~/certificates")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(machine / "none.pem"))
    argv = command(reach="store")

    assert "SSL_CERT_DIR=/run/skymend/SSL_CERT_DIR" in options(argv, "--env")
    folder = ["type=bind", f"src={certificates}", "dst=/run/skymend/SSL_CERT_DIR", "readonly"]
    assert folder in mounts(argv)
    assert not any("REQUESTS_CA_BUNDLE" in part for part in argv)


def test_a_file_that_the_job_s_user_cannot_read_stays_outside(secrets: Path) -> None:
    (secrets / ".netrc").chmod(0o600)
    (secrets / ".aws" / "credentials").unlink()
    other = os.geteuid() + 4242
    argv = command(reach="providers", uid=other, gid=other)
    mine = command(reach="providers", uid=os.geteuid() or 1, gid=os.getegid())

    assert len(mounts(argv)) == 2
    assert len(mounts(mine)) == (6 if os.geteuid() else 2)


def shared_with(uid: int, home: Path, foreign: str = "") -> Path:
    """A cache of the machine that belongs to a user, but for one file."""
    cache = home / ".cache" / "skymend"
    for name in ("tokens", "ledger/cdse"):
        (cache / name).mkdir(parents=True)
    (cache / "ledger" / "limits.json").write_text("{}")
    (cache / "tokens" / "cdse.json").write_text("{}")
    for path in cache.rglob("*"):
        os.chown(path, uid + (path.name == foreign), -1)
    return cache


USER = os.geteuid() or 1000
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def test_a_job_that_fetches_shares_limits_and_logins_of_its_user(machine: Path) -> None:
    cache = shared_with(USER, machine)
    argv = command(reach="providers", uid=USER)

    assert f"SKYMEND_CACHE={cache}" in options(argv, "--env")
    assert mounts(argv)[:3] == [
        ["type=tmpfs", f"dst={cache}", "tmpfs-mode=1777", "tmpfs-size=64m"],
        ["type=bind", f"src={cache}/ledger", f"dst={cache}/ledger"],
        ["type=bind", f"src={cache}/tokens", f"dst={cache}/tokens"],
    ]
    assert not any(str(cache) in part for part in command(reach="store", uid=USER))


def test_a_cache_in_the_store_is_there_already(machine: Path) -> None:
    cache = shared_with(USER, machine)
    argv = command(reach="providers", uid=USER, store=machine)

    assert f"SKYMEND_CACHE={cache}" in options(argv, "--env")
    assert len(mounts(argv)) == 2


@only_root
@pytest.mark.parametrize("foreign", ["limits.json", "cdse.json", "ledger", "tokens"])
def test_what_another_user_owns_is_not_shared(machine: Path, foreign: str) -> None:
    shared_with(USER, machine, foreign)
    argv = command(reach="providers", uid=USER)

    assert "SKYMEND_CACHE=/data/store/cache" in options(argv, "--env")
    assert len(mounts(argv)) == 2


def test_a_cache_of_root_stays_outside(machine: Path) -> None:
    argv = command(reach="providers", uid=os.geteuid() + 4242)

    assert "SKYMEND_CACHE=/data/store/cache" in options(argv, "--env")
    assert not (machine / ".cache").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="no job runs as root")
def test_what_is_shared_is_made_for_the_first_job(machine: Path) -> None:
    command(reach="providers", uid=os.geteuid())

    assert (machine / ".cache" / "skymend" / "tokens").stat().st_mode & 0o777 == 0o700


def test_a_null_file_is_no_file(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)

    assert "AWS_CONFIG_FILE" in options(command(reach="store"), "--env")


def test_a_job_s_container_has_one_name_in_every_attempt() -> None:
    assert container.container_name("ab" * 32) == "skymend-abababababababab"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``docker`` that notes its arguments and runs the watcher here, and a ``skymend`` that
    runs its arguments."""
    programs = tmp_path / "bin"
    programs.mkdir()
    calls = tmp_path / "calls"
    script(
        programs / "docker",
        f'echo "$1 $2" >>{calls}',
        '[ "$1" = run ] || exit 0',
        'while [ "$1" != -c ]; do shift; done',
        'exec /bin/sh "$@"',
    )
    script(programs / "skymend", 'exec "$@"')
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return calls


def script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def start(*job_argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(job_argv=job_argv), stdin=subprocess.DEVNULL)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid_file: Path) -> bool:
    try:
        state = Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rsplit(")", 1)[1].split()[0] != "Z"


def test_the_exit_code_is_the_job_s_and_a_leftover_goes_first(docker: Path) -> None:
    assert start("sh", "-c", "exit 65").wait(timeout=20) == 65
    assert docker.read_text().splitlines() == ["rm --force", "run --rm"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_job_dies_with_the_run(docker: Path, tmp_path: Path, number: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    run = start("sh", "-c", f"echo $$ >{pid_file}.part; mv {pid_file}.part {pid_file}; sleep 60")
    wait_for(pid_file.exists)
    assert alive(pid_file)

    run.send_signal(number)

    wait_for(lambda: not alive(pid_file))
    assert run.wait(timeout=20) == (-9 if number == signal.SIGKILL else 128 + 15)


def test_sigterm_removes_the_container(docker: Path) -> None:
    run = start("sleep", "60")
    wait_for(lambda: docker.exists() and "run --rm" in docker.read_text())

    run.terminate()
    run.wait(timeout=20)

    assert docker.read_text().splitlines()[-1] == "rm --force"


def test_the_job_sees_no_input(docker: Path) -> None:
    assert start("cat").wait(timeout=20) == 0


def test_without_docker_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(ToolMissingError, match=r"the program docker.*apt-get install docker\.io"):
        container.check_ready("skymend-core")


@pytest.mark.parametrize(
    ("complaint", "fix"),
    [
        ("Error: No such image: skymend-core", "make container-image"),
        ("Cannot connect to the Docker daemon at unix:///x", "set DOCKER_HOST"),
    ],
)
def test_what_docker_complains_about_becomes_a_fix(
    complaint: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\necho '{complaint}' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(ToolMissingError, match=fix):
        container.check_ready("skymend-core")


def test_a_ready_image_raises_nothing(docker: Path) -> None:
    container.check_ready("skymend-core")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_hands_its_store_over_and_leaves_other_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    ours, theirs = tmp_path / "records" / "a.json", tmp_path / "b.json"
    ours.touch()
    theirs.touch()
    os.chown(theirs, 4242, 4242)

    assert container.hand_over(tmp_path) == (container.IMAGE_UID, container.IMAGE_UID)
    assert ours.stat().st_uid == container.IMAGE_UID
    assert theirs.stat().st_uid == 4242


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a store of another user")
def test_a_store_of_a_user_runs_as_that_user(tmp_path: Path) -> None:
    os.chown(tmp_path, 4242, 4343)
    (tmp_path / "made-by-root").touch()

    assert container.hand_over(tmp_path) == (4242, 4343)
    assert (tmp_path / "made-by-root").stat().st_uid == 4242


def test_a_store_of_root_is_refused_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root_owned = Path("/")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(StoreError, match=r"give it away: chown -R"):
        container.hand_over(root_owned)
