"""What serving publishes is what dbt contracts, in both directions."""

from __future__ import annotations

import pytest
import yaml

import settings
from serving.publish import PUBLISHED_VERSION
from serving.tables import BI_TABLES, quoted

MODELS = settings.ROOT / "dbt_project" / "models"


def declared(path) -> dict:
    return {model["name"]: model for model in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]}


BI = declared(MODELS / "marts" / "bi" / "_bi.yml")


def test_every_bi_model_is_published_and_nothing_else():
    assert {table.name for table in BI_TABLES} == set(BI)
    assert set(BI) == {path.stem for path in (MODELS / "marts" / "bi").glob("*.sql")}


@pytest.mark.parametrize("table", BI_TABLES, ids=lambda table: table.name)
def test_the_key_is_the_one_that_dbt_tests(table):
    tests = [
        test["unique_combination"] for test in BI[table.name]["data_tests"] if "unique_combination" in test
    ]
    assert [tuple(test["arguments"]["columns"]) for test in tests] == [table.key]


@pytest.mark.parametrize("name", BI)
def test_every_bi_column_is_contracted_and_described(name):
    model = BI[name]
    assert model["config"]["contract"]["enforced"] and model["description"]
    assert all(column["data_type"] and column["description"] for column in model["columns"])
    assert {"run_id"} <= {column["name"] for column in model["columns"]}


@pytest.mark.parametrize("name", [name for name in BI if "segment_code" in str(BI[name]["columns"])])
def test_whoever_has_a_segment_code_has_scheme_and_names(name):
    columns = {column["name"] for column in BI[name]["columns"]}
    assert {"scheme", "segment_code", "segment_name_en", "segment_name_zh"} <= columns


def test_what_computes_a_fact_is_a_model_with_no_column_of_its_own():
    computed = declared(MODELS / "intermediate" / "segments" / "_segments.yml")
    for table in BI_TABLES:
        if table.computed_by:
            names = {column["name"] for column in computed[table.computed_by]["columns"]}
            assert names <= {column["name"] for column in BI[table.name]["columns"]}


def test_published_version_has_the_columns_of_its_contract():
    assert list(PUBLISHED_VERSION) == [column["name"] for column in BI["published_version"]["columns"]]


def test_an_identifier_from_outside_is_refused():
    with pytest.raises(ValueError, match="no identifier of ours"):
        quoted('x"; drop table y')
