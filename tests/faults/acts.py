"""What a victim runs where no command line fits: training with a config that takes seconds."""

from __future__ import annotations

import json
import os
import signal
from datetime import date
from unittest.mock import patch

from tests.warm import run_command


def train(*words: str) -> None:
    """Run ``python -m ml train`` with the quick config of the unit tests."""
    from ml import configs
    from tests.unit.ml.conftest import QUICK

    with patch.object(configs, "make", lambda *_: QUICK):
        run_command("ml", "train", *words)


def train_and_die_before_the_champion_is_named(*words: str) -> None:
    """Train until a version is promoted, and die before the alias points at it."""
    from ml import promote

    with patch.object(promote, "name_champion", lambda _: os.kill(os.getpid(), signal.SIGKILL)):
        train(*words)


def print_champions(day: str) -> None:
    """Print per model who is in force, whom the alias names, and whether a reason was kept."""
    from ml import promote, tracking

    for model in (tracking.HIGH_VALUE, tracking.BEHAVIOUR):
        name = tracking.registered_name("tiny", model)
        serves, named = promote.in_force(name, date.fromisoformat(day)), tracking.with_alias(name, "champion")
        assert serves and named
        print(json.dumps([serves.version, named.version, bool(serves.tags.get("promotion_reason"))]))
