"""The README's commands work as written, and both languages show the same ones."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import settings
from landing import shops
from tests.chain import Chain

READMES = ("README.md", "README.zh-CN.md")
NAMED = re.compile(r"python -m [^`\n]+")
BLOCK = re.compile(r"<!-- run -->\n```console\n(.*?)```", re.DOTALL)


def commands(readme: str) -> list[str]:
    text = (settings.ROOT / readme).read_text(encoding="utf-8")
    return [line[2:] for block in BLOCK.findall(text) for line in block.splitlines() if line.startswith("$ ")]


def test_both_languages_mark_the_same_commands_to_be_run() -> None:
    english, chinese = (commands(readme) for readme in READMES)
    assert len(english) >= 5
    assert [each.replace("_zh", "_en") for each in chinese] == english


def test_both_languages_name_the_same_commands() -> None:
    """Figures stand with the command that remakes them, so a section that one language lacks shows here."""
    english, chinese = ((settings.ROOT / readme).read_text(encoding="utf-8") for readme in READMES)
    named = NAMED.findall(english)
    for module in ("benchmarks.", "landing ", "ml ", "serving ", "warehouse "):
        assert any(each.startswith(f"python -m {module}") for each in named)
    assert [each.replace("_zh", "_en") for each in NAMED.findall(chinese)] == named


@pytest.mark.parametrize("command", [each for readme in READMES for each in commands(readme)])
def test_a_marked_command_runs_on_the_demo_state(command: str, simulated: Chain) -> None:
    assert command.startswith("python -m ")
    path = f"{settings.ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=settings.ROOT,
        env=settings.environment(SHOAL_DATA=str(simulated.data), PATH=path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or done.stderr.strip()


@pytest.mark.parametrize("readme", READMES)
def test_every_link_leads_somewhere(readme: str) -> None:
    text = (settings.ROOT / readme).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert links
    assert [link for link in links if not Path(settings.ROOT / link).exists()] == []


@pytest.mark.parametrize("readme", READMES)
def test_every_make_target_that_is_named_exists(readme: str) -> None:
    text = (settings.ROOT / readme).read_text(encoding="utf-8")
    makefile = (settings.ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|\$ )make ([a-z]+)", text))
    assert {"demo", "test", "up", "down"} <= named
    assert [target for target in named if f"\n{target}:" not in makefile] == []


@pytest.mark.parametrize("readme", READMES)
def test_the_mapping_that_is_shown_is_a_valid_shop(readme: str, tmp_path: Path) -> None:
    text = (settings.ROOT / readme).read_text(encoding="utf-8")
    (mapping,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "myshop.yml"
    path.write_text(mapping, encoding="utf-8")
    assert shops.read(path).delivered_tables == {"events", "orders", "order_lines"}
