"""Kill runs at random moments and prove that nothing is lost and nothing runs twice.

    python scripts/chaos.py --kills 30

A tiny simulated region is run under both engines in turn. The process group of each run is
killed with SIGKILL at a random moment, then the run is started again. After the last kill
every output must equal that of an undisturbed run, and no job that had a record may have run
again. A store that is complete before the kills are used up is put aside and checked, and a
fresh one is begun.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from skymend.core.keys import file_sha256

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("snakemake", "prefect")
# Longest wait before a kill: Prefect needs some seconds before its first job starts.
LONGEST_S = {"snakemake": 12.0, "prefect": 22.0}
# Five of the eight dates: each of the many runs starts two thirds of the jobs.
LAST_DAY = "2018-06-26"


@dataclass
class Fight:
    """One store under attack, and what its records looked like after the last kill."""

    store: Path
    engine: str
    seen: dict[str, tuple[int, int]]
    kills: int = 0


def command(region: Path, store: Path, engine: str) -> list[str]:
    """Return the run as a user would start it."""
    base = [sys.executable, "-m", "skymend", "run", str(region), "--store", str(store)]
    return [*base, "--engine", engine, "--quiet", "--json"]


def outputs(store: Path) -> dict[str, str]:
    """Return path -> sha256 of everything the jobs of a store made."""
    files = [p for room in ("scenes", "regional") for p in (store / room).rglob("*") if p.is_file()]
    return {p.relative_to(store).as_posix(): file_sha256(p) for p in sorted(files)}


def records(store: Path) -> dict[str, tuple[int, int]]:
    """Return record -> (inode, modification time): both change when a record is written."""
    found = {}
    for path in store.glob("records/*/*.json"):
        json.loads(path.read_text())
        status = path.stat()
        found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


def attack(fight: Fight, region: Path, chance: random.Random, log: Path) -> bool:
    """Start the run, kill it at a random moment; return True when it finished first."""
    wait = chance.uniform(0.5, LONGEST_S[fight.engine])
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command(region, fight.store, fight.engine),
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            fight.kills += 1
            time.sleep(0.2)
            check_records(fight)
            return False
    if code != 0:
        sys.exit(f"the run itself failed with exit code {code}; see {log}")
    return True


def check_records(fight: Fight) -> None:
    """No record that was there may have been written again."""
    now = records(fight.store)
    again = [name for name, state in fight.seen.items() if now.get(name) != state]
    if again:
        sys.exit(f"{len(again)} jobs with a record ran again, such as {again[0]}")
    fight.seen = now


def settle(fight: Fight, region: Path, expected: dict[str, str], log: Path) -> None:
    """Run to the end and compare every output."""
    with log.open("ab") as stream:
        subprocess.run(
            command(region, fight.store, fight.engine), stdout=stream, stderr=stream, check=True
        )
    check_records(fight)
    made = {p: s for p, s in outputs(fight.store).items() if "/." not in p}
    differing = sorted(p for p in expected.keys() | made.keys() if expected.get(p) != made.get(p))
    if differing:
        sys.exit(f"{len(differing)} outputs differ from the undisturbed run: {differing[:5]}")
    print(
        f"{fight.engine}: {fight.kills} kills, {len(made)} outputs identical, "
        f"{len(fight.seen)} records each written once",
        flush=True,
    )


def main() -> None:
    """Fight until the kills are used up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="skymend-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    region, log = prepare(folder), folder / "runs.log"
    calm = Fight(folder / "calm", "snakemake", {})
    with log.open("ab") as stream:
        subprocess.run(command(region, calm.store, "snakemake"), stdout=stream, check=True)
    expected = outputs(calm.store)
    chance = random.Random(options.seed)
    total = 0
    for engine in ENGINES:
        wanted = options.kills // 2 + (options.kills % 2 if engine == ENGINES[0] else 0)
        total += fight_engine(engine, wanted, folder, region, expected, chance)
    print(f"chaos: {total} kills survived, outputs as undisturbed, no job ran twice")


def fight_engine(
    engine: str,
    wanted: int,
    folder: Path,
    region: Path,
    expected: dict[str, str],
    chance: random.Random,
) -> int:
    """Spend the kills of one engine, on as many stores as that takes."""
    spent, log = 0, folder / "runs.log"
    while spent < wanted:
        fight = Fight(folder / f"{engine}-{spent}", engine, {})
        while spent + fight.kills < wanted and not attack(fight, region, chance, log):
            pass
        settle(fight, region, expected, log)
        spent += fight.kills
    return spent


def prepare(folder: Path) -> Path:
    """Simulate the tiny season and write its region."""
    products = folder / "products"
    subprocess.run(
        [sys.executable, "-m", "skymend", "simulate", str(products), "--preset", "tiny"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    document = yaml.safe_load((ROOT / "config" / "tiny.yaml").read_text())
    document["period"]["end"] = LAST_DAY
    region = folder / "region.yaml"
    region.write_text(yaml.safe_dump(document))
    return region


if __name__ == "__main__":
    main()
