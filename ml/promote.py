"""The gate: the only place where a model becomes champion, always for a reason that is kept.

Models are compared on the same test rows, by the paired interval of the difference in
ROC-AUC. A costlier model must be better, not merely as good; a challenger must beat the
champion in force, or be as good and cheaper. Where the interval is too wide, nothing can
be told. One closed window decides once, and none that the champion has learned from: what is
trained before the next one has closed is a rehearsal, else a champion would fall to whoever
tries often enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from cli import ShoalError, UsageError
from ml import tracking
from ml.configs import GateConfig, StabilityConfig
from ml.costs import COST_ORDER
from ml.evaluation.judge import Verdict
from ml.words import Words

if TYPE_CHECKING:
    from ml.segments.stability import Agreement, Stability

CHAMPION = "champion"
"""The name under which the champion in force is judged beside the new models."""


@dataclass(frozen=True)
class Decision:
    """What the gate decided and why, in words."""

    choice: str
    is_promoted: bool
    reason: Words
    is_rehearsal: bool = False
    """Whether it leaves its window open for a decision."""
    gate: str | None = None
    """Of segments: the same in one word."""


@dataclass(frozen=True)
class Window:
    """The days whose outcomes judged a model, first and last included."""

    opens_on: date
    closes_on: date

    def overlaps(self, other: Window) -> bool:
        """Return whether some day is in both.

        >>> may, june = (Window(date(2026, month, 1), date(2026, month, 30)) for month in (5, 6))
        >>> may.overlaps(june), may.overlaps(Window(date(2026, 5, 30), date(2026, 6, 28)))
        (False, True)
        """
        return self.opens_on <= other.closes_on and other.opens_on <= self.closes_on

    def __str__(self) -> str:
        return f"{self.opens_on} to {self.closes_on}"

    @property
    def zh(self) -> str:
        """Return it in Chinese."""
        return f"{self.opens_on} 至 {self.closes_on}"

    def as_tags(self) -> dict[str, object]:
        """Return it as tags of a version."""
        return {"window_opens_on": self.opens_on, "window_closes_on": self.closes_on}


def choose(verdict: Verdict) -> Decision:
    """Choose which of the freshly trained models stands for election: the cheapest that none beats.

    A model beats a cheaper one where the lower end of the paired interval of its lead lies above 0. That
    is not transitive: of two that can't be told apart, one may beat a third and the other not.
    """
    candidates = [name for name in COST_ORDER if name in verdict.metrics]
    reasons = []
    for place, choice in enumerate(candidates):
        costlier = candidates[place + 1 :]
        better = next((name for name in costlier if verdict.gap(name, choice).low > 0), None)
        if better is None:
            break
        lead = verdict.gap(better, choice)
        reasons.append(
            Words(f"{better} beats {choice} by {lead} ROC-AUC", f"{better} 优于 {choice}，ROC-AUC 高 {lead}")
        )
    reasons += [_no_better(name, choice, verdict) for name in costlier]
    if not reasons:
        reasons.append(Words(f"{choice} is the only model", f"只有 {choice} 一个模型"))
    return Decision(choice, True, reasons[0].then(*reasons[1:]))


def _no_better(name: str, choice: str, verdict: Verdict) -> Words:
    gap = verdict.gap(name, choice)
    return Words(
        f"{name} does not beat the cheaper {choice}: {gap} ROC-AUC",
        f"{name} 未优于成本更低的 {choice}：ROC-AUC 差 {gap}",
    )


def decide(
    choice: Decision,
    verdict: Verdict | None,
    champion_kind: str | None,
    gate: GateConfig,
    rehearsal: Words | None = None,
) -> Decision:
    """Decide whether the chosen model replaces the champion in force.

    Parameters
    ----------
    verdict
        On the same rows, with the champion judged under the name ``champion``; None where
        too few positives allow no verdict.
    champion_kind
        Which kind of model the champion is; None where there is no champion.
    rehearsal
        Why the days whose outcomes the verdict is on may not decide, as :func:`why_rehearsal` says.
    """

    def decided(is_promoted: bool, en: str, zh: str, is_rehearsal: bool = False) -> Decision:
        return Decision(choice.choice, is_promoted, choice.reason.then(Words(en, zh)), is_rehearsal)

    if champion_kind is None:
        return decided(True, "there was no champion", "此前没有在用模型")
    if verdict is None:
        return decided(False, "nothing can be told, the champion stays", "无法判断，沿用在用模型", True)
    if rehearsal is not None:
        en, zh = f"a rehearsal: {rehearsal.en}", f"仅为演练：{rehearsal.zh}"
        return decided(False, f"{en}; the champion stays", f"{zh}；沿用在用模型", True)
    gap = verdict.gap(choice.choice, CHAMPION)
    if gap.low > 0:
        return decided(
            True,
            f"beats the champion ({champion_kind}) by {gap}",
            f"优于在用模型（{champion_kind}），高 {gap}",
        )
    if gap.high - gap.low > 2 * gate.widest:
        en = f"can't tell it from the champion ({champion_kind}): {gap} is wider than ±{gate.widest}"
        zh = f"与在用模型（{champion_kind}）分不出高下：{gap} 比 ±{gate.widest} 更宽"
        return decided(False, f"{en}; the champion stays", f"{zh}；沿用在用模型")
    is_cheaper = COST_ORDER.index(choice.choice) < COST_ORDER.index(champion_kind)
    if is_cheaper and gap.low > -gate.equal_loss:
        en = f"as good as the champion ({champion_kind}, {gap}) and cheaper"
        return decided(True, en, f"与在用模型（{champion_kind}，{gap}）相当且成本更低")
    en = f"does not beat the champion ({champion_kind}): {gap}; the champion stays"
    return decided(False, en, f"未优于在用模型（{champion_kind}）：{gap}；沿用在用模型")


def decide_segments(
    champion_known_through: date | None,
    known_through: date,
    stability: Stability,
    gate: GateConfig,
    how: StabilityConfig,
) -> Decision:
    """Decide whether new behaviour clusters replace those in force.

    Two questions, one after the other: do the new ones hold by themselves, and do those in force still
    describe their users? Segments are names that people work with, so where both do, those in force
    stay for ``refit_after_days``, and longer where the new ones tell another story.
    """
    choice, found = tracking.BEHAVIOUR, stability.agreement
    shaky = ", ".join(code for code, one in stability.bootstrap.items() if one < how.min_bootstrap_jaccard)
    told = Words(
        f"bootstrap Jaccard index {stability.inner:.2f}" + (f" (unstable: {shaky})" if shaky else ""),
        f"自助法 Jaccard 指数 {stability.inner:.2f}" + (f"（不稳定：{shaky}）" if shaky else ""),
    )
    if champion_known_through is None or found is None:
        return Decision(
            choice, True, Words("there were no segments", "此前没有分群").then(told), gate="first"
        )

    def decided(is_promoted: bool, word: str, en: str, zh: str) -> Decision:
        told_beside = [told, _beside_those_in_force(found)]
        if stability.drift is not None and word != "drift":
            told_beside.append(stability.drift.words)
        return Decision(choice, is_promoted, Words(en, zh).then(*told_beside), gate=word)

    age = (known_through - champion_known_through).days
    if stability.inner < how.min_bootstrap_jaccard:
        en = "the new segments dissolve when users are drawn again: out"
        return decided(False, "unstable", en, "重新抽取用户时新分群不再成形：不采用")
    if found.fit.low > how.fit_slack:
        en = "drift: the segments in force describe later users worse than new ones would"
        return decided(True, "drift", en, "漂移：在用分群对后来用户的描述不如新分群")
    if stability.drift is not None and stability.drift.is_announced:
        drift = stability.drift.words
        return decided(True, "drift", f"drift: {drift.en}", f"漂移：{drift.zh}")
    if found.smallest_share < gate.empty_share:
        en = f"a segment in force holds only {found.smallest_share:.1%} of the users"
        return decided(True, "emptied", en, f"有在用分群仅占用户的 {found.smallest_share:.1%}")
    if found.ari < how.min_ari:
        en = "the new segments tell another story, and those in force fit later users as well: they stay"
        return decided(
            False, "disagrees", en, "新分群讲的是另一回事，而在用分群对后来用户同样贴合：沿用在用分群"
        )
    if age < gate.refit_after_days:
        en = f"the segments in force are {age} days old and all alive; they stay"
        return decided(False, "young", en, f"在用分群仅 {age} 天且均有用户；沿用在用分群")
    en = f"the segments in force are {age} days old, and the new ones agree"
    return decided(True, "renewed", en, f"在用分群已 {age} 天，新分群与之一致")


def _beside_those_in_force(found: Agreement) -> Words:
    return Words(
        f"beside those in force: adjusted Rand index {found.ari:.2f}, "
        f"{found.moved_share:.0%} of the users in another segment, PSI {found.psi:.2f}, "
        f"explains {found.fit} more of {found.later_users} later users",
        f"与在用分群相比：调整兰德指数 {found.ari:.2f}，{found.moved_share:.0%} 的用户在另一分群，"
        f"PSI {found.psi:.2f}，对 {found.later_users} 位后来用户多解释 {found.fit}",
    )


def promote(version: tracking.Version, reason: str) -> tracking.Version:
    """Make a version champion: for its own day on, and for all days if it knows the most.

    Training for a past as_of_date makes the champion of that past; the alias ``champion``
    stays with the newest.
    """
    # The date comes last: a version counts as promoted once it has one.
    promoted = version.set_tags({"promotion_reason": reason, "promoted_at": datetime.now(UTC).isoformat()})
    name_champion(version.name)
    return promoted


def last_window(name: str, as_of: date, besides: tracking.Version | None = None) -> Window | None:
    """Return the newest window that has decided about a model, as far as an as_of_date may know.

    ``besides`` a version that is not asked.
    """
    windows = [
        Window(
            date.fromisoformat(one.tags["window_opens_on"]), date.fromisoformat(one.tags["window_closes_on"])
        )
        for one in _others(tracking.versions(name), besides)
        if "window_opens_on" in one.tags
        and not one.tags.keys().isdisjoint(("promoted_at", "stayed_behind_at"))
        and one.known_through <= as_of
    ]
    return max(windows, key=lambda window: window.closes_on, default=None)


def why_rehearsal(window: Window, last: Window | None, known_through: date) -> Words | None:
    """Return why a window may not decide about a champion, None where it may.

    Parameters
    ----------
    last
        The window of the last decision.
    known_through
        What the champion knows: it was fitted again on outcomes up to that day.

    Examples
    --------
    >>> window = Window(date(2026, 6, 1), date(2026, 6, 30))
    >>> str(why_rehearsal(window, None, known_through=date(2026, 6, 1)))
    'the champion knows days of its window 2026-06-01 to 2026-06-30, through 2026-06-01'
    >>> why_rehearsal(window, None, known_through=date(2026, 5, 31)) is None
    True
    """
    if last is not None and window.overlaps(last):
        return Words(
            f"its window {window} overlaps that of the last decision, {last}",
            f"其评判期 {window.zh} 与上次决定的评判期 {last.zh} 重叠",
        )
    if window.opens_on <= known_through:
        return Words(
            f"the champion knows days of its window {window}, through {known_through}",
            f"在用模型已知其评判期 {window.zh} 中的日子，直至 {known_through}",
        )
    return None


def stay_behind(version: tracking.Version) -> tracking.Version:
    """Note that a window has decided against a version: it decides no second time."""
    return version.set_tags({"stayed_behind_at": datetime.now(UTC).isoformat()})


def roll_back(name: str, reason: str) -> tuple[tracking.Version, tracking.Version]:
    """Withdraw the newest champion; return it, and the one that serves again.

    Raises
    ------
    UsageError
        When no champion was in force before it.
    """
    champions = sorted(_promoted(name), key=tracking.Version.promotion_order)
    if len(champions) < 2:
        told = f"only version {champions[0].version} was promoted" if champions else "none was promoted"
        raise UsageError(f"{name} has no earlier champion to go back to ({told}): train another one first")
    withdrawn = _withdraw(champions[-1], reason)
    name_champion(name)
    return withdrawn, champions[-2]


def put_in_force(version: tracking.Version, reason: str) -> list[tracking.Version]:
    """Make a version champion of every day from its own on; withdraw those that know more, and return them.

    They would go on serving else: the newest champion that may speak about a day does.
    """
    order = promote(version, reason).promotion_order()
    newer = [one for one in _promoted(version.name) if one.promotion_order() > order]
    withdrawn = [_withdraw(one, reason) for one in newer]
    name_champion(version.name)
    return withdrawn


def _withdraw(version: tracking.Version, reason: str) -> tracking.Version:
    return version.set_tags({"withdrawal_reason": reason, "withdrawn_at": datetime.now(UTC).isoformat()})


def name_champion(name: str) -> None:
    """Point the alias ``champion`` at the newest champion, also after a kill before it was named."""
    newest = max(_promoted(name), key=tracking.Version.promotion_order, default=None)
    if newest is not None:
        newest.set_alias("champion")


def in_force(name: str, as_of: date, besides: tracking.Version | None = None) -> tracking.Version | None:
    """Return the champion that may speak about an as_of_date: the newest that knows nothing later.

    ``besides`` a version that is not asked.
    """
    known = [one for one in _others(_promoted(name), besides) if one.known_through <= as_of]
    return max(known, key=tracking.Version.promotion_order, default=None)


def require_in_force(name: str, as_of: date, shop: str) -> tracking.Version:
    """Return :func:`in_force`, or refuse.

    Raises
    ------
    ShoalError
        When there is no champion, or each knows days after ``as_of``.
    """
    found = in_force(name, as_of)
    if found is not None:
        return found
    later = [f"version {one.version} knows days through {one.known_through}" for one in _promoted(name)]
    raise ShoalError(
        f"no champion of {name} may score {as_of} ({'; '.join(later) or 'none was promoted yet'}): "
        f"run python -m ml train --shop {shop} --as-of {as_of}"
    )


def _promoted(name: str) -> list[tracking.Version]:
    """Return the champions of all days; one that was withdrawn is none until it is promoted again."""
    known = [one for one in tracking.versions(name) if "promoted_at" in one.tags]
    return [one for one in known if one.tags.get("withdrawn_at", "") < one.tags["promoted_at"]]


def _others(versions: list[tracking.Version], besides: tracking.Version | None) -> list[tracking.Version]:
    return [one for one in versions if besides is None or one.version != besides.version]
