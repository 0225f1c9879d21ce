"""MLflow's pages in a real browser: the lists of runs that it opens with let runs be compared at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml import pages, tracking
from orchestrate import login, mlflow_server
from tests.browser.conftest import SIZES, Visitor, api
from tests.unit.ml.conftest import fresh_tracking

pytestmark = pytest.mark.slow

MODELS = {"bert": 0.842, "lightgbm": 0.829, "rfm_logistic": 0.811}
"""Model → its ROC-AUC in the first training; it gains a hundredth in the second."""

RUNS = {
    "models": {(name, f"{auc + gain:.3f}") for name, auc in MODELS.items() for gain in (0, 0.01)},
    "trainings": {("train simulated 2026-03-01", "0.842"), ("train simulated 2026-03-08", "0.852")},
}
"""View of the experiment → its runs and their ROC-AUC."""

IN_SIGHT = """
cell => {
    const box = cell.getBoundingClientRect()
    return cell.contains(document.elementFromPoint(box.right - 3, box.top + box.height / 2))
}
"""
"""Whether a cell can be seen up to its end, neither scrolled away nor covered."""


def log_trainings() -> str:
    """Log two trainings, each with its models beside one another; return the experiment's id."""
    for day, gain in (("2026-03-01", 0.0), ("2026-03-08", 0.01)):
        tags = {"shop": "simulated", "as_of_date": day, "stage": "train", "choice": "bert"}
        with tracking.run("encoder", f"train simulated {day}", tags, {"training.steps": 40}) as training:
            training.log_metrics(quality(MODELS["bert"] + gain) | {"test/users": 1500, "test/positives": 110})
            training.note(f"bert promoted: beats rfm_logistic by 0.031\n\nTrained as of {day}.")
            for name, auc in MODELS.items():
                stage = tags | {"stage": name, "is_promoted": name == "bert"}
                with tracking.run("encoder", name, stage, {"training.steps": 40}, training) as model:
                    model.log_metrics(quality(auc + gain))
                    model.note(f"{auc + gain:.3f}, {'promoted' if name == 'bert' else 'not promoted'}")
    return tracking._experiment("encoder")


def quality(auc: float) -> dict[str, float]:
    spread = {"test/roc_auc": auc, "test/roc_auc_low": auc - 0.03, "test/roc_auc_high": auc + 0.03}
    return spread | {"test/pr_auc": auc - 0.4, "test/brier": 0.06}


@pytest.fixture(scope="module")
def visitor(
    chromium: api.Browser, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Visitor, str]]:
    """Give somebody who is logged in at MLflow, started as `make up` does, and the experiment's id."""
    with pytest.MonkeyPatch.context() as patch, fresh_tracking():
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("mlflow")))
        patch.setenv("SHOAL_MLFLOW_PORT", "0")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        experiment = log_trainings()
        width, height = SIZES["desktop"]
        try:
            address = mlflow_server.start()
            context = chromium.new_context(
                viewport={"width": width, "height": height},
                http_credentials={"username": login.USER, "password": login.password()},
            )
            visitor = Visitor(context, address, pictures)
            visitor.open()
            # MLflow opens its assistant over the page once per browser; no setting against it is known.
            visitor.page.locator('[data-component-id="mlflow.assistant.chat_panel.close"]').click()
            yield visitor, experiment
        finally:
            mlflow_server.end()


def cells(page: api.Page, kind: str, name: str) -> api.Locator:
    """Return the cells of a column, the newest run's first."""
    return page.locator(f'[role="gridcell"][col-id="{kind}.`{name}`"]')


@pytest.mark.parametrize("view", pages.VIEWS["encoder"], ids=lambda view: view.key)
def test_runs_stand_beside_one_another_with_their_metrics(
    view: pages.View, visitor: tuple[Visitor, str]
) -> None:
    visiting, experiment = visitor
    page = visiting.open(f"/{pages.link(experiment, view.key)}")
    measured = cells(page, "metrics", "test/roc_auc")
    measured.nth(len(RUNS[view.key]) - 1).wait_for()
    picture = visiting.pictures / f"mlflow_{view.key}_desktop.png"
    page.screenshot(path=str(picture))
    names = cells(page, "attributes", "Run Name")
    told = [cell.splitlines()[-1] for cell in names.all_inner_texts()]  # the run's colour stands before it
    assert set(zip(told, measured.all_inner_texts(), strict=True)) == RUNS[view.key]
    headings = [
        page.locator(f'[role="columnheader"][col-id="metrics.`test/{name}`"]')
        for name in ("roc_auc", "roc_auc_low", "roc_auc_high")
    ]
    unseen = [cell for cell in (*headings, *names.all(), *measured.all()) if not cell.evaluate(IN_SIGHT)]
    assert unseen == []
    assert picture.stat().st_size > 10_000
    assert visiting.asked == {visiting.address.split("/")[2]}
