"""What commands say in English has Chinese, and nothing has Chinese that no command says."""

from __future__ import annotations

import re
from string import Formatter

import pytest

import settings
from expectations import bi, incoming, ml_inputs
from expectations.validate import Outcome
from serving import recorded
from serving.recorded import in_chinese
from tests.chinese import english_left

ROOMS = ("landing", "expectations", "ml", "serving")
FAULT = re.compile(r"(?:(?:return|then|else|line\],) |\$table, \[|\[\]\), )[\"']([a-z_]+)[\"']")
"""How landing names what is wrong with a whole row."""
JOINED = re.compile(r"\"\s*(?:\n\s*)?f?\"|'\s*\|\|\s*'")
"""Where a long text goes on in the next line."""


def holes(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_sentence_has_chinese_with_the_same_holes_and_stands_once() -> None:
    sentences = recorded.sentences()
    assert len({english for english, _ in sentences}) == len(sentences) > 150
    for english, chinese in sentences:
        assert holes(english) == holes(chinese), english
        assert english_left(chinese) == [], chinese
        # A code of the shop's borders or a scheme is a name in Chinese, too.
        assert re.search("[\u4e00-\u9fff]", chinese) or english == "rfm" or holes(english), english


def test_every_sentence_is_said_somewhere() -> None:
    source = "\n".join(
        file.read_text(encoding="utf-8")
        for room in ROOMS
        for file in sorted((settings.ROOT / room).rglob("*.py"))
    )
    source = JOINED.sub("", source).replace("{{", "{").replace("}}", "}")
    for english, _ in recorded.sentences():
        # Commands and days are put in between; what surrounds them is said in these very words.
        for words in re.split(r"\{\w+\}|[;,:] ", english):
            assert words.strip(" :;,()") in source, f"{english!r}: nobody says {words!r}"


@pytest.mark.parametrize("suite", [incoming, ml_inputs, bi])
def test_what_each_expectation_expects_is_told_in_chinese(suite) -> None:
    for expectation in suite.EXPECTATIONS:
        assert in_chinese(expectation.sentence) != expectation.sentence
        assert english_left(in_chinese(expectation.sentence)) == []


def test_reasons_why_an_expectation_does_not_apply_are_told_in_chinese() -> None:
    texts = {
        text
        for suite in (incoming, ml_inputs, bi)
        for expectation in suite.EXPECTATIONS
        for text in re.findall(r"then\s+'([a-z][^']+)'\s*(?:end|when|\))", expectation.subjects)
    }
    assert len(texts) >= 6
    for text in texts:
        assert in_chinese(text) != text


def test_outcomes_and_severities_are_told_in_chinese() -> None:
    for outcome in Outcome:
        assert english_left(in_chinese(f"3 {outcome.value}")) == []
        assert in_chinese(f"3 {outcome.value}") != f"3 {outcome.value}"
    for expectation in (*incoming.EXPECTATIONS, *bi.EXPECTATIONS):
        assert in_chinese(expectation.level) != expectation.level


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no scheme behaviour, value; refused a.csv", "缺少方案：行为、预期价值；已拒收 a.csv"),
        # A number is taken for one, a name for one name: two findings are told one by one.
        ("amount: 3 rows; channel: 4 rows; and 2 more", "amount：3 行；channel：4 行；另有 2 项"),
        ("warning, fail: expect_x on : found core 3", "警告，未通过：expect_x，实际：core 3"),
        ("Binder Error: no such column", "Binder Error: no such column"),
        ("missing:event_id", "缺少：event_id"),
        ("a_rule_of_the_shop", "a_rule_of_the_shop"),
        ("", ""),
    ],
)
def test_a_text_is_told_part_by_part_and_what_is_unknown_is_quoted(said: str, told: str) -> None:
    assert in_chinese(said) == told


def test_why_landing_sets_a_row_aside_is_told_in_chinese() -> None:
    translation, *others = (
        (settings.ROOT / "landing" / f"{name}.py").read_text(encoding="utf-8")
        for name in ("translation", "chunk", "readers")
    )
    kinds = set(re.findall(r'yield .*, f"([a-z_]+:)\{', translation))
    whole = {fault for source in others for fault in FAULT.findall(source)}
    assert len(kinds) >= 9 and {"undated", "invalid_json", "ragged_row", "broken_quotes"} <= whole
    for reason in whole | {f"{kind}column" for kind in kinds}:
        assert in_chinese(reason) != reason, reason
