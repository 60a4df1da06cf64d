"""sipp scenarios written in a few words, and run: one side of one call each.

caller = Caller().sends("INVITE", body=SDP).hears(100, optional=True).hears(200).acks().sends("BYE").hears(200)
callee = Callee().hears("INVITE").replies(180).replies(200, body=SDP).hears("ACK").hears("BYE").replies(200)
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Final, Literal, Self
from xml.sax.saxutils import quoteattr

from tests.peers.process import Program, listens

PATIENCE: Final = 12  # seconds for one scenario
NUMBERS: Final = tuple(f"+331456789{n}" for n in range(10, 100))  # one a call: short calls of one number are an alarm
CALLEE: Final = "+33199001234"
SDP: Final = """\
v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 30000 RTP/AVP 0
"""
HELD: Final = SDP + "a=sendonly\n"
T38: Final = SDP.replace("m=audio 30000 RTP/AVP 0", "m=image 30002 udptl t38") + "a=T38FaxVersion:0\n"

# What a callee keeps of the INVITE, for answers after something else has come. All Via and Record-Route lines
# stand before Max-Forwards in what our caller sends, and proxies put theirs above.
KEPT: Final = "whole,above,from,to,cseq"
KEEPS: Final = (
    '<ereg regexp="((Via|Record-Route):.*)Max-Forwards:" search_in="msg" assign_to="whole,above"/>'
    '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>'
    '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>'
    '<ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="cseq"/>'
)
_numbers = itertools.count()


class Script:
    """What one side does, step by step."""

    role = ""

    def __init__(self) -> None:
        self._steps: list[str] = []
        self._variables: list[str] = []
        self._cseq = 0
        self._invite_cseq = 0
        self._heard = ""  # the request to reply to
        self._up = False  # the dialog was answered
        self._last = ""  # the request that was sent last
        self._refused = False  # the last answer to an INVITE
        self._invite = 0  # the step at which the last one left

    def xml(self) -> str:
        """The scenario as sipp reads it."""
        steps = list(self._steps)
        if self._variables:
            steps.append(f'<Reference variables="{",".join(dict.fromkeys(self._variables))}"/>')
        return "\n".join(['<?xml version="1.0"?>', f'<scenario name="{self.role}">', *steps, "</scenario>", ""])

    def pauses(self, milliseconds: int) -> Self:
        self._steps.append(f'<pause milliseconds="{milliseconds}"/>')
        return self

    def hears(
        self,
        what: int | str,
        *,
        optional: bool = False,
        fork: bool = False,
        check: dict[str, str] | None = None,
        kept: bool = False,
    ) -> Self:
        """A response or a request. `check` are patterns that fields (or `body`) must match.

        `fork`: one of several early dialogs. sipp keeps the first route that it learns, so none is learnt from it.
        `kept`: an INVITE that is answered after something else has come.
        """
        kind = f'response="{what}"' if isinstance(what, int) else f'request="{what}"'
        kept |= what == "INVITE" and isinstance(self, Callee) and not self._up
        actions = [self._keeps()] if kept else []
        for field, pattern in (check or {}).items():
            name = f"checked{len(self._variables)}"
            self._variables.append(name)
            where = 'search_in="body"' if field == "body" else f'search_in="hdr" header="{field}:"'
            actions.append(f'<ereg regexp={quoteattr(pattern)} {where} check_it="true" assign_to="{name}"/>')
        inner = f"<action>{''.join(actions)}</action>" if actions else ""
        more = ' optional="true"' if optional else ""
        learns = ' rrs="true"' if self._learns(what) and not fork else ""
        self._steps.append(f"<recv {kind}{learns}{more}>{inner}</recv>")
        if isinstance(what, str):
            self._heard = what
        else:
            self._refused = what >= 300
        return self

    def replies(self, status: int, *, more: str = "", body: str = "", reason: str = "So", contact: str = "") -> Self:
        """Answer the request that was heard last. `contact`: instead of its own."""
        return self._writes(
            f"SIP/2.0 {status} {reason}",
            "[last_Via:]\n[last_Record-Route:]\n[last_From:]\n[last_To:]\n[last_CSeq:]",
            more,
            body,
            final=self._heard == "INVITE" and status >= 200,
            contact=contact,
        )

    def sends(self, method: str, *, more: str = "", body: str = "", uri: str = "") -> Self:
        """A request: within the dialog where there is one."""
        raise NotImplementedError

    def acks(self) -> Self:
        """The ACK of the answer to the last INVITE."""
        return self.sends("ACK")

    def _learns(self, what: int | str) -> bool:
        """Whether the route of the dialog stands in this."""
        raise NotImplementedError

    def _number(self, method: str) -> int:
        if method in {"ACK", "CANCEL"}:
            return self._invite_cseq
        self._cseq += 1
        if method == "INVITE":
            self._invite_cseq = self._cseq
        return self._cseq

    def _same(self, method: str) -> bool:
        """Whether it belongs to the last INVITE's transaction: CANCEL, ACK of a refusal (RFC 3261 9.1, 17.1.1.3)."""
        self._last = method
        if method == "INVITE":
            self._invite = len(self._steps)
        return method == "CANCEL" or (method == "ACK" and self._refused)

    def _branch(self, *, same: bool) -> str:
        return f"[branch-{len(self._steps) - self._invite}]" if same else "[branch]"

    def _keeps(self) -> str:
        self._variables += KEPT.split(",")
        return KEEPS

    def _writes(self, first: str, fields: str, more: str, body: str, *, final: bool = False, contact: str = "") -> Self:
        contact = f"Contact: {contact or f'<sip:{self.role}@[local_ip]:[local_port];transport=[transport]>'}"
        kind = "" if "Content-Type" in more or not body else "Content-Type: application/sdp\n"
        text = f"{first}\n{fields}\nCall-ID: [call_id]\n{contact}\n{more}{kind}Content-Length: [len]\n\n{body}"
        once = first.startswith(("SIP/2.0 1", "ACK")) or (first.startswith("SIP/2.0") and not final)
        retransmit = "" if once else ' retrans="500"'
        self._steps.append(f"<send{retransmit}><![CDATA[\n{text}\n]]></send>")
        return self


