"""A published version with the tables that not every version has: what pages show once they are there."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from tests.chain import Chain

EARLIER = """
insert into bi.user_segment_daily
select * replace (as_of_date - $days::integer as as_of_date) from bi.user_segment_daily
where as_of_date = (select max(as_of_date) from codes) and ($days = 7 or hash(user_key) % 5 > 0);

insert into bi.segment_profile_daily
select * replace (as_of_date - $days::integer as as_of_date, users + $days as users)
from bi.segment_profile_daily where as_of_date = (select max(as_of_date) from codes)
"""

LATER = """
create temp table days as
select newest, max(as_of_date) as before
from bi.segment_profile_daily, (select max(as_of_date) as newest from codes)
where as_of_date < newest group by newest;

create or replace table bi.segment_migration as
select
    'behaviour' as scheme, days.before as from_date, newest as to_date, one.segment_code as from_code,
    other.segment_code as to_code, 'behaviour' as cause,
    case when one.segment_code = other.segment_code then 200 else 12 end::bigint as users
from codes as one cross join codes as other cross join days
union all by name
select 'behaviour' as scheme, days.before as from_date, newest as to_date, from_code, to_code,
    'none' as cause, users::bigint as users
from (select min(segment_code) as first from codes), days, (values
    ('IDENTIFIED', 'first', 50), ('first', 'IDENTIFIED', 40), ('NEW', 'first', 25), ('first', 'ABSENT', 21),
    ('first', 'ERASED', 11), ('_other', '_other', 30)
) as others (from_end, to_end, users),
lateral (select
    case from_end when 'first' then first else from_end end as from_code,
    case to_end when 'first' then first else to_end end as to_code)
union all by name
select 'behaviour' as scheme, days.before as from_date, newest as to_date, min(segment_code) as from_code,
    max(segment_code) as to_code, 'model' as cause, 31::bigint as users
from codes cross join days group by all;

-- What each user brings is known by heart: a hundred.
alter table bi.segment_migration add column net_revenue_amount decimal(18, 2);
update bi.segment_migration set net_revenue_amount = 100 * users;

create or replace table bi.segment_feature_index as
select
    as_of_date, 'behaviour' as scheme, segment_code, feature, 2.4 as segment_value, 1.0 as population_value,
    index_100, 0.8 as effect_size, rank, sentence_en, sentence_zh
from codes cross join (values
    ('order_count', 240.0, 1, 'buys 2.4 times as often as the average customer', '购买频次是平均顾客的2.4倍'),
    ('discount_share', 61.0, 2, 'takes 39 % fewer discounts', '折扣使用少39%')
) as features (feature, index_100, rank, sentence_en, sentence_zh);

create or replace table bi.segment_journey as
select as_of_date, 'behaviour' as scheme, segment_code, 1 as rank, 'view toys' as first_step,
    'same_visit' as first_gap, 'cart toys' as middle_step, 'same_day' as last_gap,
    'purchase toys' as last_step, 64::bigint as users, 0.12 as user_share
from codes;

create or replace table bi.segment_stability as
select 'run' as run_id, 'behaviour' as scheme, segment_code, 'Night owls' as segment_name_en,
    '夜间活跃' as segment_name_zh, 'kept' as event, 0.91 as jaccard,
    0.93 as bootstrap_jaccard, 0.04 as moved_share, 0.02 as psi, 'young' as gate,
    'they hold, and still fit' as decision_reason, '分群稳定，且仍然贴合' as decision_reason_zh,
    '2' as model_version,
    timestamp '2025-05-29 08:00' as recorded_at
from codes;

create or replace table bi.user_segment_history as
select user_key, scheme, segment_code, as_of_date - 30 as valid_from, null::date as valid_to,
    null::varchar as exit_reason
from bi.user_segment_current
union all
select user_key, scheme, segment_code, as_of_date - 60, as_of_date - 30, 'behaviour'
from bi.user_segment_current;

create or replace table bi.score_backtest as
select 'high_value' as score_name, as_of_date - (30 * months.n)::integer as as_of_date, 'bert' as model_name,
    (select max(model_version) from bi.user_score_daily) as model_version, 'all' as scheme,
    'all' as population, 1500 as n,
    110 as n_positive, 0.80 + months.n / 100 as auc, 0.76 as auc_ci_low, 0.86 as auc_ci_high,
    'rfm_logistic' as rival_name, 0.77 + months.n / 100 as rival_auc, 0.06 as brier, 4.1 as lift_top_decile,
    0.01 * months.n as calibration_error
from (select max(as_of_date) as as_of_date from codes), range(1, 4) as months (n);

insert into bi.user_score_daily
select scores.* replace (as_of_date - (30 * months.n)::integer as as_of_date)
from bi.user_score_daily as scores, range(1, 4) as months (n)
where as_of_date = (select max(as_of_date) from codes);

-- A week ago was trained what serves: bert of version 1; what was trained since is worse.
delete from ops.model_run;
insert into ops.model_run by name
select as_of_date - weeks.n::integer * 7 as as_of_date, model,
    case when model = 'bert' and weeks.n = 1 then 'high_value' end as registered_model,
    case when model = 'bert' and weeks.n = 1 then '1' end as model_version,
    case when model = 'bert' then 'promoted' else 'compared' end as decision,
    'bert beats rfm_logistic by 0.031 (0.012 to 0.050)' as decision_reason,
    'bert 优于 rfm_logistic，高 0.031（0.012 至 0.050）' as decision_reason_zh,
    2.5 as cpu_seconds_per_1000_users,
    'a1b2' as mlflow_run_id, now()::timestamp - to_days(7 * weeks.n::integer) as recorded_at,
    '{"roc_auc": {"value": ' || auc - weeks.n / 100 || ', "low": ' || (auc - 0.03) || ', "high": '
        || (auc + 0.03) || '}, "brier": {"value": ' || 0.06 + weeks.n / 100 || ', "low": 0.05, "high": 0.09}}'
        as metrics,
    '[{"users": 150, "mean_score": 0.42, "observed_share": 0.4, "share_low": 0.32, "share_high": 0.48}, '
    '{"users": 1350, "mean_score": ' || (1 - auc) / 5 || ', "observed_share": 0.03, "share_low": 0.02, '
    '"share_high": 0.04}]' as calibration
from (select max(as_of_date) as as_of_date from codes),
    (values ('bert', 0.842), ('lightgbm', 0.829), ('rfm_logistic', 0.811)) as models (model, auc),
    range(2) as weeks (n)
"""


def enrich(chain: Chain, folder: Path) -> Path:
    """Copy a shop's published version into another data folder, with those tables; return the folder."""
    serving = folder / chain.shop / "serving"
    shutil.copytree(chain.folder / "serving", serving, symlinks=True)
    database = (serving / "current").resolve() / "shoal.duckdb"
    database.chmod(0o600)
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            "create temp table codes as select as_of_date, segment_code from bi.segment_profile_daily "
            "where scheme = 'behaviour' "
            "and as_of_date = (select max(as_of_date) from bi.segment_profile_daily)"
        )
        # Days to choose from: a week earlier, and 37 days earlier, of which no flows are published and when a
        # fifth of the users was not there yet.
        for days in (7, 37):
            for statement in EARLIER.split(";"):
                connection.execute(statement, {"days": days})
        connection.execute(LATER)
    return folder
