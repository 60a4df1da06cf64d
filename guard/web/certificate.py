"""The certificate of the web page, read at its start and again on SIGHUP."""

from __future__ import annotations

import ssl
from pathlib import Path

from guard.configweb import Place


def context_of(place: Place) -> ssl.SSLContext:
    """TLS 1.2 and newer with the certificate of `[web]`. OSError, which names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load(context, place)
    return context


def load(context: ssl.SSLContext, place: Place) -> None:
    """Put the certificate into a context: new connections are shown it. OSError, which names the file."""
    certificate = place.certificate or Path()
    try:
        # a key with a password is none for a service: it must not ask whoever sits at the terminal
        context.load_cert_chain(certificate, place.key, password=lambda: "")
    except ssl.SSLError as error:
        why = f"web.certificate: not a certificate with its key ({error.reason or error})"
        raise OSError(0, why, str(certificate)) from error
    except OSError as error:
        raise OSError(error.errno, f"web.certificate: {error.strerror}", str(certificate)) from error
