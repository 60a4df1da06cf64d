"""Every rule, in the order in which they speak. To add one: its file, a line here, a block in policies/rules."""

from __future__ import annotations

from typing import Final

from guard.rules import (
    cli_anonymous,
    cli_automated,
    cli_automated_exception,
    cli_forwarded,
    cli_malformed,
    cli_mismatch,
    cli_mobile,
    cli_not_authorised,
    cli_platform,
    cli_prefix,
    cli_premium,
    cli_territory,
    cli_unopened,
    detect,
    dst_callback,
    dst_country,
    dst_frequency,
    dst_hours,
    dst_no_consent,
    dst_premium,
    dst_refused,
    dst_risk,
    dst_sector,
    dst_sva_cap,
    dst_sva_repeated,
    emergency,
    limit_channels,
    limit_line_calls,
    limit_user_calls,
    quota_callees,
    quota_duration,
    quota_forwarded,
    quota_talk,
    rate_cps,
    source_automated,
    source_unknown,
    traffic_known,
    traffic_scanner,
)
from guard.rules.base import AnyCount, AnyJudge
from guard.rules.detect import Detect

EMERGENCY: Final[AnyJudge] = emergency.RULE  # before all others, and instead of them

JUDGES: Final[tuple[AnyJudge, ...]] = (
    source_unknown.RULE,
    source_automated.RULE,
    cli_malformed.RULE,
    cli_prefix.rule("cli.emergency-number"),
    cli_prefix.rule("cli.social-number"),
    cli_prefix.rule("cli.fiction"),
    cli_anonymous.RULE,
    cli_not_authorised.RULE,
    cli_mobile.AUTOMATED,
    cli_mobile.ON_TRUNK,
    cli_automated.RULE,
    cli_platform.RULE,
    cli_premium.RULE,
    cli_prefix.rule("cli.premium-band"),
    cli_prefix.rule("cli.legacy-data"),
    cli_prefix.rule("cli.general-interest"),
    cli_prefix.rule("cli.unverified"),
    cli_prefix.rule("cli.machine-number"),
    cli_prefix.rule("cli.platform-misuse"),
    cli_unopened.RULE,
    cli_territory.FOREIGN,
    cli_territory.TERRITORY,
    cli_mismatch.RULE,
    dst_no_consent.RULE,
    dst_refused.REFUSED,
    dst_refused.OPPOSED,
    dst_hours.RULE,
    dst_sector.BANNED,
    dst_sector.EXPIRED,
    quota_forwarded.RULE,
    quota_duration.RULE,
    dst_country.RULE,
    dst_risk.RULE,
    dst_premium.RULE,
    dst_sva_cap.RULE,
    traffic_scanner.RULE,
    traffic_known.RULE,
)
COUNTS: Final[tuple[AnyCount, ...]] = (
    rate_cps.RULE,
    limit_channels.RULE,
    limit_line_calls.RULE,
    limit_user_calls.RULE,
    cli_automated_exception.RULE,
    cli_forwarded.RULE,
    dst_frequency.RULE,
    quota_callees.RULE,
    quota_talk.RULE,
    dst_sva_repeated.RULE,
    dst_callback.RULE,
)

DETECTS: Final[tuple[Detect, ...]] = (detect.QUARANTINED, *detect.DETECTS)

BY_ID: Final[dict[str, AnyJudge | AnyCount | Detect]] = {
    **{r.id: r for r in (EMERGENCY, *JUDGES)},
    **{r.id: r for r in COUNTS},
    **{r.id: r for r in DETECTS},
}
