"""What becomes of a number presented as caller ID: each range of the contract and of the public plan, at both edges,
and one number beyond each edge.

Numbers are as dialled in France. A profile says, for a source that only the public plan binds and for one that a
contract's lists bind as well, the verdict and the rule that decides, for each usage.
"""

from __future__ import annotations

from typing import Final, NamedTuple

Answer = tuple[str, str]  # verdict, deciding rule
USAGES: Final = ("human", "automated", "platform", "prospecting")


class Profile(NamedTuple):
    """What is answered to people (`prospecting` is done by people), automated systems and platforms."""

    human: Answer
    automated: Answer
    platform: Answer
    automated_contract: Answer
    platform_contract: Answer

    def answer(self, usage: str, trunk: str) -> Answer:
        """For one usage on the trunk `public` or `contract`."""
        if usage in {"human", "prospecting"}:
            return self.human
        if trunk == "contract":
            return self.automated_contract if usage == "automated" else self.platform_contract
        return self.automated if usage == "automated" else self.platform


ALLOWED: Final = ("allowed", "")
NOT_FOR_SYSTEMS: Final = ("blocked", "cli.automated-range")
NOT_FOR_PLATFORMS: Final = ("blocked", "cli.platform-range")


def everywhere(answer: Answer) -> Profile:
    """The same for all."""
    return Profile(answer, answer, answer, answer, answer)


def people(answer: Answer, *, automated: Answer = NOT_FOR_SYSTEMS) -> Profile:
    """For people and, where no contract lists ranges, platforms. `automated`: where no contract does."""
    return Profile(answer, automated, answer, NOT_FOR_SYSTEMS, NOT_FOR_PLATFORMS)


T: Final = people(ALLOWED)  # territorialised: geographic, polyvalent; and what no rule of its own speaks of
V: Final = Profile(ALLOWED, ALLOWED, ALLOWED, ALLOWED, NOT_FOR_PLATFORMS)  # verified, listed by the contract
VO: Final = people(ALLOWED, automated=ALLOWED)  # verified overseas: not listed by the contract
U: Final = people(ALLOWED, automated=("flagged", "cli.unverified"))
MISUSE: Final = ("flagged", "cli.platform-misuse")  # what those ranges may be used for else is not verified
P: Final = Profile(MISUSE, MISUSE, ALLOWED, NOT_FOR_SYSTEMS, ALLOWED)  # platforms, listed by the contract
PO: Final = Profile(MISUSE, MISUSE, ALLOWED, NOT_FOR_SYSTEMS, NOT_FOR_PLATFORMS)  # platforms overseas: not listed
MOBILE: Final = ("blocked", "cli.mobile-on-trunk")
MOBILE_SYSTEM: Final = ("blocked", "cli.automated-mobile")
M: Final = Profile(MOBILE, MOBILE_SYSTEM, MOBILE, MOBILE_SYSTEM, MOBILE)
X: Final = people(("flagged", "cli.machine-number"), automated=("flagged", "cli.machine-number"))
GI: Final = people(("flagged", "cli.general-interest"))
F: Final = everywhere(("blocked", "cli.fiction"))
FREE: Final = people(ALLOWED, automated=ALLOWED)
BAND: Final = people(("flagged", "cli.premium-band"))
LEGACY: Final = people(("flagged", "cli.legacy-data"))
B89: Final = people(("masked", "cli.premium"))
PREMIUM_SHORT: Final = people(("blocked", "cli.premium"))
SOCIAL: Final = people(("flagged", "cli.social-number"))
E: Final = everywhere(("blocked", "cli.emergency-number"))
BAD: Final = everywhere(("blocked", "cli.malformed"))

Row = tuple[str, str, Profile, Profile | None, Profile | None]  # first, last, what they are, and what lies beyond

