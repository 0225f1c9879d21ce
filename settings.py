"""Paths, addresses and keys: the one place that reads the environment.

Everything that Shoal remembers lies under one data folder (``SHOAL_DATA``, by
default ``data/`` in the checkout), one sub-folder per shop. Nothing else in the
project touches ``os.environ``.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent

# Nothing that Shoal starts may phone home; set before any library is imported.
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "true",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A server that is gone or hangs is given up after a minute or two, not after a quarter of an hour.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "NNCF_CI": "1",
    # What cuBLAS needs to repeat itself.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # Idle OpenMP threads sleep instead of spinning: on shared cores a tenth of the CPU-seconds.
    "OMP_WAIT_POLICY": "PASSIVE",
}
for _name, _value in TELEMETRY_OFF.items():
    os.environ.setdefault(_name, _value)

# Tools that would write below the home directory write below the data folder instead. MLflow, matplotlib,
# torch and Hugging Face all follow these two.
_CACHE = Path(os.environ.get("SHOAL_DATA", ROOT / "data")).resolve() / "cache"
os.environ["XDG_CACHE_HOME"] = str(_CACHE)
os.environ["XDG_CONFIG_HOME"] = str(_CACHE / "config")


class SettingError(ValueError):
    """A variable of the environment has a value of no use: names it, its value and the remedy."""


KEY_BORDER = "|"
"""Stands between day and shop in the partition key of an asset event."""

SHOP_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def data_dir() -> Path:
    """Return the folder that holds all state."""
    return Path(os.environ.get("SHOAL_DATA", ROOT / "data")).resolve()


def shops_dir() -> Path:
    """Return the folder of the shops' own files."""
    return Path(os.environ.get("SHOAL_SHOPS", ROOT / "shops"))


def default_shop() -> str:
    """Return the shop that commands act on when none is named."""
    return os.environ.get("SHOAL_SHOP") or "simulated"


