"""Callers of services on this machine, which speak HTTP without TLS."""

import ssl

# httpx reads the certificates of all authorities for each client that it is not given a context for: 24 ms of the
# processor, which were a tenth of the whole suite. This one trusts nobody.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
