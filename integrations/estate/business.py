"""What the company runs beside hosts and accounts: mailboxes, access keys, services, networks, lost devices."""

from __future__ import annotations

from integrations.estate.act import Act, Data, Refusal, host_of
from integrations.estate.containments import Slot


def thing_of(data: Data, act: Act, shelf: str, key: str = "") -> Data:
    """The mailbox, key, service or network that the act names."""
    name = key or act.id
    thing: Data | None = data[shelf].get(name)
    if thing is None:
        raise Refusal(404, f"there is no {shelf[:-1]} {name!r}")
    return thing


def message_of(data: Data, act: Act) -> Data:
    """A message by its id, in whichever mailbox it lies."""
    wanted = act.text("message_id")
    for mailbox in data["mailboxes"].values():
        for message in mailbox["messages"]:
            if message["id"] == wanted:
                found: Data = message
                return found
    raise Refusal(404, f"no mailbox holds a message {wanted!r}")


def _quarantine(data: Data, act: Act, record: Data | None) -> None:
    """Every copy of a message, in whichever mailboxes it lies."""
    wanted = message_of(data, act)["id"]
    for mailbox in data["mailboxes"].values():
        for message in mailbox["messages"]:
            if message["id"] == wanted:
                message.update(quarantined=record)


def _network(act: Act) -> str:
    return act.text("network")


MAIL_QUARANTINE = Slot(
    name="quarantined",
    absent="in its mailbox",
    read=lambda data, act: message_of(data, act)["quarantined"],
    write=_quarantine,
    facts=lambda data, act: {"subject": message_of(data, act)["subject"]},
    place=lambda act: f"message {act.text('message_id')}",
)
REVOCATION = Slot(
    name="revoked",
    absent="valid",
    read=lambda data, act: thing_of(data, act, "keys")["revoked"],
    write=lambda data, act, record: thing_of(data, act, "keys").update(revoked=record),
    facts=lambda data, act: {"owner": thing_of(data, act, "keys")["owner"]},
)
FAIL_OVER = Slot(
    name="failed_over",
    absent="at its first site",
    read=lambda data, act: thing_of(data, act, "services")["failed_over"],
    write=lambda data, act, record: thing_of(data, act, "services").update(failed_over=record),
    facts=lambda data, act: {"site": site_of(thing_of(data, act, "services"))},
)
SEGMENT = Slot(
    name="segmented",
    absent="joined",
    read=lambda data, act: thing_of(data, act, "networks", _network(act))["segmented"],
    write=lambda data, act, record: thing_of(data, act, "networks", _network(act)).update(segmented=record),
    facts=lambda data, act: {"hosts": thing_of(data, act, "networks", _network(act))["hosts"]},
    place=lambda act: f"network {_network(act)}",
)
LOCK = Slot(
    name="locked",
    absent="not locked",
    read=lambda data, act: host_of(data, act)["locked"],
    write=lambda data, act, record: host_of(data, act).update(locked=record),
    facts=lambda data, act: {"wiped": host_of(data, act)["wiped"]},
)


def site_of(service: Data) -> str:
    """Where a service is served from now."""
    return str(service["sites"][1] if service["failed_over"] else service["sites"][0])
