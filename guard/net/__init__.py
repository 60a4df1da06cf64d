"""The only place with asyncio, sockets and a clock: UDP and TCP listeners and the driver of the proxy core."""
