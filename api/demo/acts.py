"""The demo's eight acts. Each says what it does, does it through the front door, and checks what came of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from api.cli.chart import chart
from api.cli.plan_tree import tree
from api.demo.stage import Person, Stage, until
from api.demo.voice import Voice
from integrations.sources.samples import load_sample

PLAYBOOK = "compromised-host"
HOSTS = ("ws-0147", "ws-0152")
PROTECTED = "dc-01"
CONTAINED = ("isolate_host", "disable_account", "revoke_sessions")
WATCH = "500ms"
"""How long the demo watches the released hosts; the playbook's own default is 72 hours."""


class Acts:
    """The acts share the stage, the persons and the incident."""

    def __init__(self, stage: Stage, voice: Voice) -> None:
        self.stage = stage
        self.voice = voice
        self.alice: Person
        self.bob: Person
        self.carol: Person
        self.incident = ""
        self.run = ""

    # --- 1 ---------------------------------------------------------------------------------

    def opening(self) -> None:
        self.voice.act(1, "A service and an estate")
        seconds = self.stage.start()
        self.voice.say(f"Service: {self.stage.url} (SQLite, workers in the process), up in {seconds:.1f} s.")
        self.voice.say(
            f"Estate:  {self.stage.lab.url} (process {self.stage.lab.pid}), simulated hosts, accounts, firewall."
        )
        admin = Person("admin", self.stage.first_key, self.stage)
        self.alice = self.stage.person(admin, "alice", ["analyst", "responder"])
        self.bob = self.stage.person(admin, "bob", ["responder"])
        self.carol = self.stage.person(admin, "carol", ["forensic"])
        self.voice.say("Persons: alice and bob (responders), carol (forensic), each with a key of their own.")
        status, _ = self.stage.call("GET", "/incidents")
        self.voice.expect("without a key nothing is shown (401)", status == 401, status)

    # --- 2 ---------------------------------------------------------------------------------

    def alerts(self) -> None:
        self.voice.act(2, "A SIEM reports")
        now = datetime.now(UTC)
        first = load_sample("elastic_encryption", now - timedelta(seconds=40))
        status, answer = self.stage.elastic(first, "delivery-1")
        taken = answer["alerts"][0]
        self.incident = taken["incident"]
        self.voice.expect("Elastic alert: an incident is opened", (status, taken["outcome"]) == (202, "opened"), answer)
        _, again = self.stage.elastic(first, "delivery-1")
        same = again["replayed"] and again["alerts"] == answer["alerts"]
        self.voice.expect("the same delivery again: the same answer, nothing changed", same, again)
        _, more = self.stage.elastic(first, "delivery-2")
        counted = more["alerts"][0]
        self.voice.expect("the same finding under another delivery: counted 2", counted["count"] == 2, counted)
        _, lateral = self.stage.elastic(load_sample("elastic_lateral", now - timedelta(seconds=30)), "delivery-3")
        joined = lateral["alerts"][0]
        self.voice.expect(f"second host: joined, it {joined['why']}", joined["incident"] == self.incident, joined)
        c2 = load_sample("suricata_c2", now - timedelta(seconds=20))
        status, network = self.stage.suricata(c2, "msg_0001")
        seen = network["alerts"][0] if status == 202 else network
        by_both = (
            status == 202 and seen["incident"] == self.incident and "host" in seen["why"] and "address" in seen["why"]
        )
        self.voice.expect(f"Suricata alert (signed): joined, it {seen.get('why')}", by_both, seen)
        status, refused = self.stage.suricata(c2, "msg_0002", forged=True)
        self.voice.expect(f"forged signature: {status} {refused['detail']}", status == 401, refused)
        status, refused = self.stage.call(
            "POST", "/alerts/elastic", body=b'{"kibana.alert.uuid": "x",\n "a": 1, "a": 2}',
            headers={"authorization": "Bearer demo-elastic-token-of-this-folder-only"},
        )  # fmt: skip
        place = refused.get("problems", [{}])[0]
        said = f"malformed body: {status}, line {place.get('line')}, {place.get('message')}"
        self.voice.expect(said, 400 <= status < 500 and place.get("line") == 2, refused)

    # --- 3 ---------------------------------------------------------------------------------

    def incident_opens(self) -> None:
        self.voice.act(3, "The incident")
        until(self._triaged, 10)
        _, incident = self.alice.get(f"/incidents/{self.incident}")
        self.voice.say(f"INC-{incident['number']}: {incident['title']}")
        self.voice.table(
            ["scope", "name", "status", "resolved by", "known since"],
            [
                (row["kind"], row["name"], row["status"], row["resolved_by"], row["known_since"])
                for row in incident["scope"]
            ],
        )
        self.voice.table(
            ["observable", "value", "held", "confidence"],
            [(row["type"], row["value"][:60], row["verdict"], row["confidence"]) for row in incident["observables"]],
        )
        phase = (incident["phase"], incident["determination"]) == ("detection", "suspected")
        self.voice.expect("phase detection, determination suspected", phase, incident["phase"])
        hosts = {row["entity_id"] for row in incident["scope"] if row["kind"] == "host"}
        self.voice.expect("three hosts in scope, one of them protected", hosts == {*HOSTS, PROTECTED}, hosts)
        status, _ = self.alice.put(
            f"/incidents/{self.incident}/scope/host/{PROTECTED}",
            {"status": "affected", "why": "the same alert names it"},
        )
        self.voice.expect(f"{PROTECTED} was only suspected; alice takes it for affected too", status == 200, status)
        proposed = [each for each in incident["proposals"] if each["playbook"] == PLAYBOOK]
        why = proposed[0]["why"] if proposed else ""
        self.voice.expect(f"proposed: {PLAYBOOK}, because {why}", bool(proposed), incident["proposals"])

    def _triaged(self) -> bool:
        _, incident = self.alice.get(f"/incidents/{self.incident}")
        return bool(incident["runs"]) and all(run["status"] != "running" for run in incident["runs"])

    # --- 4 ---------------------------------------------------------------------------------

    def plan(self) -> None:
        self.voice.act(4, "The plan, before anything is done")
        before = len(self.stage.changes())
        wish = {"playbook": PLAYBOOK, "inputs": {"watch_for": WATCH}}
        status, plan = self.alice.post(f"/incidents/{self.incident}/plan", wish)
        self.voice.expect("the plan is made", status == 200, plan)
        self.voice.console.print(tree(plan))
        after = len(self.stage.changes())
        self.voice.expect("the estate's own log shows no change through planning", before == after, (before, after))

    # --- 5 ---------------------------------------------------------------------------------

    def contain(self) -> None:
        self.voice.act(5, "Containment, by two persons")
        self.stage.estate("POST", "/faults", {"verb": "block_domain", "phase": "apply", "fault": "lie"})
        wish = {"playbook": PLAYBOOK, "inputs": {"watch_for": WATCH}, "reason": "two hosts are being encrypted"}
        status, run = self.alice.post(f"/incidents/{self.incident}/runs", wish)
        self.run = run.get("id", "")
        self.voice.expect("alice starts the run", status == 201, run)
        asked = self._approval()
        self.voice.say(f"asked: {asked['subject']}")
        status, refused = self._vote(self.alice, asked)
        self.voice.expect(f"alice may not approve what she started: {refused.get('detail')}", status == 403, refused)
        touched = [entry for entry in self.stage.changes() if entry["verb"] in CONTAINED]
        self.voice.expect("nothing of the group was called before the approval", not touched, touched)
        status, _ = self._vote(self.bob, asked)
        self.voice.expect("bob approves exactly these actions", status in (200, 201), status)
        kill = self._approval(other_than=asked["id"])
        self._show_actions()
        self._check_containment()
        self._check_evidence()
        self.voice.say(f"the run waits for its next approval: {kill['subject'] if kill else 'none'}")

    def _check_containment(self) -> None:
        rows = self._actions()
        isolated = {row["target_id"]: row["state"] for row in rows if row["verb"] == "isolate_host"}
        both = all(isolated.get(host) == "active" for host in HOSTS)
        self.voice.expect("both hosts isolated, verified at the target", both, isolated)
        refused = [row for row in rows if row["target_id"] == PROTECTED and row["verb"] == "isolate_host"]
        why = refused[0]["summary"] if refused else ""
        self.voice.expect(f"{PROTECTED} is refused: {why}", isolated.get(PROTECTED) == "refused", isolated)
        _, run = self.alice.get(f"/runs/{self.run}")
        blocked = {row["verb"]: row["state"] for row in rows if row["verb"].startswith("block_")}
        lied = blocked.get("block_domain") == "not_effective" and blocked.get("block_ip") == "active"
        self.voice.expect("a block answered 'success' without effect is not_effective", lied, blocked)
        told = [step for step in run["steps"] if step["verb"] == "notify" and step["status"] == "succeeded"]
        self.voice.expect("and its failure branch told the on-call team", bool(told), run["steps"])
        order = [entry["verb"] for entry in self.stage.log() if entry["method"] in ("apply", "evidence")]
        first = min((order.index(verb) for verb in ("isolate_host",) if verb in order), default=-1)
        late = order.index("collect_evidence") if "collect_evidence" in order else len(order)
        self.voice.expect("urgency immediate: contained first, collected at once after", first < late, order[:12])

    def _check_evidence(self) -> None:
        _, listed = self.carol.get(f"/incidents/{self.incident}/evidence")
        items = listed["items"]
        size = sum(item["size"] for item in items)
        self.voice.say(f"evidence: {len(items)} items, {size:,} bytes, hashed while they streamed in")
        self.voice.expect(
            "evidence of both hosts is in custody", {item["source"] for item in items} >= set(HOSTS), items
        )
        scans = [row for row in self._actions() if row["verb"] == "scan"]
        found = scans[0]["outputs"] if scans else {}
        hits = [f"{hit['host']}:{hit.get('path') or hit.get('pid')}" for hit in _hits(found)]
        self.voice.expect(f"YARA finds malware in it: {', '.join(hits[:4])}", found.get("malware_found") is True, found)

    # --- 6 ---------------------------------------------------------------------------------

    def power_cut(self) -> None:
        self.voice.act(6, "The power goes in the middle of an action")
        self._release_too_early()
        fault = {"verb": "quarantine_file", "phase": "apply", "fault": "hang_after", "seconds": 60}
        self.stage.estate("POST", "/faults", fault)
        kill = self._approval()
        self._vote(self.bob, kill)
        hung = until(
            lambda: [row for row in self._actions() if row["verb"] == "quarantine_file" and row["state"] == "calling"]
        )
        self.voice.expect("the estate hangs in the middle of a call", bool(hung), self._actions())
        key = hung[0]["id"] if hung else ""
        until(lambda: [entry for entry in self.stage.log() if entry["key"] == key and entry.get("changed")], 5)
        pid = self.stage.kill()
        self.voice.say(f"SIGKILL to the service (process {pid}) while the call is open.")
        self.stage.estate("DELETE", "/faults")
        seconds = self.stage.start()
        began = time.monotonic()
        done = until(
            lambda: self._state_of(key) in ("active", "done", "in_doubt", "failed") and self._state_of(key), 15
        )
        took = time.monotonic() - began
        self.voice.say(f"started again in {seconds:.1f} s; the work was taken up {took:.2f} s later.")
        self.voice.expect("it asked the target, found the effect, adopted it", done == "active", done)
        applied = [entry for entry in self.stage.log() if entry["key"] == key and entry["method"] == "apply"]
        self.voice.expect(
            f"the estate's log has exactly one apply for that key ({key[:13]}…)", len(applied) == 1, applied
        )

    def _release_too_early(self) -> None:
        isolated = self._action("isolate_host", HOSTS[0])
        status, refused = self.alice.post(
            f"/actions/{isolated['id']}/release", {"reason": "recovered", "why": "it looks fine"}
        )
        self.voice.expect(f"release before the host is proven clean: {refused.get('detail')}", status == 403, refused)

    # --- 7 ---------------------------------------------------------------------------------

    def recover(self) -> None:
        self.voice.act(7, "Recovery, and the end of the incident")
        release = self._approval(containing="release_host")
        clean = {
            row["target_id"]: row["outputs"].get("clean") for row in self._actions() if row["verb"] == "verify_clean"
        }
        self.voice.expect("both hosts are proven clean", all(clean.get(host) for host in HOSTS), clean)
        status, _ = self._vote(self.alice, release)
        self.voice.expect("alice may not release alone either", status == 403, status)
        self._vote(self.bob, release)
        task = until(lambda: self._open_task("manual"), 20)
        released = {row["target_id"]: row["state"] for row in self._actions() if row["verb"] == "isolate_host"}
        undone = all(released.get(host) == "reverted" for host in HOSTS)
        self.voice.expect("each isolation undone by compare-and-set", undone, released)
        self.voice.say(f"asked: {task['text'] if task else ''}")
        self.alice.post(f"/tasks/{task['id']}/answer", {"answer": {"restored": True}})
        run = until(self._ended_run, 10)
        self.voice.expect("the run ends: succeeded", run and run["status"] == "succeeded", run and run["reason"])
        self._dispose()
        status, closed = self.alice.post(
            f"/incidents/{self.incident}/close",
            {"resolution": "contained, cleaned, released; blocks kept to their date"},
        )
        self.voice.expect("the incident closes with every containment decided", status == 200, closed)
        _, timeline = self.alice.get(f"/incidents/{self.incident}/timeline")
        self.voice.console.print(chart(timeline, self.voice.console.width - 4))
        self.voice.table(
            ["lane", "phase", "entered", "left", "seconds", "moved by", "why"],
            [
                (
                    row["lane"], row["phase"], _clock(row["entered"]), _clock(row["left"]), f"{row['seconds']:.2f}",
                    row["moved_by"], row["why"],
                )
                for row in timeline["rows"]
            ],
        )  # fmt: skip
        phases = {row["phase"] for row in timeline["rows"]}
        self.voice.expect("all phases were lived through", phases >= {"detection", "containment", "recovery"}, phases)

    def _dispose(self) -> None:
        status, refused = self.alice.post(f"/incidents/{self.incident}/close", {"resolution": "done"})
        self.voice.expect(f"closing with undecided containments: {refused.get('detail')}", status == 409, refused)
        _, register = self.alice.get("/register")
        for effect in register["items"]:
            if effect["state"] == "not_effective":
                said = {"happened": "no", "reason": "the firewall never had the rule"}
                self.alice.post(f"/actions/{effect['id']}/resolve", said)
                self.voice.say(f"{effect['verb']} {effect['target']}: resolved, it never took effect")
                continue
            kept = effect["verb"].startswith("block_")
            decided = (
                {"disposition": "kept_to_date", "why": "the block ends by itself at its date"}
                if kept
                else {"disposition": "handed_over", "why": "the endpoint team keeps the file in quarantine"}
            )
            self.alice.post(f"/effects/{effect['id']}/disposition", decided)
            self.voice.say(f"{effect['verb']} {effect['target']}: {decided['disposition']}")

    # --- parts ------------------------------------------------------------------------------

    def _approval(self, other_than: str = "", containing: str = "") -> Any:
        def seen() -> Any:
            _, found = self.alice.get("/approvals?status=open")
            wanted = [each for each in found["items"] if each["id"] != other_than and containing in each["subject"]]
            return wanted[0] if wanted else None

        return until(seen, 20)

    def _vote(self, person: Person, approval: Any) -> tuple[int, Any]:
        body = {"decision": "approve", "reason": "seen the plan", "digest": approval["digest"]}
        return person.post(f"/approvals/{approval['id']}/votes", body)

    def _actions(self) -> list[Any]:
        _, found = self.alice.get(f"/actions?incident={self.incident}&limit=500")
        rows: list[Any] = found["items"]
        for row in rows:
            row["target_id"] = row["target"].partition(":")[2]
        return rows

    def _action(self, verb: str, target: str) -> Any:
        return next(row for row in self._actions() if row["verb"] == verb and row["target_id"] == target)

    def _state_of(self, key: str) -> str:
        status, row = self.alice.get(f"/actions/{key}")
        return str(row["state"]) if status == 200 else ""

    def _open_task(self, kind: str) -> Any:
        _, found = self.alice.get(f"/tasks?status=open&incident={self.incident}")
        wanted = [each for each in found["items"] if each["kind"] == kind]
        return wanted[0] if wanted else None

    def _ended_run(self) -> Any:
        _, run = self.alice.get(f"/runs/{self.run}")
        return run if run["status"] != "running" else None

    def _show_actions(self) -> None:
        self.voice.table(
            ["action", "target", "state", "what was seen"],
            [(row["verb"], row["target_name"], row["state"], row["summary"][:70]) for row in reversed(self._actions())],
        )


def _hits(outputs: Any) -> list[Any]:
    return [*outputs.get("files", []), *outputs.get("processes", [])]


def _clock(text: str | None) -> str:
    return datetime.fromisoformat(text).strftime("%H:%M:%S.%f")[:-4] if text else ""
