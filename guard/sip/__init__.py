"""SIP messages: grammar, URIs, headers, framing. Pure functions of bytes; standard library only."""