class Caller(Script):
    role = "caller"

    def __init__(self, caller: str = "", callee: str = CALLEE) -> None:
        super().__init__()
        self._caller, self._callee = caller or NUMBERS[next(_numbers) % len(NUMBERS)], callee
        self._early = False  # a dialog has begun

    def hears(
        self,
        what: int | str,
        *,
        optional: bool = False,
        fork: bool = False,
        check: dict[str, str] | None = None,
        kept: bool = False,
    ) -> Self:
        super().hears(what, optional=optional, fork=fork, check=check, kept=kept)
        if isinstance(what, int):
            self._early |= 100 < what < 300
            self._up |= self._last == "INVITE" and 200 <= what < 300
        return self

    def replies_kept(self, status: int) -> Self:
        """Answer the INVITE that was kept."""
        return self._writes(
            f"SIP/2.0 {status} So", "[$above]From:[$from]\nTo:[$to]\nCSeq:[$cseq]", "", "", final=status >= 200
        )

    def sends(self, method: str, *, more: str = "", body: str = "", uri: str = "") -> Self:
        same = self._same(method)
        within = self._early and (self._up or not same)
        branch = self._branch(same=same)
        target = uri or ("[next_url]" if within else f"sip:{self._callee}@[remote_ip]:[remote_port]")
        fields = f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\nMax-Forwards: 70\n"
        fields += "[routes]\n" if within else ""
        fields += f"From: <sip:{self._caller}@[local_ip]>;tag=[pid]c[call_number]\n"
        fields += f"To: <sip:{self._callee}@[remote_ip]>{'[peer_tag_param]' if within or method == 'ACK' else ''}\n"
        fields += f"CSeq: {self._number(method)} {method}"
        return self._writes(f"{method} {target} SIP/2.0", fields, more, body)

    def _learns(self, what: int | str) -> bool:
        return isinstance(what, int) and 100 < what < 300 and self._last == "INVITE" and not self._up


