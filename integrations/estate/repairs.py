"""Acts that clean, close and restore, and that nothing takes back. Each is done once for one key.

What was done is written where it can be inspected: `{key, since}` under the thing that was done to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from integrations.estate.act import Act, Answer, Data, Refusal, account_of, host_of, note, stamp
from integrations.estate.business import thing_of
from integrations.estate.content import is_malware


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One kind of act: what it needs to exist, what it changes, and by what its record is told apart."""

    words: str
    change: Callable[[Data, Act], None]
    detail: str = ""

    def place(self, act: Act) -> str:
        """Where its record stands."""
        return " ".join(filter(None, (act.verb, act.target, act.text(self.detail) if self.detail else "")))


def do(repair: Repair, data: Data, act: Act) -> Answer:
    """Do it; what was done already with this key is not done again."""
    place = repair.place(act)
    done = data["repairs"].get(place)
    if done is not None and done["key"] == act.key:
        return Answer({"summary": f"already {repair.words} by this call"})
    repair.change(data, act)
    data["repairs"][place] = {"key": act.key, "since": stamp(act.now)}
    return Answer({"summary": repair.words}, changed=True)


def inspect(repair: Repair, data: Data, act: Act) -> Answer:
    """Present when the last act of this kind here carries this call's key: an earlier one is not this one."""
    done = data["repairs"].get(repair.place(act))
    ours = done["key"] if done else None
    words = f"{repair.words} {done['since']} by key {ours}" if done else f"not {repair.words}"
    return Answer({"present": ours is not None and ours == act.key, "ours": ours, "state": {"done": done},
                   "summary": words})  # fmt: skip


def _delete_file(data: Data, act: Act) -> None:
    host, path = host_of(data, act), act.text("path")
    left = [file for file in host["files"] if file["path"].lower() != path.lower()]
    if len(left) == len(host["files"]):
        raise Refusal(404, f"{act.id} has no file {path!r}")
    host["files"] = left
    note(host, act.now, f"file {path} deleted")


def _remove_persistence(data: Data, act: Act) -> None:
    host, entry = host_of(data, act), act.text("entry")
    if entry not in host["autostarts"]:
        raise Refusal(404, f"{act.id} starts nothing by {entry!r}")
    host["autostarts"].remove(entry)
    note(host, act.now, f"autostart {entry} removed")


def _remove_rule(data: Data, act: Act) -> None:
    mailbox, wanted = thing_of(data, act, "mailboxes"), act.text("rule")
    left = [rule for rule in mailbox["rules"] if rule["id"] != wanted]
    if len(left) == len(mailbox["rules"]):
        raise Refusal(404, f"{act.id} has no rule {wanted!r}")
    mailbox["rules"] = left


def _revoke_consent(data: Data, act: Act) -> None:
    account, app = account_of(data, act), act.text("app")
    if app not in account["consents"]:
        raise Refusal(404, f"{act.id} has given no consent to {app!r}")
    account["consents"].remove(app)


def _wipe(data: Data, act: Act) -> None:
    host = host_of(data, act)
    host.update(files=[], processes=[], connections=[], autostarts=[], wiped=stamp(act.now))
    note(host, act.now, "wiped")


def _rebuild(data: Data, act: Act) -> None:
    host = host_of(data, act)
    host["files"] = [file for file in host["files"] if not is_malware(file)]
    host["processes"] = [process for process in host["processes"] if not is_malware(process)]
    host.update(connections=[], autostarts=[])
    note(host, act.now, "installed anew")


def _patch(data: Data, act: Act) -> None:
    host = host_of(data, act)
    host["updates"].append(act.text("update"))
    note(host, act.now, f"update {act.text('update')} installed")


def _workaround(data: Data, act: Act) -> None:
    host_of(data, act)["workarounds"].append(act.text("change"))


def _restore(data: Data, act: Act) -> None:
    note(host_of(data, act), act.now, f"backup {act.text('backup')} restored")


REPAIRS = {
    "delete_file": Repair(words="deleted", change=_delete_file, detail="path"),
    "remove_persistence": Repair(words="removed", change=_remove_persistence, detail="entry"),
    "remove_inbox_rule": Repair(words="removed", change=_remove_rule, detail="rule"),
    "revoke_consent": Repair(words="revoked", change=_revoke_consent, detail="app"),
    "wipe_device": Repair(words="wiped", change=_wipe),
    "rebuild_host": Repair(words="installed anew", change=_rebuild),
    "patch": Repair(words="installed", change=_patch, detail="update"),
    "apply_workaround": Repair(words="changed", change=_workaround, detail="change"),
    "restore_backup": Repair(words="restored", change=_restore, detail="backup"),
}
"""Every verb of this kind."""
