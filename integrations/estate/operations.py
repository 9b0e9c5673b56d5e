"""Every verb of the estate in one table: what inspecting, applying and undoing it do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from integrations.estate import business, containments, deeds, firewall, reads, repairs
from integrations.estate.act import Act, Answer, Data
from integrations.estate.containments import Slot

Step = Callable[[Data, Act], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One verb. `methods` maps inspect, apply, revert or other to what it does.

    `keyed`: a second apply with a key that was seen gets the first answer and does nothing.
    `reads`: no method changes anything.
    """

    methods: Mapping[str, Step]
    keyed: bool = False
    reads: bool = False


def _pair(slot: Slot, do: str, undo: str) -> dict[str, Operation]:
    return {
        do: Operation(
            methods={
                "inspect": partial(containments.inspect, slot, wants=True),
                "apply": partial(containments.contain, slot),
            }
        ),
        undo: Operation(
            methods={
                "inspect": partial(containments.inspect, slot, wants=False),
                "apply": partial(containments.release, slot),
                "revert": partial(containments.revert, slot),
            }
        ),
    }


def _block(kind: str) -> dict[str, Operation]:
    slot = firewall.rule_slot(kind)
    return {
        f"block_{kind}": Operation(
            methods={
                "inspect": partial(firewall.inspect, slot, wants=True),
                "apply": partial(firewall.block, slot),
            },
            keyed=True,
        ),
        f"unblock_{kind}": Operation(
            methods={
                "inspect": partial(firewall.inspect, slot, wants=False),
                "apply": partial(containments.release, slot),
                "revert": partial(containments.revert, slot),
            },
            keyed=True,
        ),
    }


def _deed(apply: Step, inspect: Step, *, keyed: bool = False) -> Operation:
    return Operation(methods={"apply": apply, "inspect": inspect}, keyed=keyed)


def _read(step: Step, method: str = "apply") -> Operation:
    return Operation(methods={method: step}, reads=True)


OPERATIONS: Mapping[str, Operation] = {
    **_pair(containments.ISOLATION, "isolate_host", "release_host"),
    **_pair(containments.DISABLING, "disable_account", "enable_account"),
    **_pair(containments.QUARANTINE, "quarantine_file", "restore_file"),
    **_pair(containments.STOPPING, "stop_service", "start_service"),
    **_pair(business.MAIL_QUARANTINE, "quarantine_email", "release_email"),
    **_pair(business.REVOCATION, "revoke_credential", "restore_credential"),
    **_pair(business.FAIL_OVER, "fail_over", "fail_back"),
    **_pair(business.SEGMENT, "segment_network", "join_network"),
    **_pair(business.LOCK, "lock_device", "unlock_device"),
    **{
        verb: _deed(partial(repairs.do, repair), partial(repairs.inspect, repair))
        for verb, repair in repairs.REPAIRS.items()
    },
    **{name: operation for kind in firewall.KINDS for name, operation in _block(kind).items()},
    "end_flows": Operation(methods={"apply": firewall.end_flows}),
    "revoke_sessions": _deed(deeds.revoke_sessions, deeds.inspect_sessions),
    "reset_password": _deed(deeds.reset_password, deeds.inspect_password),
    "kill_process": _deed(deeds.kill_process, deeds.inspect_process),
    "notify": _deed(deeds.notify, partial(deeds.inspect_board, shelf="notifications")),
    "open_ticket": _deed(deeds.open_ticket, partial(deeds.inspect_board, shelf="tickets"), keyed=True),
    "update_ticket": _deed(deeds.update_ticket, partial(deeds.inspect_board, shelf="comments")),
    "request_change": _deed(deeds.request_change, partial(deeds.inspect_board, shelf="changes"), keyed=True),
    "share_intel": _deed(deeds.share_intel, partial(deeds.inspect_board, shelf="shared"), keyed=True),
    "look_up": _read(reads.look_up),
    "verify_clean": _read(reads.search),
    "watch": _read(reads.search),
    "snapshot_host": _read(reads.list_snapshot),
    "collect_evidence": _read(reads.list_evidence),
    "fetch_evidence": _read(reads.fetch_evidence),
    "resolve": _read(reads.resolve, "other"),
    "show": _read(reads.show, "other"),
}
