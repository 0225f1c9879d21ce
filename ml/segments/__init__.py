"""Groups of users: behaviour clusters with names, and value tiers."""

from pathlib import Path

import settings

SEEDS = settings.ROOT / "dbt_project" / "seeds"
RULES = SEEDS / "behaviour_naming_rules.csv"
LIMITS = SEEDS / "behaviour_naming_limits.csv"
NAMES = SEEDS / "segment_names.csv"
WORDS = Path(__file__).with_name("feature_words.csv")
