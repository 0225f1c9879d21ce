"""A working warehouse on two days: 40 users, 10.00 each, in two schemes and one score."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

AS_OF, PREVIOUS = date(2026, 5, 31), date(2026, 5, 30)
USERS = 40

STATEMENTS = """
create schema bi; create schema core; create schema ml_inputs; create schema intermediate;

create table users as
select printf('%064x', i) as user_key, i from range(40) as r (i);

create table ml_inputs.fct_user_features as
select d.as_of_date, user_key, 10.0::double as net_revenue_amount
from users, (values (date '2026-05-30'), (date '2026-05-31')) as d (as_of_date);

create table bi.dim_segment as
select scheme, segment_code, date '2026-05-30' as valid_from, null::date as valid_to,
    'Name' as segment_name_en, '名称' as segment_name_zh
from (values ('rfm', 'best'), ('rfm', 'rest'), ('lifecycle', 'loyal')) as s (scheme, segment_code);

create table bi.user_segment_daily as
select as_of_date, user_key, 'rfm' as scheme, case when i < 10 then 'best' else 'rest' end as segment_code
from users, (values (date '2026-05-30'), (date '2026-05-31')) as d (as_of_date)
union all
select as_of_date, user_key, 'lifecycle', 'loyal'
from users, (values (date '2026-05-30'), (date '2026-05-31')) as d (as_of_date);

create table bi.segment_profile_daily as
select as_of_date, scheme, segment_code, count(*) as users,
    count(*) / 40 as user_share, (count(*) * 10)::decimal(18, 2) as net_revenue_amount,
    count(*) / 40 as revenue_share
from bi.user_segment_daily group by all;

create table bi.user_score_daily as
select date '2026-05-31' as as_of_date, user_key, 'high_value' as score_name, i / 40 as score,
    i // 4 + 1 as decile, i / 40 as percentile
from users;

create table bi.customer_cohort_monthly as
select date '2026-04-01' as cohort_month, month_number, 40 as users, 200::decimal(18, 2) as net_revenue_amount
from (values (0), (1)) as m (month_number);

create table bi.funnel_daily as
select date '2026-05-20' as date, scheme, segment_code, 'web' as channel, users
from bi.segment_profile_daily where as_of_date = date '2026-05-31';

create table bi.segment_migration as
select scheme, date '2026-05-30' as from_date, date '2026-05-31' as to_date, segment_code as from_code,
    segment_code as to_code, users
from bi.segment_profile_daily where as_of_date = date '2026-05-31';

create table intermediate.int_devices_stitched as
select date '2026-05-31' as as_of_date, repeat('d', 64) as device_key, printf('%064x', 0) as user_key,
    timestamp '0001-01-01' as valid_from, timestamp '9999-12-31' as valid_to;

create table intermediate.int_users_eligible as
select date '2026-05-31' as as_of_date, user_key from users;

-- User 0 bought as a guest on a device that is known to be theirs.
create table core.fct_events as
select case when i > 0 then user_key end as user_key, case when i = 0 then repeat('d', 64) end as device_key,
    timestamp '2026-05-20 12:00:00' as occurred_at, date '2026-05-20' as event_date,
    date '2026-05-20' as delivered_on, 10::decimal(18, 4) as net_amount
from users
union all
select null, repeat('e', 64), timestamp '2026-05-20 12:00:00', date '2026-05-20', date '2026-05-20', 99
"""


def build(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(STATEMENTS)


def spoil(path: Path, statement: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(statement)
