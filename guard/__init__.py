"""sip-guard: a real-time SIP fraud and compliance guard between an IPBX and its operator's trunk."""

__version__ = "0.1.0"
