"""The live figures as Prometheus reads them: text exposition 0.0.4, of what the daemon counts and nothing else.

Labels are bounded by the configuration and the code: trunk, verdict, rule, transport, next hop, event. No number, line
or Call-ID is ever one.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from guard.figures import Figures

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECOND: Final = 1_000_000  # µs
Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]  # suffix of the name, labels, value
Family = tuple[str, str, str, list[Sample]]  # name, type, help, samples

VERDICTS: Final = frozenset({"decided", "allowed", "flagged", "masked", "blocked"})  # in guard_calls_total


def exposition(figures: Figures | None) -> str:
    """The whole text. Without figures, since no guard answers, `guard_up` is 0 and all else is missing."""
    families = [_one("guard_up", "gauge", "Whether the running guard answered.", figures is not None)]
    if figures is not None:
        families += [*_guard(figures), *_trunks(figures), *_calls(figures), *_parts(figures), _events(figures)]
    return "".join(map(_text, families))


def _guard(f: Figures) -> list[Family]:
    info = (("mode", f.mode), ("policy", f.policy), ("site", f.site), ("version", f.version))
    return [
        ("guard_info", "gauge", "The guard: its site, version, mode and policy in force.", [("", info, 1)]),
        _one("guard_start_time_seconds", "gauge", "When it started, Unix time.", f.started / SECOND),
        _one("guard_policy_enforcing", "gauge", "1 while a limit of [ledger] has rules on trial act.", f.enforcing),
        _one("guard_calls_open", "gauge", "Calls over SIP that are up or being set up.", f.calls),
        _one("guard_asked_calls_open", "gauge", "Calls decided for other switches whose end is awaited.", f.asked),
        _one("guard_transactions_open", "gauge", "SIP transactions that are kept.", f.transactions),
        _one("guard_detection_subjects", "gauge", "Lines, numbers and services that detection knows.", f.subjects),
        _one("guard_tasks", "gauge", "Tasks of the loop that are under way: near constant.", f.tasks),
    ]


def _trunks(f: Figures) -> list[Family]:
    def of(*values: tuple[str, float | None]) -> list[Sample]:
        return [("", (("trunk", name),), value) for name, value in values if value is not None]

    each = f.trunks
    return [
        (
            "guard_trunk_setups_last_second",
            "gauge",
            "Set-ups that left for the trunk in the last second, as its limit counts them.",
            of(*((t.name, t.departures) for t in each)),
        ),
        (
            "guard_trunk_setups_per_second_limit",
            "gauge",
            "Set-ups a second that the trunk takes; missing where nothing limits them.",
            of(*((t.name, t.cps) for t in each)),
        ),
        (
            "guard_trunk_channels_in_use",
            "gauge",
            "Channels of the trunk in use, of those that are limited.",
            of(*((t.name, t.channels_used) for t in each)),
        ),
        (
            "guard_trunk_channels_limit",
            "gauge",
            "Channels of the trunk; missing where nothing limits them.",
            of(*((t.name, t.channels) for t in each)),
        ),
        (
            "guard_trunk_calls_held",
            "gauge",
            "Calls that wait for a place in the trunk's second.",
            of(*((t.name, t.held) for t in each)),
        ),
        (
            "guard_hop_up",
            "gauge",
            "Whether a next hop is up.",
            [
                ("", (("hop", _host(h.host, h.port)), ("transport", h.transport), ("trunk", h.trunk)), h.up)
                for h in f.hops
            ],
        ),
    ]


def _calls(f: Figures) -> list[Family]:
    bounds = [*(f"{b / SECOND:g}" for b in f.latency.bounds_us), "+Inf"]
    counts = list(accumulate(f.latency.counts))
    latency: list[Sample] = [("_bucket", (("le", bound),), count) for bound, count in zip(bounds, counts, strict=True)]
    latency += [("_sum", (), f.latency.sum_us / SECOND), ("_count", (), counts[-1])]
    return [
        (
            "guard_calls_total",
            "counter",
            "Calls decided, by trunk, verdict and the rule that decided (empty where none did).",
            [("", (("rule", v.rule), ("trunk", v.trunk), ("verdict", v.verdict)), v.calls) for v in f.verdicts],
        ),
        (
            "guard_setup_added_seconds",
            "histogram",
            "What the guard added to set-ups that it let go: from the INVITE read to the INVITE sent on.",
            latency,
        ),
        (
            "guard_messages_total",
            "counter",
            "SIP messages, by transport and direction.",
            [
                ("", (("direction", direction), ("transport", t.transport)), value)
                for t in f.transports
                for direction, value in (("received", t.received), ("sent", t.sent))
            ],
        ),
    ]


def _parts(f: Figures) -> list[Family]:
    store, state, alerts = f.store, f.state, f.alerts
    out = [
        _one("guard_store_entries_pending", "gauge", "Entries of the log that wait for the disk.", store.pending),
        _one("guard_store_entries_lost_total", "counter", "Entries of the log that were not kept.", store.lost),
        _one("guard_store_faults_total", "counter", "Times that the disk refused the log.", store.faults),
        _one("guard_state_shared", "gauge", "1 where guards share their counters.", state.shared),
        _one("guard_state_alone", "gauge", "1 while shared counters cannot be had.", state.alone),
        _one(
            "guard_state_part_ratio", "gauge", "This guard's part of each limit when alone.", state.part_percent / 100
        ),
        _one("guard_state_places", "gauge", "Places held in windows and by calls.", state.places),
    ]
    if alerts is not None:
        out += [
            _one("guard_alerts_connected", "gauge", "Whether the broker is reached.", alerts.connected),
            _one("guard_alerts_waiting", "gauge", "Messages that wait for the broker.", alerts.wait),
            _one("guard_alerts_overflowing", "gauge", "1 while messages have to be given up.", alerts.lost),
        ]
    return out


def _events(f: Figures) -> Family:
    found = [(name, count) for name, count in sorted(f.counters.items()) if name not in VERDICTS]
    samples: list[Sample] = [("", (("event", name),), count) for name, count in found]
    return "guard_events_total", "counter", "Everything else that the daemon counts, by its name.", samples


def _one(name: str, kind: str, text: str, value: float) -> Family:
    return name, kind, text, [("", (), value)]


def _host(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _text(family: Family) -> str:
    name, kind, text, samples = family
    if not samples:
        return ""
    lines = [f"# HELP {name} {text}\n# TYPE {name} {kind}\n"]
    lines += [f"{name}{suffix}{_labels(labels)} {_number(value)}\n" for suffix, labels, value in samples]
    return "".join(lines)


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    text = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{text}}}" if text else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
