"""What the library's shipped test cases need before they can be imported."""

import sys

from eventsourcing import cryptography

# Their module imports the older of the library's two ciphers, for cases that are not about recorders. It needs the
# package pycryptodome; the newer one has the same class on top of `cryptography`, which Scrip has anyway.
sys.modules.setdefault("eventsourcing.cipher", cryptography)
