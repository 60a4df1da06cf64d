# ruff: noqa: E501 - sentences are not broken for a column
"""What the pages say: one table, each entry in English and in French.

An entry may hold places in braces (`{n}`), the same ones in both languages. Words of the domain stay what they are in
both: a verdict's or a state's name in a record is English, its word on a page is of the reader's language.
"""

from __future__ import annotations

from typing import Final, Literal

from guard.web.words.books import BOOKS
from guard.web.words.log import LOG
from guard.web.words.persons import PERSONS

Lang = Literal["en", "fr"]
LANGS: Final[tuple[Lang, ...]] = ("en", "fr")

FRAME: Final[dict[str, tuple[str, str]]] = {
    "skip": ("Skip to the content", "Aller au contenu"),
    "nav": ("Main", "Principale"),
    "nav.now": ("Now", "En direct"),
    "nav.calls": ("Calls", "Appels"),
    "nav.lines": ("Lines", "Lignes"),
    "nav.incidents": ("Incidents", "Incidents"),
    "nav.exposure": ("Exposure", "Exposition"),
    "nav.policies": ("Policies", "Politiques"),
    "nav.decide": ("Decide", "Décider"),
    "theme": ("Theme", "Thème"),
    "theme.auto": ("Auto", "Auto"),
    "theme.light": ("Light", "Clair"),
    "theme.dark": ("Dark", "Sombre"),
    "signin": ("Sign in", "Se connecter"),
    "signout": ("Sign out", "Se déconnecter"),
    "json": ("This page as JSON", "Cette page en JSON"),
    "footer.masked": ("The last four digits of numbers are hidden: the role “privacy” shows them.", "Les quatre derniers chiffres des numéros sont masqués\u00a0: le rôle «\u00a0données personnelles\u00a0» les affiche."),
    "footer.full": ("Numbers are shown in full; that you read them is noted in the access log.", "Les numéros sont affichés en entier\u00a0; leur consultation est inscrite au journal des accès."),
    "footer.made": ("Times are of {zone}.", "Heures de {zone}."),
    "colon": (": ", "\u00a0: "),
    "none": ("none", "aucun"),
    "yes": ("yes", "oui"),
    "no": ("no", "non"),
    "unknown": ("unknown", "inconnu"),
    "anonymous": ("anonymous", "anonyme"),
    "next": ("Older", "Plus anciens"),
    "previous": ("Newer", "Plus récents"),
    "pages": ("Pages", "Pages"),
}  # fmt: skip

COMMON: Final[dict[str, tuple[str, str]]] = {
    "verdict": ("Verdict", "Verdict"),
    "verdict.allowed": ("allowed", "autorisé"),
    "verdict.flagged": ("flagged", "signalé"),
    "verdict.masked": ("masked", "masqué"),
    "verdict.blocked": ("blocked", "bloqué"),
    "time": ("Time", "Heure"),
    "rule": ("Rule", "Règle"),
    "caller": ("Caller", "Appelant"),
    "presented": ("Presented", "Présenté"),
    "callee": ("Called", "Appelé"),
    "line": ("Line", "Ligne"),
    "trunk": ("Trunk", "Trunk"),
    "source": ("Source", "Source"),
    "outcome": ("Outcome", "Issue"),
    "outcome.answered": ("answered", "décroché"),
    "outcome.cancelled": ("cancelled", "annulé"),
    "outcome.failed": ("failed", "échoué"),
    "outcome.blocked": ("refused", "refusé"),
    "outcome.open": ("in progress", "en cours"),
    "accrued": ("Accrued", "Encouru"),
    "avoided": ("Avoided", "Évité"),
    "calls": ("Calls", "Appels"),
    "usage": ("Usage", "Usage"),
    "usage.human": ("human", "humain"),
    "usage.automated": ("automated", "automatisé"),
    "usage.platform": ("platform", "plateforme"),
    "usage.prospecting": ("prospecting", "démarchage"),
    "direction": ("Direction", "Sens"),
    "direction.outbound": ("outbound", "sortant"),
    "direction.inbound": ("inbound", "entrant"),
    "article": ("Article", "Article"),
    "contract": ("Contract", "Contrat"),
    "policy": ("Policy", "Politique"),
    "monitor": ("on trial: not done", "à l’essai\u00a0: non appliqué"),
    "late": ("found after the call", "constaté après l’appel"),
    "action.allow": ("allow", "autoriser"),
    "action.flag": ("flag", "signaler"),
    "action.mask": ("mask", "masquer"),
    "action.hold": ("hold", "retenir"),
    "action.block": ("block", "bloquer"),
}  # fmt: skip

SIGN: Final[dict[str, tuple[str, str]]] = {
    "signin.token": ("Token", "Jeton"),
    "signin.hint": ("An administrator makes one with guard token create.", "Un administrateur en crée un avec guard token create."),
    "signin.wrong": ("This token is not valid, or no longer.", "Ce jeton n’est pas valide, ou ne l’est plus."),
    "signin.often": ("Too many attempts from this address: try again in {n} s.", "Trop de tentatives depuis cette adresse : réessayez dans {n} s."),
    "signin.need": ("Sign in to see this page.", "Connectez-vous pour voir cette page."),
    "error.status": ("Status {status}", "Statut {status}"),
    "error.home": ("Back to what is happening now", "Retour à ce qui se passe maintenant"),
    "error.400": ("This cannot be understood", "Demande incompréhensible"),
    "error.403": ("Not allowed", "Accès refusé"),
    "error.403.csrf": ("This form was not made by this page, or is too old. Go back, load the page anew and try again.", "Ce formulaire ne vient pas de cette page, ou il est trop ancien. Revenez en arrière, rechargez la page et réessayez."),
    "error.403.hidden": ("This asks for digits that are masked here. To see them takes the role “privacy”; without it, open the line from one of its calls.", "Ceci demande des chiffres masqués ici. Les voir demande le rôle «\u00a0données personnelles\u00a0»\u00a0; sans lui, ouvrez la ligne depuis l’un de ses appels."),
    "error.403.role": ("Your token has no role that allows this.", "Aucun rôle de votre jeton ne le permet."),
    "error.404": ("Not found", "Introuvable"),
    "error.404.text": ("There is nothing at this address, or no longer.", "Il n’y a rien à cette adresse, ou plus rien."),
    "error.405": ("This cannot be done here", "Action impossible ici"),
    "error.413": ("Too long", "Trop long"),
    "error.429": ("Too many requests", "Trop de requêtes"),
    "error.500": ("A fault of ours", "Une erreur de notre part"),
    "error.500.text": ("What happened stands in the log of guard web; calls are not concerned.", "Les détails figurent au journal de guard web ; les appels ne sont pas concernés."),
    "error.503": ("Not available now", "Indisponible pour le moment"),
}  # fmt: skip

WORDS: Final[dict[str, tuple[str, str]]] = {**FRAME, **COMMON, **SIGN, **LOG, **BOOKS, **PERSONS}
PARTS: Final = (FRAME, COMMON, SIGN, LOG, BOOKS, PERSONS)
