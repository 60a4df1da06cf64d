"""Steps that people take with an incident: the same entries in the books as `guard incidents` makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from guard.ledger.incidents import Event, Letter, WrongStep
from guard.store.books import Books
from guard.wanted import Mistake, dated
from guard.web.problems import Refused

if TYPE_CHECKING:
    from guard.ledger.incidents import Incident
    from guard.store.reader import SqliteReader
    from guard.web.roles import Visitor
    from guard.web.room import Room

Action = Literal["notify", "answer", "resolve", "release", "note"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
LETTERS: Final = tuple(letter for letter in get_args(Letter) if letter)
MAX_TEXT: Final = 2_000  # characters: what to remember, not the letter itself
BY: Final = "web/"  # before the name of the token: no user of the machine has a slash in his


class StepRefused(Refused):
    """A step that an incident's state does not allow; `wrong` says why, for pages in any language."""

    def __init__(self, wrong: WrongStep) -> None:
        super().__init__(409, str(wrong))
        self.wrong = wrong


async def take(
    room: Room, visitor: Visitor, incident: int, action: Action, *, at: str = "", text: str = "", letter: Letter = ""
) -> Incident:
    """Take a step. Refused (404, 409), Mistake where a word means nothing, StoreError."""
    now = room.clock()
    when = dated(at, room.zone) if at else now
    if when > now:
        raise Mistake("at", "is still to come")
    if (action == "notify") != bool(letter):
        raise Mistake("letter", f"goes with notify, which needs one: {', '.join(LETTERS)}")
    if len(text) > MAX_TEXT:
        raise Mistake("text", f"has more than {MAX_TEXT:,} characters")
    event = Event(step=action, at=when, written=now, incident=incident, who=BY + visitor.name, text=text, letter=letter)
    return await room.read(lambda reader: _step(reader, event))


def _step(reader: SqliteReader, event: Event) -> Incident:
    with Books(reader.path, reader.zone) as books:
        if event.incident not in books.incidents():
            raise Refused(404, "no such incident")
        try:
            return books.step(event)
        except WrongStep as error:
            raise StepRefused(error) from error
