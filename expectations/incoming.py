"""The border ``incoming``: landed files, before dbt reads them.

The days of the judged files (:mod:`expectations.deliveries`) are compared with the 28 days
before each of them. In a history load the early days have nothing behind them, and some
later ones are odd in any shop (Christmas, a launch): there, up to 5 % of the days may be
out of line.
"""

from __future__ import annotations

from expectations.rules import BorderExpectation

DELIVERED = """
select table_name, case when not is_delivered then 'not delivered' end as reason from subject
"""
DAILY = """
select s.table_name, case
    when not s.is_delivered then 'not delivered'
    when coalesce(max(m.baseline_days), 0) < any_value(b.min_baseline_days)
        then coalesce(max(m.baseline_days), 0) || ' comparable days before, not '
            || any_value(b.min_baseline_days)
end as reason
from subject as s cross join border as b
left join trailing_measure as m on m.table_name = s.table_name and m.measure = '<measure>'
where <which>
group by s.table_name, s.is_delivered
"""
ODD_DAYS = """
select j.table_name, f.file_id, <text> as observed
from (
    select
        m.table_name, m.column_name, m.event_date, m.value, m.baseline_median,
        <odd> as is_odd,
        count(*) over days as judged_days,
        count(*) filter (where <odd>) over days as odd_days
    from trailing_measure as m cross join batch as b
    join subject as s on s.table_name = m.table_name
    where m.measure = '<measure>' and m.baseline_days >= b.min_baseline_days and <which>
    window days as (partition by m.table_name, m.column_name)
) as j
cross join batch as b
join judged_day as f on f.table_name = j.table_name and f.event_date = j.event_date
where j.is_odd and (
    j.judged_days <= b.history_load_days or j.odd_days > b.max_odd_day_share * j.judged_days
)
"""
FAULTS = """
select f.table_name, f.file_id, f.column_name || ': ' || f.row_count || ' rows' as observed
from batch as b, landed_fault as f
where f.fault = '<fault>'
"""
OUT_OF_LINE = """(
    (m.value * b.<ratio> < m.baseline_median and m.value * b.beyond_extremes < m.baseline_low)
    or (m.value > b.<ratio> * m.baseline_median and m.value > b.beyond_extremes * m.baseline_high)
)"""
# A small table's count moves by three times its root by chance alone.
NOT_BY_CHANCE = "abs(m.value - m.baseline_median) > 3 * sqrt(m.baseline_median)"
SHIFTED = """(
    abs(m.value - m.baseline_median) > b.max_unknown_user_shift
    and m.value not between m.baseline_low - 0.1 and m.baseline_high + 0.1
)"""


def _filled(template: str, **parts: str) -> str:
    for name, text in parts.items():
        template = template.replace(f"<{name}>", text)
    return template


class ExpectSourceRowsToBeConserved(BorderExpectation):
    """Law of conservation, per file."""

    sentence = "every source row is good, quarantined or an exact duplicate, and none is lost"
    query = """
        select '' as table_name, f.file_id,
            f.file_name || ': ' || f.rows_in || ' rows in, ' || f.rows_good || ' good, '
            || f.rows_quarantined || ' quarantined, ' || f.rows_duplicate || ' duplicate' as observed
        from batch as b, judged_file as f
        where f.rows_in <> f.rows_good + f.rows_quarantined + f.rows_duplicate
    """
    tables = ("",)


class ExpectLandedRowsToEqualTheLedger(BorderExpectation):
    """What lies in Parquet is what the ledger committed."""

    sentence = "the landed Parquet of each file and day holds as many rows as its ledger line says"
    query = """
        select w.table_name, w.file_id, w.event_date || ': ledger ' || w.rows_written
            || ' rows, Parquet ' || coalesce(d.row_count, 0) as observed
        from batch as b, judged_day as w
        left join landed_day as d using (table_name, file_id, event_date)
        where w.rows_written is distinct from coalesce(d.row_count, 0)
    """
    subjects = DELIVERED


VOLUME = _filled(
    ODD_DAYS,
    measure="rows",
    which="s.is_daily",
    odd=f"({OUT_OF_LINE} and {NOT_BY_CHANCE})",
    text="j.event_date || ': ' || j.value::bigint || ' rows, median of the days before ' "
    "|| j.baseline_median",
)


