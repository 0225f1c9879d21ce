"""Fraud rings, and honest people who look like one.

A ring is a handful of accounts on one device that order the same dear product again and
again within two days, pay with cards that often fail, and have most payments charged
back. A dormitory looks the same (one device, many accounts, the same product, the same
days) and pays honestly. Their other visits are as ordinary as anybody's.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from landing.simulate.catalogue import Catalogue
from landing.simulate.parameters import BLOCK_DAYS, Integers, Parameters
from landing.simulate.people import DEVICE_KINDS, Devices, People, device_ids, registered_day

RING, DORMITORY = "ring", "dormitory"


def draw_rings(
    people: People, catalogue: Catalogue, parameters: Parameters, random: np.random.Generator
) -> pd.DataFrame:
    """Draw one row per member: ring, kind, person, block, product, quantile of the fortnight."""
    per_thousand = {RING: parameters.rings_per_1000_users, DORMITORY: parameters.look_alikes_per_1000_users}
    kinds = [
        kind for kind, rate in per_thousand.items() for _ in range(round(rate * parameters.users / 1000))
    ]
    taken = np.zeros(len(people), dtype=bool)
    rings = [_draw_ring(kind, people, taken, catalogue, parameters, random) for kind in kinds]
    rings = [ring.assign(ring=number) for number, ring in enumerate(rings)]
    columns = ["kind", "person", "block", "product", "quantile", "ring"]
    return pd.concat([pd.DataFrame({name: [] for name in columns}), *rings], ignore_index=True).astype(
        {"person": int, "block": int, "product": int, "quantile": float, "ring": int}
    )


def _draw_ring(
    kind: str,
    people: People,
    taken: np.ndarray[tuple[int], np.dtype[np.bool_]],
    catalogue: Catalogue,
    parameters: Parameters,
    random: np.random.Generator,
) -> pd.DataFrame:
    block = int(random.integers(1, max(2, parameters.blocks - 1)))
    low, high = parameters.ring_members
    member = _free_members(block, people, taken)
    person = random.permutation(member)[: random.integers(low, high + 1)]
    taken[person] = True
    return pd.DataFrame(
        {
            "kind": kind,
            "person": person,
            "block": block,
            "product": _dear_product(catalogue, random),
            "quantile": random.uniform(0.1, 0.8),
        }
    )


def _free_members(block: int, people: People, taken: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Integers:
    """Return who has an account and comes throughout the block, and is in no ring yet."""
    stays = people.table["leave_day"].to_numpy() > (block + 1) * BLOCK_DAYS
    return np.flatnonzero((registered_day(people) < block * BLOCK_DAYS) & stays & ~taken)


def _dear_product(catalogue: Catalogue, random: np.random.Generator) -> int:
    """Return one of the forty dearest products that are there from the start."""
    price = catalogue.products["base_cents"].where(catalogue.products["launch_day"] == 0, 0)
    return int(random.choice(np.argsort(-price.to_numpy(), kind="stable")[:40]))


def add_devices(devices: Devices, rings: pd.DataFrame, ids: np.random.Generator) -> Devices:
    """Give every ring and dormitory its device; device numbers follow the others in ring order."""
    kinds = rings.groupby("ring")["kind"].first()
    added = pd.DataFrame({"use": kinds.to_numpy(), "kind": DEVICE_KINDS.index("web")})
    added["device_id"] = device_ids(len(added), ids)
    return Devices(pd.concat([devices.table, added], ignore_index=True), devices.of_person)


def add_visits(
    visits: pd.DataFrame, rings: pd.DataFrame, people: People, parameters: Parameters
) -> pd.DataFrame:
    """Append each member's ordering visits; column ``ring`` is -1 for everybody else's."""
    burst = rings.loc[rings.index.repeat(parameters.ring_orders)].reset_index(drop=True)
    group = people.group(burst["person"].to_numpy(), burst["block"].to_numpy(), parameters)
    added = burst[["person", "block", "ring"]].assign(group=group, is_order=True)
    return pd.concat([visits.assign(ring=-1), added], ignore_index=True)
