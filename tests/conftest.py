"""What all tests share: a data folder of their own, and a word on what was not run."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import hypothesis
import pytest

# Before anything imports settings: no test ever meets the state that a person has in data/.
os.environ["SHOAL_DATA"] = tempfile.mkdtemp(prefix="shoal-tests-")
# Files of tests are whole when they are there; a test of growing files sets its own.
os.environ["SHOAL_QUIET_SECONDS"] = "0"

import settings
from tests.chain import Chain

hypothesis.settings.register_profile("thorough", hypothesis.settings.default)

TOGETHER = (
    {"tests/dags/test_faults.py", "tests/dags/test_scheduler.py"},
    {
        *("tests/e2e/test_simulated.py", "tests/browser/test_dashboard.py"),
        *("tests/docs/test_queries.py", "tests/docs/test_readme.py"),
    },
    {f"tests/dbt/test_{name}.py" for name in ("bi_models", "incremental", "project", "properties", "world")},
)
"""Files that share a chain or a built world, or that mostly wait: two such at once leave a core idle."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--cluster`` and ``--deep``, which `make test-all` gives."""
    parser.addoption("--cluster", action="store_true", help="also start the services of docker-compose.yml")
    parser.addoption("--deep", action="store_true", help="also run what is dear and has a cheaper like")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process works alone at the end; leave test-all its own."""
    reasons = {
        "cluster": "only `make test-all` starts the services of docker-compose.yml",
        "deep": "only `make test-all` runs it: it costs a minute and has a cheaper like",
    }
    for marker, reason in reasons.items():
        if not config.getoption(f"--{marker}"):
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=reason))
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("slow", "e2e")])


def pytest_xdist_auto_num_workers() -> int:
    """Return two processes more than there are cores, up to six: two mostly wait for a scheduler at first."""
    return min(6, (os.cpu_count() or 1) + 2)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes (`-n`), give each whole files, those of TOGETHER to one."""
    from xdist.scheduler import LoadScopeScheduling

    class BySharedFixtures(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((min(files) for files in TOGETHER if file in files), file)

    return BySharedFixtures(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was skipped, by reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    tests_by_reason: dict[str, list[str]] = defaultdict(list)
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        tests_by_reason[reason.removeprefix("Skipped: ")].append(report.nodeid)
    terminalreporter.section("not run on this machine")
    if not skipped:
        terminalreporter.write_line("nothing: every test ran")
    for reason, tests in sorted(tests_by_reason.items()):
        terminalreporter.write_line(f"{len(tests)} × {reason}")
        for test in tests:
            terminalreporter.write_line(f"    {test}")


@pytest.fixture(scope="module", autouse=True)
def _nothing_of_another_module() -> None:
    """Forget what an earlier module's tests left in the process, whichever module that was.

    MLflow keeps its store's address in the environment, and `duckdb.sql` refuses to run where a `fetchone`
    has left rows on the connection that all callers of the module's functions share.
    """
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    duckdb.set_default_connection(duckdb.connect())


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give one test an empty data folder."""
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    return settings.data_dir()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the public data sets; skip where it is absent."""
    folder = settings.real_data_dir()
    if folder is None:
        pytest.skip("the public data sets are not here: set SHOAL_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Take a small simulated shop through the whole chain once, by the commands that the DAGs run.

    The files of its last day lie in ``tomorrow``, not landed yet.
    """
    chain = Chain("simulated", tmp_path_factory.mktemp("simulated"))
    chain.simulate("--users", "2000", "--days", "150", "--seed", "7", "--out", str(chain.drops))
    chain.hold_back_the_last_day()
    chain.go(chain.drops, "--steps", "150")
    return chain


@pytest.fixture(scope="session")
def online_retail(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Take the real shop from its 219 daily files to a published version, once."""
    chain = Chain("online_retail", tmp_path_factory.mktemp("online_retail"))
    # How good the models are is measured elsewhere: here a short training will do.
    assert chain.go(real_data / "online_retail" / "daily", "--steps", "60") == "2011-08-31"
    return chain
