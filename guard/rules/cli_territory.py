"""cli.territory and cli.foreign: where the caller is, where the trunk is, and where the presented number belongs."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from msgspec import field

from guard.numbering.plan import LAW_ZONE
from guard.rules import base
from guard.rules.case import Case

SECOND: Final = 1_000_000  # microseconds


class Settings(base.Settings, frozen=True):
    """`france`: the codes of metropolitan France and of the overseas territories that its plan covers. `mobile`
    categories of numbers are refused from abroad, since the day that `mobile_from` gives for their territory."""

    france: tuple[str, ...] = ()
    mobile: tuple[str, ...] = ()
    mobile_from: dict[str, date] = field(default_factory=dict)


class TrunkSettings(base.Settings, frozen=True):
    """`france`: as above; a trunk of these countries takes the numbers of the whole French plan."""

    france: tuple[str, ...] = ()


def territory(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Each presented number whose country is not that of the source. A number of no country (08, short) is nowhere."""
    call = case.call
    hits: dict[str, base.Hit] = {}
    for identity in case.presented:
        value = identity.number.value
        if not value or value in hits:
            continue
        category = case.category(identity.number)
        countries = category.countries
        if not countries or call.country in countries:
            continue
        say = "billed" if case.terms.undetermined_origin else "other"
        if category.id in settings.mobile and call.country not in settings.france:
            since = settings.mobile_from.get(category.territory)
            if since is not None and datetime.fromtimestamp(call.at // SECOND, LAW_ZONE).date() >= since:
                say = "mobile"
        facts: dict[str, str | int | bool] = {"number": value, "header": identity.header, "country": call.country}
        hits[value] = base.Hit(say, {**facts, "of": "/".join(countries)})
    return tuple(hits.values()) if hits else ()


def foreign(case: Case, settings: TrunkSettings) -> tuple[base.Hit, ...]:
    """Each presented number that is not of the plan of the trunk's country."""
    country = case.terms.country
    hits: dict[str, base.Hit] = {}
    for identity in case.presented:
        number = identity.number
        value = number.value
        if number.kind != "e164" or value in hits:
            continue
        category = case.category(number)
        abroad, countries = category.id == "foreign", category.countries
        elsewhere = bool(countries) and country not in countries
        if not (abroad or elsewhere):
            continue  # as nearly all
        french = country in settings.france  # whose plan takes in the overseas territories
        if abroad if french else elsewhere:
            facts: dict[str, str | int | bool] = {"number": value, "header": identity.header, "country": country}
            hits[value] = base.Hit("presented", facts)
    return tuple(hits.values()) if hits else ()


_FACTS: Final = frozenset({"number", "header", "country", "of"})
TERRITORY = base.Judge("cli.territory", {"other": _FACTS, "billed": _FACTS, "mobile": _FACTS}, Settings, territory)
FOREIGN = base.Judge("cli.foreign", {"presented": _FACTS - {"of"}}, TrunkSettings, foreign)
