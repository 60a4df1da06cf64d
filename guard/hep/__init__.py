"""HEPv3 (EEP), the protocol in which SIP servers mirror what they see to a Homer collector."""
