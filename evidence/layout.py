"""What stands where in an evidence package, and what a name inside may look like."""

from __future__ import annotations

import re

EXPORT = "data/export.json"
INDEX = "data/evidence/index.json"
PROOFS = "data/proofs.json"
CHECKPOINT = "data/checkpoint.txt"
PUBLIC_KEY = "data/public-key.txt"
README = "data/README.txt"
RECORDS = {
    "incident": "data/incident.json",
    "timeline": "data/timeline.json",
    "actions": "data/actions.json",
    "runs": "data/runs.json",
    "approvals": "data/approvals.json",
}
REQUIRED = (README, EXPORT, INDEX, PROOFS, CHECKPOINT, PUBLIC_KEY, *RECORDS.values())
EXPORT_FIELDS = ("id", "recipient", "purpose", "requested_by", "at")

IDENT = re.compile(r"[0-9a-z](?:[0-9a-z-]{0,126}[0-9a-z])?")
DIGEST = re.compile(r"[0-9a-f]{64}")
STREAM = re.compile(r"(system|preparation|incident:[0-9a-z](?:[0-9a-z-]{0,126}[0-9a-z])?)")
_EVENTS = re.compile(r"data/events/([a-z]+)(?:-([0-9a-z-]+))?\.jsonl")


def events_file(stream: str) -> str:
    """The file of a stream; a colon is no letter for a file name everywhere."""
    return f"data/events/{stream.replace(':', '-')}.jsonl"


def stream_of(name: str) -> str | None:
    """The stream whose events a file holds, or None where it holds none."""
    match = _EVENTS.fullmatch(name)
    stream = ":".join(part for part in match.groups() if part) if match else ""
    return stream if STREAM.fullmatch(stream) else None


def item_file(item_id: str) -> str:
    """The bytes of an item, under a name that nothing opens or runs by itself."""
    return f"data/evidence/{item_id}.bin"


def custody_file(item_id: str) -> str:
    """The custody record of an item."""
    return f"data/custody/{item_id}.json"


def playbook_file(digest: str) -> str:
    """A playbook, by the SHA-256 of its bytes."""
    return f"data/playbooks/{digest}.json"


def seal_text(export_id: str, sha256: str) -> str:
    """What the signature of a package says; its second and third line can be no checkpoint's."""
    return f"soar evidence package\n{export_id}\nsha256:{sha256}\n"


README_TEXT = """\
Evidence package
================

This is a BagIt 1.0 bag (RFC 8493). Everything under data/ is the record of one security incident.
The files under data/evidence/ are evidence and may be MALWARE: they are kept inert under neutral
names ending in .bin. Do not open or run them. Their original names stand in data/evidence/index.json.

Check it with tools that are not ours
-------------------------------------
1. Unpack it:                 unzip PACKAGE.zip
2. In the unpacked folder:    sha256sum -c manifest-sha256.txt
                              sha512sum -c manifest-sha512.txt
                              sha256sum -c tagmanifest-sha256.txt
   or, with the Python library of the Library of Congress:   bagit.py --validate FOLDER
3. signature.txt and data/checkpoint.txt are C2SP signed notes (Ed25519). The signature covers the
   SHA-256 of tagmanifest-sha256.txt, and by it every file.
4. data/proofs.json holds for each event its inclusion proof (RFC 9162) against the root in
   data/checkpoint.txt. The leaf is the event's body, as it stands (base64) in data/events/.

The key in data/public-key.txt is there for convenience. It proves nothing by itself: get the key
from the sender by another way and compare.

Check all of it with ours
-------------------------
    soar evidence verify PACKAGE.zip --key VERIFIER_KEY

It needs no server and no network. It also checks the links between events, the salted commitments
of the values that are shown, and the chain of custody of every item.
"""
