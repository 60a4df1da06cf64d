# ruff: noqa: E501 - sentences are not broken for a column
"""What the page says that hands out or erases what is held about one number."""

from __future__ import annotations

from typing import Final

PERSONS: Final[dict[str, tuple[str, str]]] = {
    "nav.subjects": ("Personal data", "Données personnelles"),
    "person.title": ("Personal data", "Données personnelles"),
    "person.note": ("What is held about one number; each request is noted in the access log.", "Ce qui est conservé sur un numéro\u00a0; chaque demande est inscrite au journal des accès."),
    "person.number": ("Number of the person", "Numéro de la personne"),
    "person.number.hint": ("As dialled, or as +33145678901.", "Tel que composé, ou sous la forme +33145678901."),
    "person.look": ("Look", "Rechercher"),
    "person.held": ("Held about", "Conservé sur"),
    "person.calls": ("Calls", "Appels"),
    "person.penalties": ("Penalties entered by hand", "Pénalités saisies à la main"),
    "person.waiting": ("Open incidents, which stay", "Incidents ouverts, conservés"),
    "person.none": ("Nothing, or nothing any more.", "Rien, ou plus rien."),
    "person.export": ("Hand it out (JSON)", "Exporter (JSON)"),
    "person.reason": ("Reason of the erasure", "Motif de l’effacement"),
    "person.reason.hint": ("Who asked, and how he showed that the number is his. It stays in the access log.", "Qui l’a demandé, et comment il a montré que le numéro est le sien. Ce motif reste au journal des accès."),
    "person.open": ("open incidents too: claims under way", "aussi les incidents ouverts\u00a0: des réclamations en cours"),
    "person.confirm": ("erase for good; the amounts stay, without a number", "effacer définitivement\u00a0; les montants restent, sans numéro"),
    "person.erase": ("Erase", "Effacer"),
    "person.done": ("Erased: what {calls} calls, {incidents} incidents and {penalties} penalties said.", "Effacé\u00a0: le contenu de {calls} appels, {incidents} incidents et {penalties} pénalités."),
    "person.wrong.number": ("This is no telephone number.", "Ceci n’est pas un numéro de téléphone."),
    "person.wrong.reason": ("Write a reason, of {n} characters at most.", "Indiquez un motif, de {n} caractères au plus."),
    "person.wrong.confirm": ("Nothing was erased: tick the box that says so.", "Rien n’a été effacé\u00a0: cochez la case de confirmation."),
    "person.wrong.many": ("There is too much for a browser: guard subject export, on the machine, hands it out.", "Il y en a trop pour un navigateur\u00a0: guard subject export, sur la machine, l’exporte."),
}  # fmt: skip
