"""Tasks: where and how a step runs. One YAML file per step, read by both adapters."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skymend.core.errors import ConfigError
from skymend.core.resources import path as resource_path

DEFAULT_IMAGE = "skymend-core"


class Task(BaseModel):
    """Resources and limits of one step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    image: str = DEFAULT_IMAGE
    cpus: int = Field(1, ge=1)
    memory_gb: float = Field(2.0, gt=0)
    gpus: int = Field(0, ge=0)
    timeout_minutes: float = Field(60.0, gt=0)
    retries: int = Field(2, ge=0)
    retry_delay_seconds: float = Field(10.0, ge=0)
    limits: tuple[str, ...] = ()
    network: bool = Field(False, description="The step talks to providers.")


@lru_cache
def load_task(step: str) -> Task:
    """Return the task of a step from ``tasks/<step>.yaml``.

    Raises
    ------
    ConfigError
        if the file is missing or has an unknown key.
    """
    import yaml

    path = Path(resource_path("tasks")) / f"{step}.yaml"
    try:
        return Task.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError as error:
        raise ConfigError(
            where=path,
            expected=f"a task file for step {step}",
            found="none",
            fix="copy the YAML of a similar step",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            where=f"{path} {'.'.join(str(p) for p in first['loc'])}",
            expected=first["msg"],
            found=repr(first.get("input"))[:80],
            fix="see docs/reference.md for the task fields",
        ) from error