class ExpectDailyVolumeNearItsTrailingMedian(BorderExpectation):
    """A feed that breaks off, or is sent ten times, shows in its row count."""

    sentence = "a daily table's rows per day stay within a tenth and ten times of the 28 days before"
    query = _filled(VOLUME, ratio="max_volume_ratio")
    subjects = _filled(DAILY, measure="rows", which="s.is_daily")


class ExpectUsualDailyVolume(BorderExpectation):
    """Worth a look: a holiday, a campaign, or half of a file."""

    sentence = "a daily table's rows per day stay within a third and three times of the 28 days before"
    query = _filled(VOLUME, ratio="usual_volume_ratio")
    subjects = _filled(DAILY, measure="rows", which="s.is_daily")
    level = "warning"


class ExpectUnknownUserShareNearItsPast(BorderExpectation):
    """A customer id that goes missing turns users into strangers."""

    sentence = "the share of rows without a user stays within 50 points of the 28 days before"
    query = _filled(
        ODD_DAYS,
        measure="unknown_user_share",
        which="s.has_user_key",
        odd=SHIFTED,
        text="j.event_date || ': ' || round(j.value, 3) || ', median of the days before ' "
        "|| round(j.baseline_median, 3)",
    )
    subjects = _filled(DAILY, measure="unknown_user_share", which="s.has_user_key")
    column = "user_key"


class ExpectAmountsInTheirUsualRange(BorderExpectation):
    """Cents for euros, or another currency, shift every amount at once."""

    sentence = "the daily median of an amount stays within a twentieth and twenty times of the 28 days before"
    query = _filled(
        ODD_DAYS,
        measure="amount_median",
        which="s.has_amount",
        odd=_filled(OUT_OF_LINE, ratio="max_amount_ratio"),
        text="j.column_name || ' on ' || j.event_date || ': median ' || round(j.value, 2) "
        "|| ', before ' || round(j.baseline_median, 2)",
    )
    subjects = _filled(DAILY, measure="amount_median", which="s.has_amount")


class ExpectKnownVocabularyOnly(BorderExpectation):
    """A word outside the contract would fall out of every model that counts by it."""

    sentence = "columns with a closed vocabulary hold only words of their contract"
    query = _filled(FAULTS, fault="unknown_word")
    subjects = DELIVERED


class ExpectNoContactDetailsInText(BorderExpectation):
    """E-mail addresses and phone numbers never leave landing."""

    sentence = "no text beside a user holds an e-mail address, and no free text a phone number"
    query = _filled(FAULTS, fault="contact_details")
    subjects = DELIVERED


class ExpectPseudonymsForKeys(BorderExpectation):
    """A raw customer id in a key column would be published as one."""

    sentence = "user_key and device_key hold pseudonyms: 64 hexadecimal digits"
    query = _filled(FAULTS, fault="no_pseudonym")
    subjects = DELIVERED


class ExpectDailyTablesToBeFresh(BorderExpectation):
    """A source that is down for days must not look like a quiet shop."""

    sentence = "no daily table is more than three days behind the newest delivery"
    query = """
        select s.table_name, null as file_id, 'last day ' || coalesce(s.last_day::varchar, 'none')
            || ', newest delivery ' || b.newest_day as observed
        from batch as b, subject as s
        where s.is_daily and coalesce(s.last_day + b.max_lag_days::int < b.newest_day, true)
    """
    subjects = "select table_name, null as reason from subject where is_daily"


class ExpectDailyTablesToArriveTogether(BorderExpectation):
    """A day without one of its tables is not complete, so nothing is published for it."""

    sentence = "each daily table was delivered for the newest day"
    query = """
        select s.table_name, null as file_id, 'last day ' || coalesce(s.last_day::varchar, 'none')
            || ', newest delivery ' || b.newest_day as observed
        from batch as b, subject as s
        where s.is_daily and coalesce(s.last_day < b.newest_day, true)
    """
    subjects = "select table_name, null as reason from subject where is_daily"
    level = "warning"


EXPECTATIONS: tuple[type[BorderExpectation], ...] = (
    ExpectSourceRowsToBeConserved,
    ExpectLandedRowsToEqualTheLedger,
    ExpectDailyVolumeNearItsTrailingMedian,
    ExpectUsualDailyVolume,
    ExpectUnknownUserShareNearItsPast,
    ExpectAmountsInTheirUsualRange,
    ExpectKnownVocabularyOnly,
    ExpectNoContactDetailsInText,
    ExpectPseudonymsForKeys,
    ExpectDailyTablesToBeFresh,
    ExpectDailyTablesToArriveTogether,
)