TABLE: Final[tuple[Row, ...]] = (
    # geographic and polyvalent, metropolitan and overseas
    ("0100000000", "0150999999", T, None, GI),
    ("0151100000", "0161999999", T, GI, V),
    ("0164000000", "0198999999", T, V, F),
    ("0200000000", "0261909999", T, T, F),
    ("0262000000", "0263999999", T, T, T),
    ("0269000000", "0269999999", T, U, V),
    ("0300000000", "0340999999", T, T, GI),
    ("0400000000", "0423999999", T, T, V),
    ("0500000000", "0540999999", T, T, GI),
    ("0508000000", "0508999999", T, T, T),
    ("0590000000", "0590999999", T, T, T),
    ("0594000000", "0594999999", T, T, T),
    ("0596000000", "0596999999", T, T, T),
    ("0902000000", "0936999999", T, BAD, P),
    ("0950000000", "0999999999", T, V, BAD),
    ("0976000000", "0976999999", T, T, T),
    # verified: the contract's twelve roots, the overseas ones, and those of 2026
    ("0162000000", "0163999999", V, T, T),
    ("0270000000", "0271999999", V, T, T),
    ("0377000000", "0378999999", V, T, T),
    ("0424000000", "0425999999", V, T, T),
    ("0568000000", "0569999999", V, T, T),
    ("0948000000", "0949999999", V, VO, T),
    ("0947500000", "0947999999", VO, T, V),
    ("0598700000", "0598999999", U, T, T),
    ("0268800000", "0268999999", U, T, T),
    # platforms
    ("0937000000", "0939499999", P, T, PO),
    ("0939500000", "0939999999", PO, P, T),
    # mobile
    ("0600000000", "0639979999", M, T, F),
    ("0639990000", "0699999999", M, F, BAD),
    ("0701000000", "0799999999", M, BAD, FREE),
    ("0690000000", "0697999999", M, M, M),
    ("0708400000", "0708569999", M, M, M),
    ("0709000000", "0709399999", M, M, M),
    # machines: 14 digits in metropolitan France, 13 overseas
    ("07000000000000", "07004999999999", X, BAD, BAD),
    ("0700500000000", "0700999999999", X, BAD, BAD),
    ("09010000000000", "09014999999999", X, BAD, BAD),
    ("0901500000000", "0901999999999", X, BAD, BAD),
    # kept for one purpose
    ("0151000000", "0151099999", GI, T, T),
    ("0281000000", "0281099999", GI, T, T),
    ("0341000000", "0341099999", GI, T, T),
    ("0441000000", "0441099999", GI, T, T),
    ("0541000000", "0541099999", GI, T, T),
    ("0941000000", "0941099999", GI, T, T),
    ("0199000000", "0199009999", F, T, T),
    ("0261910000", "0261919999", F, T, T),
    ("0353010000", "0353019999", F, T, T),
    ("0465710000", "0465719999", F, T, T),
    ("0536490000", "0536499999", F, T, T),
    ("0639980000", "0639989999", F, M, M),
    # special
    ("0800000000", "0809999999", FREE, M, BAND),
    ("0810000000", "0829999999", BAND, FREE, LEGACY),
    ("0830000000", "0839999999", LEGACY, BAND, T),
    ("0850000000", "0869999999", LEGACY, T, T),
    ("0890000000", "0899999999", B89, T, T),
    # short
    ("3000", "3007", FREE, BAD, BAD),
    ("3009", "3169", FREE, BAD, BAD),
    ("3180", "3199", FREE, BAD, PREMIUM_SHORT),
    ("3200", "3999", PREMIUM_SHORT, FREE, BAD),
    ("1000", "1099", BAD, BAD, BAD),
    ("30000", "89999", BAD, BAD, BAD),
    ("118000", "118999", PREMIUM_SHORT, BAD, BAD),
    ("116001", "116116", SOCIAL, E, E),
    ("116118", "116999", SOCIAL, E, BAD),
    ("116000", "116000", E, BAD, SOCIAL),
    ("116117", "116117", E, SOCIAL, SOCIAL),
    ("15", "15", E, BAD, BAD),
    ("17", "18", E, BAD, BAD),
    ("112", "112", E, BAD, BAD),
    ("114", "115", E, BAD, BAD),
    ("119", "119", E, BAD, BAD),
    ("191", "191", E, BAD, BAD),
    ("196", "197", E, BAD, BAD),
)

# Of these numbers ARCEP has allotted the block (MAJNUM, 2026-04-17). All others that nothing else speaks of are of
# blocks that are nobody's: flagged, and no more, since that file is older than thirty days on the day that is asked of.
METROPOLITAN: Final = (
    "0150999999", "0161999999", "0162000000", "0164000000", "0261920000", "0261999999", "0270000000", "0272000000",
    "0299999999", "0353009999", "0353020000", "0377000000", "0379000000", "0424000000", "0426000000", "0465720000",
    "0499999999", "0540999999", "0567999999", "0568000000", "0948000000", "0950000000", "0975999999", "0977000000",
    "0800000000", "3000", "3007",
)  # fmt: skip
# The same, but the sources that are asked about are in metropolitan France.
OVERSEAS: Final = (
    "0268800000", "0269000000", "0590000000", "0590999999", "0594000000", "0594999999", "0596000000", "0598700000",
    "0939500000", "0947500000", "0976000000", "0976999999",
)  # fmt: skip


def answer_of(number: str, profile: Profile, usage: str, trunk: str) -> Answer:
    """What is answered for one number of a row."""
    answer = profile.answer(usage, trunk)
    if answer != ALLOWED or number in METROPOLITAN:
        return answer
    return "flagged", "cli.territory" if number in OVERSEAS else "cli.unopened-range"