def real_data_dir() -> Path | None:
    """Return the folder of the public real data sets, or None where it is absent."""
    folder = Path(os.environ.get("SHOAL_REAL_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


def run_id() -> str | None:
    """Return the id of the run that this process belongs to, as handed down by its DAG."""
    return os.environ.get("SHOAL_RUN_ID")


def dag_run_id() -> str | None:
    """Return Airflow's id of the DAG run that started this process, if one did."""
    return os.environ.get("SHOAL_DAG_RUN_ID")


def quiet_seconds() -> float:
    """Return for how long a dropped file must have lain still before it is taken."""
    told = os.environ.get("SHOAL_QUIET_SECONDS", "2")
    try:
        seconds = float(told)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise SettingError(
            f"SHOAL_QUIET_SECONDS={told!r} is no number of seconds: set it to one, such as 2, or unset it"
        )
    return seconds


def alert_command() -> list[str]:
    """Return the command that takes alerts on its standard input, in words; none where nobody wants any."""
    told = os.environ.get("SHOAL_ALERT_COMMAND", "")
    try:
        words = shlex.split(told)
    except ValueError:  # a quote that is not closed
        words = []
    if told and not words:
        raise SettingError(
            f"SHOAL_ALERT_COMMAND={told!r} is no command: set it to one, such as "
            "`mail -s Shoal oncall@example.org`, or unset it"
        )
    return words


def forced() -> bool:
    """Return whether FORCE=1 asks to do again what could be reused."""
    return os.environ.get("FORCE", "") not in ("", "0")


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a process that Shoal starts: this one's, and ``more``."""
    return {**os.environ, **more}


@dataclass(frozen=True)
class ShopPaths:
    """Say where one shop's state lies; creating a folder is left to whoever writes."""

    shop: str

    def __post_init__(self) -> None:
        if not SHOP_NAME.fullmatch(self.shop):
            raise ValueError(
                f"shop {self.shop!r} is no valid name: use lower-case letters, digits and _, "
                "as in shops/<shop>.yml"
            )

    @property
    def root(self) -> Path:
        return data_dir() / self.shop

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    @property
    def ledger(self) -> Path:
        return self.landing / "ledger.jsonl"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def history(self) -> Path:
        return self.root / "history"

    @property
    def last_published(self) -> date | None:
        """Return the newest as_of_date that was ever published."""
        days = (date.fromisoformat(found.name) for found in (self.history / "bi").glob("[0-9]*"))
        return max(days, default=None)

    @property
    def ops(self) -> Path:
        return self.root / "ops"

    @property
    def serving(self) -> Path:
        return self.root / "serving"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def config(self) -> Path:
        return shops_dir() / f"{self.shop}.yml"


@dataclass(frozen=True)
class TrialPaths(ShopPaths):
    """A shop whose warehouse is a second one, for trials at other cuts; the working one stays."""

    @property
    def warehouse(self) -> Path:
        return self.root / "trials" / "warehouse.duckdb"

    @property
    def snapshots(self) -> Path:
        return self.root / "trials" / "snapshots"

    @property
    def ops(self) -> Path:
        return self.root / "trials" / "ops"


@dataclass(frozen=True)
class CanaryPaths(ShopPaths):
    """A few of a shop's users in a warehouse of their own, for as long as a training tries its canaries."""

    @property
    def landing(self) -> Path:
        return self.root / "canary" / "landing"

    @property
    def warehouse(self) -> Path:
        return self.root / "canary" / "warehouse.duckdb"

    @property
    def snapshots(self) -> Path:
        return self.root / "canary" / "snapshots"

    @property
    def ops(self) -> Path:
        return self.root / "canary" / "ops"


def memory() -> str:
    """Return how much memory the warehouse may take before it goes on in files beside it."""
    return os.environ.get("SHOAL_MEMORY", "3GB")


def hand_to_dbt(paths: ShopPaths) -> None:
    """Tell dbt, in this process, what dbt_project/profiles.yml reads: the warehouse and its memory."""
    os.environ["SHOAL_WAREHOUSE"] = str(paths.warehouse)
    os.environ["SHOAL_MEMORY"] = memory()


def mlflow_dir() -> Path:
    """Return the folder of MLflow's SQLite file and artefacts, shared by all shops."""
    return data_dir() / "mlflow"


def mlflow_uri() -> str:
    """Return the tracking address: a server if one is configured, else the SQLite file."""
    return os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_dir()}/mlflow.db")


def airflow_dir() -> Path:
    """Return AIRFLOW_HOME."""
    return data_dir() / "airflow"


def secrets_dir() -> Path | None:
    """Return the folder of secrets that were made beforehand; None where Shoal makes its own on first use."""
    folder = os.environ.get("SHOAL_SECRETS")
    return Path(folder) if folder else None


def airflow_port() -> int:
    """Return the port of 127.0.0.1 on which Airflow answers, if it is free."""
    return _port("SHOAL_AIRFLOW_PORT", "8080")


def airflow_hosts() -> frozenset[str]:
    """Return by what names, beside those of this machine, others may call Airflow."""
    return frozenset(filter(None, os.environ.get("SHOAL_AIRFLOW_HOSTS", "").split(",")))


def mlflow_port() -> int:
    """Return the port of 127.0.0.1 on which MLflow answers, if it is free."""
    return _port("SHOAL_MLFLOW_PORT", "5000")


def dashboard_port() -> int:
    """Return the port of 127.0.0.1 on which the dashboard answers, if it is free."""
    return _port("SHOAL_DASHBOARD_PORT", "8501")


def _port(name: str, default: str) -> int:
    told = os.environ.get(name, default)
    if not (told.isdecimal() and int(told) < 1 << 16):
        raise SettingError(f"{name}={told!r} is no port: set it to a number such as {default}, or unset it")
    return int(told)


def postgres() -> str:
    """Return the address of the Postgres that exports go to, password included; empty where none is told."""
    return os.environ.get("SHOAL_POSTGRES", "")


def is_libpq_told() -> bool:
    """Return whether the environment names a Postgres in libpq's own variables."""
    return bool({"PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"} & os.environ.keys())
