"""What detection measured, in words: sentences for whoever is called at night, in English and French."""

from __future__ import annotations

from typing import Final, Literal

from guard.detectors.words import Evidence, Feature, Kind, Measure, Sense, Signal

Lang = Literal["en", "fr"]
LANGS: Final[tuple[Lang, ...]] = ("en", "fr")
Words = tuple[str, str, str, str]  # English of one and of several, French of one and of several; {n} is the value

_WORDS: Final[dict[tuple[Feature, Sense], Words]] = {
    ("calls", ""): ("{n} call", "{n} calls", "{n} appel", "{n} appels"),
    ("calls", "different"): (
        "{n} different number called", "{n} different numbers called",
        "{n} numéro différent appelé", "{n} numéros différents appelés",
    ),
    ("short_rings", ""): (
        "{n} number rung for 6 s or less", "{n} numbers rung for 6 s or less",
        "{n} numéro sonné 6 s ou moins", "{n} numéros sonnés 6 s ou moins",
    ),
    ("called_back", ""): (
        "{n} call back from a number so rung", "{n} calls back from numbers so rung",
        "{n} rappel d’un numéro ainsi sonné", "{n} rappels de numéros ainsi sonnés",
    ),
    ("hyper_short", ""): (
        "{n} answered call under 2 s", "{n} answered calls under 2 s",
        "{n} appel décroché de moins de 2 s", "{n} appels décrochés de moins de 2 s",
    ),
    ("in_order", ""): (
        "{n} number called in order", "{n} numbers called in order",
        "{n} numéro appelé dans l’ordre", "{n} numéros appelés dans l’ordre",
    ),
    ("regularity", ""): (
        "{n} % of variation in the time between calls", "{n} % of variation in the time between calls",
        "{n} % d’écart dans l’espacement des appels", "{n} % d’écart dans l’espacement des appels",
    ),
    ("costly", ""): (
        "{n} EUR of calls, as they are taken to cost", "{n} EUR of calls, as they are taken to cost",
        "{n} EUR d’appels, au coût estimé", "{n} EUR d’appels, au coût estimé",
    ),
    ("received", ""): ("{n} call received", "{n} calls received", "{n} appel reçu", "{n} appels reçus"),
    ("received", "step"): (
        "{n} call that went out within 3 s of one coming in", "{n} calls that went out within 3 s of one coming in",
        "{n} appel parti dans les 3 s d’un appel reçu", "{n} appels partis dans les 3 s d’un appel reçu",
    ),
    ("refused", ""): (
        "{n} call refused by the other side", "{n} calls refused by the other side",
        "{n} appel refusé par le réseau appelé", "{n} appels refusés par le réseau appelé",
    ),
    ("origins", ""): (
        "{n} new address, device or calling number", "{n} new addresses, devices or calling numbers",
        "{n} adresse, appareil ou numéro présenté jamais vu", "{n} adresses, appareils ou numéros présentés jamais vus",
    ),
    ("origins", "callers"): (
        "{n} calling number shown", "{n} calling numbers shown", "{n} numéro présenté", "{n} numéros présentés",
    ),
}  # fmt: skip
_NAMES: Final[dict[Kind, tuple[str, str]]] = {
    "line": ("Line", "La ligne"), "number": ("Number", "Le numéro"),
    "service": ("Premium number", "Le numéro surtaxé"), "source": ("Source", "La source"),
}  # fmt: skip
_SPANS: Final = (  # seconds of one, from how many on, and how it is called
    (3600, 7200, "hours", "heures"), (60, 120, "minutes", "minutes"), (1, 0, "seconds", "secondes"),
)  # fmt: skip


def subject(kind: Kind, name: str, lang: Lang) -> str:
    """At the beginning of a sentence."""
    return f"{_NAMES[kind][lang == 'fr']} {name}"


def span(seconds: int, lang: Lang) -> str:
    """Such as `60 minutes`."""
    unit, _, en, fr = next(s for s in _SPANS if seconds >= s[1] and not seconds % s[0])
    return f"{seconds // unit} {fr if lang == 'fr' else en}"


def because(measures: tuple[Measure, ...], lang: Lang) -> str:
    """What is bounded: each value with the bound that it met, and its share where there are several."""
    bounded = [(m, m.limit) for m in measures if m.limit is not None]
    out = []
    for m, limit in bounded:
        bound = _amount(m.feature, limit, lang)
        if lang == "fr":
            words = f"alerte jusqu’à {bound}" if m.most else f"alerte à partir de {bound}"
            share = f", {m.share} % de l’alerte" if len(bounded) > 1 else ""
        else:
            words = f"alarm up to {bound}" if m.most else f"alarm from {bound} on"
            share = f", {m.share} % of the alarm" if len(bounded) > 1 else ""
        out.append(f"{_counted(m.feature, m.sense, m.value, lang)} ({words}{share})")
    return ", ".join(out)


def passes(evidence: Evidence, lang: Lang) -> str:
    """With what it would not have alarmed: `at most 6 numbers …`."""
    feature, value = evidence.passes
    known = next((m for m in evidence.measures if m.feature == feature), None)
    least, sense = (known.most, known.sense) if known is not None else (False, "")
    words = _counted(feature, sense, value, lang)
    if lang == "fr":
        return f"{'au moins' if least else 'au plus'} {words}"
    return f"{'at least' if least else 'at most'} {words}"


def why(signal: Signal, lang: Lang) -> str:
    """Why a call of this subject is stopped, or only flagged."""
    en, fr = {
        "certain": ("A contract forbids it: such calls are stopped", "Un contrat l’interdit : ces appels sont arrêtés"),
        "dear": ("Stopped because this call is costly", "Arrêté parce que cet appel coûte cher"),
        "joined": (
            f"Stopped because {signal.other} alarms too, on another measure",
            f"Arrêté parce que {signal.other} alerte aussi, sur une autre mesure",
        ),
        "alone": (
            "Flagged only: nothing else alarms, and this call is not costly",
            "Signalé seulement : rien d’autre n’alerte, et cet appel coûte peu",
        ),
        "shut": ("", ""),
    }[signal.says]
    return fr if lang == "fr" else en


LATE: Final = {"en": "Found when the call was over", "fr": "Constaté une fois l’appel terminé"}


def _counted(feature: Feature, sense: Sense, value: int, lang: Lang) -> str:
    one, several, une, plusieurs = _WORDS[feature, sense]
    words = (une if value < 2 else plusieurs) if lang == "fr" else one if value == 1 else several
    return words.format(n=_euros(value, lang) if feature == "costly" else value)


def _amount(feature: Feature, value: int, lang: Lang) -> str:
    """A bound with its unit."""
    if feature == "costly":
        return f"{_euros(value, lang)} EUR"
    return f"{value} %" if feature == "regularity" else str(value)


def _euros(cents: int, lang: Lang) -> str:
    text = f"{cents // 100}.{cents % 100:02d}"
    return text.replace(".", ",") if lang == "fr" else text
