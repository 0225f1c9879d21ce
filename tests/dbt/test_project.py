"""The project's own laws: legs, descriptions, contracts; both directions of every correspondence."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from landing import contracts
from serving import groups
from settings import ShopPaths
from warehouse import dbt, docs, ops

SEEDS = dbt.PROJECT / "seeds"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The parsed project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("parsed")))
        return dbt.invoke(ShopPaths("world"), ["parse"], {}).result


def listed(paths: ShopPaths, *selector: str) -> set[str]:
    arguments = ["list", "--resource-types", "model", "seed", "snapshot", "test", "unit_test", *selector]
    return set(dbt.invoke(paths, [*arguments, "--output", "name", "--quiet"], {}).result)


def test_every_node_is_in_exactly_one_leg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    paths = ShopPaths("world")
    core, bi = (listed(paths, *dbt.LEG_SELECTORS[leg]) for leg in ("core", "bi"))
    assert core & bi == set()
    assert core | bi == listed(paths)
    assert "fct_user_features" in core
    assert "user_segment_daily" in bi


def test_project_is_parsed_once_for_all_shops_until_a_byte_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.parser.manifest import ManifestLoader

    parse, parsed = ManifestLoader.get_full_manifest, []

    def count(*arguments: Any, **options: Any) -> Any:
        parsed.append(len(parsed))
        return parse(*arguments, **options)

    monkeypatch.setattr(ManifestLoader, "get_full_manifest", count)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    for shop in ("first", "second"):
        monkeypatch.setenv("SHOAL_DATA", str(tmp_path / shop))
        assert "fct_events" in listed(ShopPaths(shop), "--select", "fct_events")
    assert len(parsed) == 1
    monkeypatch.setattr(dbt, "_digest", lambda *_: "another project")
    listed(ShopPaths("second"), "--select", "fct_events")
    assert len(parsed) == 2
    monkeypatch.setattr(dbt, "KEPT_PARSED", 2)
    kept = tmp_path / "cache" / "dbt"
    oldest = next(path for path in kept.iterdir() if path.name != "another project.msgpack")
    monkeypatch.setattr(dbt, "_digest", lambda *_: "a third project")
    listed(ShopPaths("second"), "--select", "fct_events")
    assert {path.name for path in kept.iterdir()} == {"another project.msgpack", "a third project.msgpack"}
    assert not oldest.exists()


def test_every_model_and_column_is_described(manifest: Any) -> None:
    ours = [node for node in manifest.nodes.values() if node.resource_type in ("model", "seed")]
    assert [node.name for node in ours if not node.description] == []
    assert [(node.name, c.name) for node in ours for c in node.columns.values() if not c.description] == []
    assert [source.name for source in manifest.sources.values() if not source.description] == []


def test_every_built_column_is_declared_and_the_other_way_round(manifest: Any, ask: Any) -> None:
    built: dict[str, set[str]] = {}
    query = """
        select table_schema || '.' || table_name, column_name
        from information_schema.columns
        where table_schema in ('staging', 'intermediate', 'core', 'ml_inputs', 'reference')
    """
    for table, column in ask(query):
        built.setdefault(table, set()).add(column)
    declared = {
        f"{node.schema}.{node.name}": set(node.columns)
        for node in manifest.nodes.values()
        if node.resource_type in ("model", "seed")
    }
    assert len(built) > 40
    assert {
        table: columns ^ declared[table] for table, columns in built.items() if columns != declared[table]
    } == {}


def test_staging_reads_what_the_contracts_say(ask: Any) -> None:
    query = """
        select column_name, data_type from information_schema.columns
        where table_schema = 'staging' and table_name = ? order by ordinal_position
    """
    for table, contract in contracts.load().items():
        found = dict(ask(query, f"stg_shop__{table}"))
        assert found == contract.landed_columns, table


def test_deduplication_goes_by_the_contracts_keys(manifest: Any) -> None:
    for table, contract in contracts.load().items():
        node = manifest.nodes.get(f"model.shoal.int_{table}_deduplicated")
        if node is None:
            assert table in {"campaign_contacts", "exposures", "support_tickets"}
            continue
        keys = ", ".join(f"'{name}'" for name in contract.landed_key)
        assert f"key=[{keys}]" in node.raw_code, table
        assert (f"version='{contract.version}'" in node.raw_code) is (contract.version is not None), table
        units = ", ".join(f"'{name}'" for name in contract.replaces)
        assert (f"unit=[{units}]" in node.raw_code) is bool(contract.replaces), table


def test_the_written_data_model_is_current(manifest: Any) -> None:
    assert docs.data_model(manifest) == docs.DATA_MODEL.read_text(encoding="utf-8"), "run `make docs`"


def test_small_groups_are_as_small_and_called_alike_in_sql_and_python() -> None:
    declared = yaml.safe_load((dbt.PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
    assert declared["smallest_group"] == groups.LEAST
    assert f"then '{groups.OTHER}'" in (dbt.PROJECT / "macros" / "fold_small.sql").read_text(encoding="utf-8")


def test_segments_of_rules_without_an_order_are_those_that_ask_for_none() -> None:
    declared = yaml.safe_load((dbt.PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
    lifecycle = {row["segment_code"] for row in rows("lifecycle_rules.csv") if row["min_order_count"] == "0"}
    assert {*declared["never_ordered"]} == lifecycle | {"not_bought"}


def test_ml_inputs_are_contracted_and_handed_out(manifest: Any) -> None:
    models = {
        n.name: n for n in manifest.nodes.values() if n.resource_type == "model" and n.schema == "ml_inputs"
    }
    assert set(models) == {"fct_user_sequences", "fct_user_features", "fct_user_labels"}
    assert all(node.config.contract.enforced for node in models.values())
    [exposure] = [e for e in manifest.exposures.values() if e.type.value == "ml"]
    assert set(exposure.depends_on.nodes) == {f"model.shoal.{name}" for name in models}


def test_the_vocabulary_covers_the_contracts_event_types() -> None:
    known = {row["event_type"] for row in rows("event_types.csv")}
    assert set(contracts.load()["events"].columns["event_type"].allowed or ()) <= known


def test_every_rule_segment_has_a_name() -> None:
    named = {(row["scheme"], row["segment_code"]) for row in rows("segment_names.csv")}
    assert {("lifecycle", row["segment_code"]) for row in rows("lifecycle_rules.csv")} <= named
    assert sum(scheme == "rfm" for scheme, _ in named) == 8 + 1
    assert sum(scheme == "behaviour" for scheme, _ in named) >= 16
    assert all(row[column] for row in rows("segment_names.csv") for column in row)


def test_declared_ops_columns_have_types() -> None:
    assert ops.columns()["touched_key"] == {"table_name": "varchar", "unit_key": "varchar"}


def rows(seed: str) -> list[dict[str, str]]:
    with (SEEDS / seed).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_seed_is_described() -> None:
    described = {
        seed["name"]
        for path in SEEDS.glob("*.yml")
        for seed in yaml.safe_load(path.read_text()).get("seeds", [])
    }
    assert described == {path.stem for path in SEEDS.glob("*.csv")}
