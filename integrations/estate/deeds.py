"""Acts that have no inverse: sessions, passwords, processes, messages, tickets."""

from __future__ import annotations

from integrations.estate.act import Act, Answer, Data, Refusal, account_of, host_of, note, stamp


def revoke_sessions(data: Data, act: Act) -> Answer:
    """End every live session of an account. Disabling it does not do that."""
    account = account_of(data, act)
    ended = len(account["sessions"])
    if ended:
        account["sessions"] = []
        account["sessions_revoked"] = {"key": act.key, "since": stamp(act.now)}
    return Answer({"revoked": ended, "summary": f"{ended} sessions ended"}, changed=ended > 0)


def inspect_sessions(data: Data, act: Act) -> Answer:
    """Present when no session is live."""
    account = account_of(data, act)
    live, by = account["sessions"], account["sessions_revoked"]
    ours = by["key"] if by and not live else None
    state = {"sessions": live, "revoked": by}
    return _seen(not live, ours, state, f"{len(live)} live sessions")


def reset_password(data: Data, act: Act) -> Answer:
    """Set a new password that nobody is told here. The same key resets once."""
    account = account_of(data, act)
    reset = account["password_reset"]
    if reset and reset["key"] == act.key:
        return Answer({"summary": "already reset by this call"})
    account["password_changed_at"] = stamp(act.now)
    account["password_reset"] = {"key": act.key, "since": stamp(act.now)}
    return Answer({"summary": "password reset"}, changed=True)


def inspect_password(data: Data, act: Act) -> Answer:
    """Present when the last reset carries this call's key: an earlier reset is not this one."""
    account = account_of(data, act)
    reset, changed_at = account["password_reset"], account["password_changed_at"]
    ours = reset["key"] if reset else None
    state = {"password_changed_at": changed_at, "reset": reset}
    return _seen(ours is not None and ours == act.key, ours, state, f"password changed at {changed_at}")


def kill_process(data: Data, act: Act) -> Answer:
    """End a process; its memory and its flows are gone."""
    host, pid = host_of(data, act), _pid(data, act)
    if str(pid) in host["killed"]:
        return Answer({"summary": f"process {pid} was already ended"})
    host["processes"] = [process for process in host["processes"] if process["pid"] != pid]
    host["connections"] = [flow for flow in host["connections"] if flow["pid"] != pid]
    host["killed"][str(pid)] = {"key": act.key, "since": stamp(act.now)}
    note(host, act.now, f"process {pid} ended")
    return Answer({"summary": f"process {pid} ended"}, changed=True)


def inspect_process(data: Data, act: Act) -> Answer:
    """Present when the process was ended."""
    host, pid = host_of(data, act), _pid(data, act)
    killed = host["killed"].get(str(pid))
    running = [{"pid": p["pid"], "name": p["name"], "path": p["path"]} for p in host["processes"] if p["pid"] == pid]
    words = f"process {pid} ended {killed['since']} by key {killed['key']}" if killed else f"process {pid} runs"
    return _seen(bool(killed), killed["key"] if killed else None, {"running": running, "killed": killed}, words)


def notify(data: Data, act: Act) -> Answer:
    """Put a notification on the board. Every call adds one: the board drops no repeats."""
    data["board"]["notifications"].append(_posted(act))
    return Answer({"summary": f"{act.id} was told"}, changed=True)


def open_ticket(data: Data, act: Act) -> Answer:
    """Open a ticket."""
    tickets = data["board"]["tickets"]
    ticket = {"ticket": f"T-{len(tickets) + 1:04}", **_posted(act)}
    tickets.append(ticket)
    return Answer({"ticket": ticket["ticket"], "summary": f"{ticket['ticket']} opened"}, changed=True)


def update_ticket(data: Data, act: Act) -> Answer:
    """Add a comment to a ticket."""
    ticket = act.text("ticket")
    if all(each["ticket"] != ticket for each in data["board"]["tickets"]):
        raise Refusal(404, f"there is no ticket {ticket!r}")
    data["board"]["comments"].append({"ticket": ticket, **_posted(act)})
    return Answer({"summary": f"{ticket} has a new comment"}, changed=True)


def request_change(data: Data, act: Act) -> Answer:
    """Ask for a change of the estate through its change board."""
    changes = data["board"]["changes"]
    changes.append({"change": f"C-{len(changes) + 1:04}", **_posted(act)})
    return Answer({"summary": f"{changes[-1]['change']} asked for"}, changed=True)


def share_intel(data: Data, act: Act) -> Answer:
    """Tell a community what was learnt, under a traffic light."""
    posted = {"to": act.text("to"), "tlp": act.text("tlp"), "team": act.id, "key": act.key, "at": stamp(act.now)}
    data["board"]["shared"].append(posted)
    return Answer({"summary": f"shared with {posted['to']} under {posted['tlp']}"}, changed=True)


def inspect_board(data: Data, act: Act, *, shelf: str) -> Answer:
    """Present when the board holds an entry with this call's key."""
    mine = [entry for entry in data["board"][shelf] if entry["key"] == act.key and entry["team"] == act.id]
    words = f"{len(mine)} of this call among {len(data['board'][shelf])} {shelf}"
    return _seen(bool(mine), act.key if mine else None, {shelf: mine}, words)


def _posted(act: Act) -> Data:
    return {"team": act.id, "text": act.text("text"), "key": act.key, "at": stamp(act.now), "caller": act.caller}


def _pid(data: Data, act: Act) -> int:
    pid = act.params.get("pid")
    if isinstance(pid, bool) or not isinstance(pid, int):
        raise Refusal(400, f"{act.verb} needs 'pid' as a number")
    host = host_of(data, act)
    if str(pid) not in host["killed"] and all(process["pid"] != pid for process in host["processes"]):
        raise Refusal(404, f"{act.id} has no process {pid}")
    return pid


def _seen(present: bool, ours: str | None, state: Data, summary: str) -> Answer:
    return Answer({"present": present, "ours": ours, "state": state, "summary": summary})
