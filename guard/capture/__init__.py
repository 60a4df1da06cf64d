"""Captured traffic: pcap and pcapng files, read and judged on their own clock."""
