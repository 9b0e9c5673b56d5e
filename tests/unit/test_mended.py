"""Small stories of things that once passed in silence."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from api.demo.stage import StageError, _clean, _own
from api.wiring import build
from soar.config import GuardSettings, Settings
from soar.errors import Conflict, Invalid, StaleFence
from soar.playbook.yaml import yaml_form
from soar.store import work
from soar.store.session import Store
from soar.store.tables import work as work_table
from tests.unit.test_store import one_run, store

__all__ = ["store"]

HEAD = """
id: odd
name: Odd
created: 2026-11-23T09:00:00.000Z
modified: 2026-11-23T09:00:00.000Z
types: [mitigation]
steps:
"""


def codes(steps: str) -> set[str]:
    with pytest.raises(Invalid) as caught:
        yaml_form.load(HEAD + steps)
    return {problem.code for problem in caught.value.problems}


def test_an_approval_by_a_role_that_nobody_can_vote_with_is_refused() -> None:
    asks = "approval: {any_of: [king], persons: 1, within: 1h, on_timeout: deny}"
    assert "unknown_role" in codes(f"  - {{id: a, do: revoke_sessions, with: {{account: x}}, {asks}}}\n")


def test_a_release_written_as_a_deed_is_refused_by_the_checker() -> None:
    assert "undo_by_verb" in codes("  - {id: a, do: release_host, with: {host: x}}\n")


def test_a_cap_for_a_verb_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="isolate_hsot"):
        GuardSettings.model_validate({"caps": {"isolate_hsot": {"per_run": 1}}})


def test_a_log_is_not_gone_on_with_under_a_new_key(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    house = build(settings)
    house.sealer.seal()
    house.close()
    (tmp_path / "data" / "signing-key.pem").unlink()
    with pytest.raises(Conflict, match="signed with it"):
        build(settings)


def test_two_demos_do_not_play_in_one_folder(tmp_path: Path) -> None:
    folder = _clean(tmp_path / "demo")
    held = _own(folder)
    with pytest.raises(StageError, match="another demo"):
        _clean(folder)
    held.close()
    assert _clean(folder) == folder


def test_a_claim_that_nobody_lengthens_is_freed_and_its_late_worker_kept_out(store: Store) -> None:
    store.write(one_run)
    late = store.write(lambda tx: work.claim(tx, work.Owner("one")))
    assert late is not None
    store.write(lambda tx: work.extend(tx, [late.id]))
    assert store.write(work.free_expired) == 0
    store.write(lambda tx: tx.conn.execute(work_table.update().values(claimed_until=tx.now - timedelta(seconds=1))))
    assert store.write(work.free_expired) == 1
    with pytest.raises(StaleFence):
        store.write(lambda tx: work.check_fence(tx, late))
    again = store.write(lambda tx: work.claim(tx, work.Owner("two")))
    assert again is not None
    assert again.id == late.id
