"""The dashboard's texts: all of them there, in both languages, and none for nothing."""

from __future__ import annotations

import csv
import re
from string import Formatter

import yaml

import settings
from serving.dashboard.apart import MEASURES
from serving.dashboard.navigation import ICONS
from serving.dashboard.words import FILE, texts
from serving.small_groups import STEPS

FOLDER = settings.ROOT / "serving" / "dashboard"
SEEDS = settings.ROOT / "dbt_project" / "seeds"
BI = settings.ROOT / "dbt_project" / "models" / "marts" / "bi"


def used() -> set[str]:
    """Return the keys that the code asks for, those with a part from a closed list included."""
    source = "\n".join(file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.py"))
    return set(re.findall(r'"([a-z_0-9]+)"', source))


PATTERNS = (
    "page_",
    "scheme_",
    "measure_",
    "metric_",
    "model_",
    "step_",
    "event_",
    "outcome_",
    "flow_",
    "exit_",
    "feature_",
    "act_",
    "gap_",
    "gate_",
    "decision_",
)


def test_every_text_is_there_in_both_languages() -> None:
    assert {key for key, told in texts().items() if not told["en"].strip() or not told["zh"].strip()} == set()


def test_both_languages_fill_in_the_same_values() -> None:
    def values(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    assert [key for key, told in texts().items() if values(told["en"]) != values(told["zh"])] == []


def test_every_text_is_used() -> None:
    derived = {f"{key}_means" for key in used()} | {f"{unit}_ago" for unit in ("minutes", "hours", "days")}
    derived |= {f"{first}_to_{then}" for first in STEPS for then in STEPS}
    unused = texts().keys() - used() - derived
    assert {key for key in unused if not key.startswith(PATTERNS)} == set()


def test_everything_that_the_code_says_is_there() -> None:
    files = [file for file in FOLDER.rglob("*.py") if file.name != "words.py"]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    said = set(re.findall(r'say\((?:language, )?"([a-z_0-9]+)"', source))
    assert len(said) > 100
    assert said - texts().keys() == set()


def test_every_page_measure_step_and_scheme_has_its_words() -> None:
    wanted = {f"page_{page}" for page in ICONS} | {f"measure_{measure}" for measure in MEASURES}
    wanted |= {f"step_{step}" for step in STEPS}
    schemes = {
        line.split(",")[0] for line in (SEEDS / "segment_names.csv").read_text("utf-8").splitlines()[1:]
    }
    wanted |= {f"scheme_{scheme}{end}" for scheme in schemes for end in ("", "_means")}
    assert wanted - texts().keys() == set()


def allowed(table: str, column: str) -> set[str]:
    """Return the values that a column of a published table may have."""
    models = yaml.safe_load((BI / "_bi.yml").read_text(encoding="utf-8"))["models"]
    [columns] = [model["columns"] for model in models if model["name"] == table]
    [tests] = [each["data_tests"] for each in columns if each["name"] == column]
    [values] = [test["accepted_values"]["arguments"]["values"] for test in tests if "accepted_values" in test]
    return set(values)


def test_features_and_events_are_called_as_their_seeds_say_and_nowhere_else() -> None:
    for kind, seed, name in (
        ("feature", "segment_features", "feature"),
        ("act", "event_types", "event_type"),
    ):
        with (SEEDS / f"{seed}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        worded = {key.removeprefix(f"{kind}_") for key in texts() if key.startswith(f"{kind}_")}
        assert worded - {"on"} == {row[name] for row in rows}
        assert all(texts()[f"{kind}_{row[name]}"]["zh"] == row["name_zh"] for row in rows)
    own = FILE.read_text(encoding="utf-8")
    assert re.findall(r"^(?:feature|act)_\w+", own, re.M) == ["act_on"]
    assert texts()["feature_order_count"]["en"] == "Number of orders"


def test_what_the_tables_name_has_its_words_and_nothing_else_does() -> None:
    gaps = allowed("segment_journey", "first_gap") | allowed("segment_journey", "last_gap")
    for kind, names in (
        ("gap", gaps),
        ("gate", allowed("segment_stability", "gate")),
    ):
        worded = {key.removeprefix(f"{kind}_") for key in texts() if key.startswith(f"{kind}_")}
        assert worded == names, kind


def test_no_heading_is_the_name_of_a_column() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in (FOLDER / "views").glob("*.py"))
    assert 'replace("_", " ")' not in source


def test_every_page_is_an_exposure_of_dbt_and_no_other_is() -> None:
    exposures = yaml.safe_load((BI / "_dashboard.yml").read_text(encoding="utf-8"))["exposures"]
    assert {each["name"] for each in exposures} == {f"dashboard_{page}" for page in ICONS}
    assert {each["type"] for each in exposures} == {"dashboard"}


def test_an_exposure_names_the_tables_that_its_page_reads() -> None:
    exposures = yaml.safe_load((BI / "_dashboard.yml").read_text(encoding="utf-8"))["exposures"]
    built = {file.stem for file in BI.glob("*.sql")}
    for each in exposures:
        page = each["name"].removeprefix("dashboard_")
        files = [FOLDER / "views" / f"{page}.py"]
        imported = re.findall(
            r"^from serving\.dashboard(?:\.views)?(?:\.(\w+))? import (.+)", files[0].read_text("utf-8"), re.M
        )
        names = {name for module, what in imported for name in ([module] if module else what.split(", "))}
        # What every page imports reads for some of them only.
        files += [
            file
            for name in names - {"view"}
            for file in (FOLDER / f"{name}.py", FOLDER / "views" / f"{name}.py")
            if file.exists()
        ]
        if page in ("segments", "flows", "segment", "funnel"):
            files += [FOLDER / "view.py"]
        source = "\n".join(file.read_text(encoding="utf-8") for file in files)
        read = set(re.findall(r"\bbi\.([a-z_]+)", source)) | set(
            re.findall(r'groups\(["\']([a-z_]+)', source)
        )
        named = {model.removeprefix("ref('").removesuffix("')") for model in each["depends_on"]}
        assert named == read & built, page