class Callee(Script):
    role = "callee"

    def _learns(self, what: int | str) -> bool:
        return what == "INVITE" and not self._up

    def replies(
        self,
        status: int,
        *,
        more: str = "",
        body: str = "",
        reason: str = "So",
        contact: str = "",
        first: bool = False,
        tag: str = "u",
    ) -> Self:
        """`first`: the answer is that of the first INVITE, whatever came since. `tag`: of another fork."""
        if not first and (self._up or self._heard != "INVITE"):
            return super().replies(status, more=more, body=body, reason=reason, contact=contact)
        self._up |= 200 <= status < 300
        fields = "[$above]From:[$from]\nTo:[$to]"
        fields += f";tag=[pid]{tag}[call_number]\nCSeq:[$cseq]"
        return self._writes(f"SIP/2.0 {status} {reason}", fields, more, body, final=status >= 200, contact=contact)

    def sends(self, method: str, *, more: str = "", body: str = "", uri: str = "", tag: str = "u") -> Self:
        branch = self._branch(same=self._same(method))
        fields = f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\nMax-Forwards: 70\n[routes]\n"
        fields += f"From:[$to];tag=[pid]{tag}[call_number]\nTo:[$from]\nCSeq: {self._number(method)} {method}"
        return self._writes(f"{method} {uri or '[next_url]'} SIP/2.0", fields, more, body)


class Sipp(Program):
    """One running side. `done` is its success; a callee is there once the kernel has its socket."""

    def __init__(
        self,
        folder: Path,
        script: Script,
        host: str,
        port: int,
        *,
        to: str = "",
        transport: Literal["udp", "tcp"] = "udp",
        calls: int = 1,
        call_id: str = "",
    ) -> None:
        self._stats = folder / f"{script.role}-{port}.csv"
        self._stats.unlink(missing_ok=True)
        self._calls = calls
        path = folder / f"{script.role}-{port}.xml"
        path.write_text(script.xml(), encoding="utf-8")
        words = [*([to] if to else []), "-t", "u1" if transport == "udp" else "t1", "-sf", str(path)]
        words += ["-i", host, "-p", str(port), "-m", str(calls), "-nostdin", "-timeout", str(PATIENCE)]
        words += ["-timeout_error", "-trace_err", "-error_file", str(folder / f"{script.role}-{port}.err")]
        words += ["-trace_msg", "-message_file", str(folder / f"{script.role}-{port}.msg")]
        words += ["-trace_stat", "-stf", str(self._stats), "-fd", "1"]
        words += ["-cid_str", call_id] if call_id else []
        super().__init__(f"sipp-{script.role}", "sipp", "sip-tester", words, folder)
        self._messages = folder / f"{script.role}-{port}.msg"
        self._messages.touch()
        self._errors = folder / f"{script.role}-{port}.err"
        if not to:
            self.wait(lambda: listens(transport, host, port), "socket")

    def said(self) -> str:
        errors = self._errors.read_text("utf-8", "replace")[-2000:] if self._errors.exists() else ""
        return f"{errors}\n{super().said()}\n{self._messages.read_text('utf-8', 'replace')[-4000:]}"

    def done(self) -> None:
        """Every call went as its scenario says. Fails with what sipp said."""
        status = self.finish(PATIENCE + 5)
        assert status == 0, f"sipp ended with status {status}; {self.said()}"
        with self._stats.open(encoding="utf-8") as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        found = int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])
        assert found == (self._calls, 0), f"{found} calls succeeded and failed; {self.said()}"


def done(caller: Sipp, callee: Sipp) -> None:
    """Both sides ended well. Fails with what both said."""
    try:
        caller.done()
        callee.done()
    except AssertionError as error:
        caller.stop()
        callee.stop()
        raise AssertionError(f"{error}\n{caller.said()}\n{callee.said()}") from None
