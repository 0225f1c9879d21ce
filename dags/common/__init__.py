"""What the five DAGs share: assets, parameters and the operator that runs a typed command."""
