# ruff: noqa: E501 - sentences are not broken for a column
"""What follows of a contract's time limits, in French. Contracts say it in English, and so the books keep it."""

from __future__ import annotations

from typing import Final, Literal

CLOCKS: Final[dict[str, str]] = {
    "Answer the operator’s questions on an SVA number within 72 hours of his e-mail.": "Répondre aux questions de l’opérateur sur un numéro SVA dans les 72 heures suivant son courriel.",
    "Put an SVA number right within 5 business days of the operator’s e-mail, or a further penalty follows.": "Régulariser le numéro SVA dans les 5 jours ouvrés suivant le courriel de l’opérateur, sous peine d’une pénalité supplémentaire.",
    "Pay within 8 calendar days of the formal notice, or services are restricted or suspended.": "Payer dans les 8 jours calendaires suivant la mise en demeure, sous peine de restriction ou de suspension des services.",
    "Pay within 10 days of the second formal notice, or services end, and their numbers may be lost for good.": "Payer dans les 10 jours suivant la seconde mise en demeure, sous peine de résiliation des services et de perte définitive possible de leurs numéros.",
    "Make the guarantee whole again within 15 days of the letter that tells of its use, or be late in paying.": "Reconstituer la garantie dans les 15 jours suivant le courrier qui annonce son utilisation, sous peine d’être en retard de paiement.",
    "By registered letter with reasons, within 10 days of receiving an invoice for consumption. Disputed sums stay due meanwhile.": "Par lettre recommandée motivée, dans les 10 jours suivant la réception d’une facture de consommation. Les sommes contestées restent dues entre-temps.",
    "By registered letter with return receipt, within 30 days of receiving the invoice; then it counts as accepted. The disputed part need not be paid meanwhile.": "Par lettre recommandée avec avis de réception, dans les 30 jours suivant la réception de la facture ; au-delà, elle est réputée acceptée. La part contestée n’est pas à payer entre-temps.",
    "Termination when the cause has not gone within 7 days of the suspension; the rest of the term is due (§20).": "Résiliation si la cause n’a pas disparu dans les 7 jours suivant la suspension ; le reste de la durée est dû (§20).",
    "Termination at once after a month of suspension; the rest of the term is due (§13.2).": "Résiliation immédiate après un mois de suspension ; le reste de la durée est dû (§13.2).",
    "Put a material breach right within 30 days of written notice, or the contract may be ended at once.": "Remédier à un manquement grave dans les 30 jours suivant la notification écrite, sous peine de résiliation immédiate.",
    "Damages are lost unless the other party is told within 30 days of when the cause was, or should have been, known. No time limit is named for invoices.": "Tout dédommagement est perdu si l’autre partie n’est pas avertie dans les 30 jours où la cause a été, ou aurait dû être, connue. Aucun délai n’est fixé pour les factures.",
}


def follows(says: str, lang: Literal["en", "fr"]) -> str:
    """What follows of a time limit, in the reader's language; of a contract that is none of ours as it is written."""
    return CLOCKS.get(says, says) if lang == "fr" else says
