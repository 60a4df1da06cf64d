"""What is held about one number: handed out, or erased. For who has the role privacy."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.response import Response

from guard.wanted import Mistake
from guard.web import persons
from guard.web.api import Here
from guard.web.pages.common import Html, form_of, html, view_of
from guard.web.pages.incidents import Said
from guard.web.pages.view import View, word
from guard.web.persons import MAX_REASON, Erasure
from guard.web.problems import Refused
from guard.web.roles import Visitor, privacies

FIELDS: Final = ("number", "reason", "with_open")
FILE: Final = 'attachment; filename="subject.json"'  # not by the number: names of files are seen by others


@get("/subjects", include_in_schema=False, guards=[privacies])
async def subjects(request: Request[Visitor, None, State], room: Here) -> Html:
    """The form."""
    return persons_html(view_of(request, room, "subjects"), {})


@post("/subjects", include_in_schema=False, guards=[privacies], status_code=200)
async def subject(request: Request[Visitor, None, State], room: Here) -> Html | Response[bytes]:
    """What there is, all of it as a file, or its end. The number comes in the form, so that no address holds it."""
    form = await form_of(request)
    view = view_of(request, room, "subjects")
    t = word(view.lang)
    number, with_open = form.get("number", ""), form.get("with_open") == "true"
    step = form.get("step", "look")
    try:
        if step == "export":
            made = msgspec.json.encode(await persons.export(room, request.user, number))
            return Response(content=made, media_type="application/json", headers={"Content-Disposition": FILE})
        if step != "erase":
            return persons_html(view, form, await persons.look(room, request.user, number, with_open=with_open))
        if form.get("confirm") != "true":
            found = await persons.look(room, request.user, number, with_open=with_open)
            return persons_html(view, form, found, Said(kind="bad", text=t("person.wrong.confirm")), status=400)
        done = await persons.erase(room, request.user, number, form.get("reason", ""), with_open=with_open)
    except Mistake as mistake:
        name = mistake.field if mistake.field in {"number", "reason"} else "number"
        text = t("person.wrong.number") if name == "number" else t("person.wrong.reason", n=MAX_REASON)
        return persons_html(view, form, said=Said(kind="bad", text=text), status=400)
    except Refused as refused:
        if refused.status_code != 413:
            raise
        return persons_html(view, form, said=Said(kind="bad", text=t("person.wrong.many")), status=413)
    said = t("person.done", calls=done.calls, incidents=done.incidents, penalties=done.penalties)
    return persons_html(view, {}, said=Said(kind="good", text=said))


def persons_html(
    view: View, form: dict[str, str], found: Erasure | None = None, said: Said | None = None, *, status: int = 200
) -> Html:
    """The page."""
    return html(
        "subjects.html",
        view,
        status=status,
        form={name: form.get(name, "") for name in FIELDS},
        found=found,
        said=said,
        longest=MAX_REASON,
    )
