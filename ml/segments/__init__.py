"""Groups of users: behaviour clusters with names, and value tiers."""
