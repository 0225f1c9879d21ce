"""Groups of users: behaviour clusters with names, and value tiers."""

import settings

SEEDS = settings.ROOT / "dbt_project" / "seeds"
RULES = SEEDS / "behaviour_naming_rules.csv"
LIMITS = SEEDS / "behaviour_naming_limits.csv"
NAMES = SEEDS / "segment_names.csv"
FEATURES = SEEDS / "segment_features.csv"
EVENTS = SEEDS / "event_types.csv"
