"""The tables. Rows are the truth: a message, a timer or a thread only points at one.

Times are UTC. JSON columns hold plain data. `UNIQUE` constraints carry the semantics that must
never be broken by two workers: one delivery, one action key, one vote for each person.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = sa.MetaData(naming_convention=NAMING)


class Moment(sa.types.TypeDecorator[datetime]):
    """A point in time. Refuses naive values; SQLite gets UTC without a zone, so that text sorts."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def bind_processor(self, dialect: Dialect) -> Any:
        """One write stores the same moment in many columns, so the newest ones are kept as they are stored."""
        if dialect.name not in _stored:
            _stored[dialect.name] = lru_cache(maxsize=128)(super().bind_processor(dialect))  # type: ignore[arg-type]
        return _stored[dialect.name]

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_stored: dict[str, Any] = {}
"""For each kind of database, what makes of a moment what is stored; one for all columns."""


def _id(name: str = "id") -> sa.Column[str]:
    return sa.Column(name, sa.String(64), primary_key=True)


def _text(name: str, *, null: bool = False, index: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null, index=index, default=default)


def _at(name: str, *, null: bool = False, index: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, Moment, nullable=null, index=index)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON, nullable=False)


def _int(name: str, default: int = 0, *, index: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, default=default, index=index)


def _count(name: str) -> sa.Column[int]:
    """A number that begins at 0, also in rows that were there before the column."""
    return sa.Column(name, sa.Integer, nullable=False, default=0, server_default="0")


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, default=False)


def _ref(name: str, to: str, *, null: bool = False, index: bool = True) -> sa.Column[str]:
    """`index`: not where a unique key of several columns begins with this one; it finds the rows as well."""
    return sa.Column(name, sa.String(64), sa.ForeignKey(f"{to}.id"), nullable=null, index=index)


def _few(name: str, column: sa.Column[Any]) -> None:
    """Index a column that is empty in most rows; those cost nothing then."""
    some = column.is_not(None)
    sa.Index(name, column, sqlite_where=some, postgresql_where=some)


meta = sa.Table("meta", metadata, _id("name"), _json("value"))

# who
persons = sa.Table(
    "persons", metadata, _id(), _text("name"), _flag("active"), _at("created_at"), _text("created_by"),
    sa.UniqueConstraint("name"),
)  # fmt: skip
roles = sa.Table(
    "roles", metadata, _id(), _ref("person_id", "persons", index=False), _text("role"), _at("granted_at"),
    _text("granted_by"), sa.UniqueConstraint("person_id", "role"),
)  # fmt: skip
keys = sa.Table(
    "keys", metadata, _id(), _ref("person_id", "persons", null=True), _text("service", null=True),
    _text("secret_sha256"), _json("roles"), _at("created_at"), _text("created_by"), _at("expires_at", null=True),
    _at("revoked_at", null=True), sa.UniqueConstraint("secret_sha256"),
)  # fmt: skip

# what came in
incidents = sa.Table(
    "incidents", metadata, _id(), _int("number"), _text("title"), _text("status"), _text("determination"),
    _int("severity_id"), _at("opened_at"), _at("declared_at", null=True),
    _text("declared_by", null=True), _text("declared_why", null=True), _text("confirmed_by", null=True),
    _at("closed_at", null=True), _int("version", 1), sa.UniqueConstraint("number"),
)  # fmt: skip
alerts = sa.Table(
    "alerts", metadata, _id(), _ref("incident_id", "incidents"), _text("source"), _text("source_alert_id"),
    _text("dedupe_key", index=True), _text("rule_id"), _text("title"), _int("severity_id"), _at("occurred_at"),
    _at("first_seen"), _at("last_seen"), _int("count", 1), _json("facts"), _text("raw_sha256"),
    _text("joined_why", default=""), sa.UniqueConstraint("source", "source_alert_id"),
)  # fmt: skip
deliveries = sa.Table(
    "deliveries", metadata, _id(), _text("source"), _text("delivery_id"), _text("body_sha256"), _at("received_at"),
    _json("answer"), sa.Column("raw", sa.LargeBinary), sa.UniqueConstraint("source", "delivery_id"),
)  # fmt: skip
"""`raw` is the body of a small delivery, byte for byte; that of a large one is in the vault, by its digest."""
scope = sa.Table(
    "scope", metadata, _id(), _ref("incident_id", "incidents", index=False), _text("kind"), _text("entity_id"),
    _text("name"), _text("status"), _text("resolved_by"), _at("as_of"), _at("known_since", null=True), _json("entity"),
    _at("added_at"), sa.UniqueConstraint("incident_id", "kind", "entity_id"),
    sa.Index("ix_scope_entity_id", "entity_id"),
)  # fmt: skip
observables = sa.Table(
    "observables", metadata, _id(), _ref("incident_id", "incidents", index=False), _text("type"), _text("value"),
    _text("verdict"), _int("confidence"), _text("judged_by", default=""), _at("added_at"),
    sa.UniqueConstraint("incident_id", "type", "value"),
)  # fmt: skip
links = sa.Table(
    "links", metadata, _id(), _ref("incident_id", "incidents", index=False), _text("kind"), _text("value", index=True),
    _at("seen_at"), sa.UniqueConstraint("incident_id", "kind", "value"),
)  # fmt: skip
proposals = sa.Table(
    "proposals", metadata, _ref("incident_id", "incidents", index=False), _text("playbook_slug"),
    sa.PrimaryKeyConstraint("incident_id", "playbook_slug"),
)  # fmt: skip
"""Which playbooks were proposed in which incident: each of them once."""

# what should happen, and what does
playbooks = sa.Table(
    "playbooks", metadata, _id("digest"), _text("playbook_id", index=True), _text("slug", index=True), _text("name"),
    _json("document"), _at("loaded_at"), _flag("current"),
)  # fmt: skip
runs = sa.Table(
    "runs", metadata, _id(), _ref("incident_id", "incidents"), _text("playbook_digest"), _text("playbook_slug"),
    _text("status", index=True), _json("state"), _json("inputs"), _text("why"), _text("started_by"),
    _text("started_kind", default="person"), _flag("automatic"), _int("priority"), _at("created_at"),
    _at("started_at", null=True), _at("ended_at", null=True), _text("reason", default=""),
    _text("called_by", null=True), _count("version"),
)  # fmt: skip
_few("ix_runs_called_by", runs.c.called_by)
work = sa.Table(
    "work", metadata, _id(), _ref("run_id", "runs", index=False), _text("occurrence"), _int("attempt"), _text("kind"),
    _text("step_id"), _text("branch"), _text("state"), _int("priority"), _text("owner", null=True),
    _int("fence"), _text("boot", null=True), _at("claimed_until", null=True), _at("created_at"),
    _json("notes"), _count("losses"), sa.UniqueConstraint("run_id", "occurrence", "attempt"),
    sa.Index("ix_work_state_priority_id", "state", "priority", "id"),
)  # fmt: skip
actions = sa.Table(
    "actions", metadata, _id(), _text("origin"), _text("step_path"), _int("command_index"), _text("target"),
    _text("target_name"), _text("verb"), _int("generation"), _text("adapter"), _json("params"), _text("repeat_class"),
    _text("digest"), _text("state", index=True), _ref("incident_id", "incidents"), _ref("run_id", "runs", null=True),
    _text("step", default=""), _text("undo_of", null=True), _text("undo_reason", default=""),
    _text("renews", null=True),
    _json("prior"), _json("handle"), _json("outputs"), _json("guards"), _text("summary", default=""),
    _int("lease_seconds"), _int("review_seconds"), _text("caller"), _text("approval_id", null=True),
    _text("effect_id", null=True), _at("created_at"), _at("called_at", null=True),
    _at("verified_at", null=True), _at("ended_at", null=True),
    sa.UniqueConstraint("origin", "step_path", "command_index", "target", "verb", "generation"),
)  # fmt: skip
sa.Index(
    "ix_actions_calling", actions.c.adapter, sqlite_where=actions.c.state == "calling",
    postgresql_where=actions.c.state == "calling",
)  # fmt: skip
sa.Index("ix_actions_verb_called_at", actions.c.verb, actions.c.called_at)
sa.Index("ix_actions_target_verb", actions.c.target, actions.c.verb)
_few("ix_actions_undoing", actions.c.undo_of)
_few("ix_actions_renewing", actions.c.renews)
_few("ix_actions_approval", actions.c.approval_id)
_few("ix_actions_effect", actions.c.effect_id)
effects = sa.Table(
    "effects", metadata, _id(), _text("adapter"), _text("verb"), _text("target", index=True), _text("params_digest"),
    _text("state", index=True), _at("since"), _at("verified_at", null=True), _at("expires_at", null=True),
    _at("ended_at", null=True), _text("action_id"), _json("handle"), _json("prior"),
    _text("disposition", null=True), _text("disposition_why", default=""), _int("generation", 1),
    _at("checked_at", null=True), _text("trouble", null=True), sa.Column("seen", sa.JSON, nullable=True),
    sa.Column("repairs", sa.Integer, nullable=False, default=0, server_default="0"),
)  # fmt: skip
_OPEN = effects.c.ended_at.is_(None)
sa.Index(
    "ix_effects_open", effects.c.adapter, effects.c.verb, effects.c.target, effects.c.params_digest, unique=True,
    sqlite_where=_OPEN, postgresql_where=_OPEN,
)  # fmt: skip
holds = sa.Table(
    "holds", metadata, _id(), _ref("effect_id", "effects"), _ref("incident_id", "incidents"), _text("action_id"),
    _text("owner"), _text("reason"), _at("review_at", null=True), _at("expires_at", null=True),
    _at("placed_at"), _at("ended_at", null=True),
    _text("end_reason", null=True), _flag("overdue"),
    sa.Column("generation", sa.Integer, nullable=False, default=1, server_default="1"),
)  # fmt: skip
due = sa.Table(
    "due", metadata, _id(), _at("at"), _text("kind"), _text("ref", index=True), _int("generation"), _json("data"),
    _text("state"), sa.Index("ix_due_state_at", "state", "at"),
)  # fmt: skip

# people decide
approvals = sa.Table(
    "approvals", metadata, _id(), _ref("incident_id", "incidents"), _ref("run_id", "runs", null=True),
    _text("work_id", null=True), _text("subject"), _text("digest"), _json("digests"), _json("any_of"),
    _int("persons", 1), _text("on_timeout"), _text("status", index=True), _text("asked_by"), _at("asked_at"),
    _at("expires_at", null=True), _at("decided_at", null=True), _int("escalations"),
)  # fmt: skip
votes = sa.Table(
    "votes", metadata, _id(), _ref("approval_id", "approvals", index=False), _text("person_id"), _text("decision"),
    _text("reason"), _text("digest"), _json("voter"), _at("at"), sa.UniqueConstraint("approval_id", "person_id"),
)  # fmt: skip
tasks = sa.Table(
    "tasks", metadata, _id(), _ref("incident_id", "incidents"), _ref("run_id", "runs", null=True),
    _text("work_id", null=True), _text("action_id", null=True), _text("kind"), _text("text"), _json("asks"),
    _text("status", index=True), _at("opened_at"), _at("due_at", null=True), _at("done_at", null=True),
    _text("done_by", null=True), _json("answer"),
)  # fmt: skip
switches = sa.Table(
    "switches", metadata, _id("name"), _text("set_by"), _text("reason"), _at("set_at"),
)  # fmt: skip
break_glass = sa.Table(
    "break_glass", metadata, _id(), _ref("incident_id", "incidents"), _text("status"), _text("reason"),
    _json("asker"), _at("asked_at"), _json("approver"), _at("opened_at", null=True), _at("expires_at"),
    _at("ended_at", null=True), _text("ended_by", default=""), _text("end_reason", default=""),
)  # fmt: skip

# limits of connected systems: one bucket for each, and who stands in line for it
buckets = sa.Table(
    "buckets", metadata, _id("adapter"), sa.Column("tokens", sa.Float, nullable=False), _at("filled_at"),
)  # fmt: skip
lines = sa.Table(
    "lines", metadata, _id("action_id"), _text("adapter"), _int("priority"), _at("since"), _at("back_at"),
    sa.Index("ix_lines_adapter_priority_since", "adapter", "priority", "since"),
)  # fmt: skip

# who is at work: one row for each process that serves or works, and when it was last heard of
nodes = sa.Table(
    "nodes", metadata, _id(), _text("kind"), _text("host"), _int("pid"), _at("started_at"), _at("seen_at"),
    _count("dropped"), _count("silent"),
)  # fmt: skip

# what is remembered
evidence_items = sa.Table(
    "evidence_items", metadata, _id(), _ref("incident_id", "incidents"), _text("action_id", null=True, index=True),
    _text("exhibit"), _text("name"), _text("evidence_class"), _text("source"), _text("path"), _text("method"),
    _text("tool"), _text("sha256", index=True), _text("sha512"), sa.Column("size", sa.BigInteger, nullable=False),
    _text("source_sha256", default=""), _at("acquired_at"), _at("stored_at"),
)  # fmt: skip
custody = sa.Table(
    "custody", metadata, _id(), _ref("item_id", "evidence_items", index=False), _int("seq"), _json("entry"),
    sa.UniqueConstraint("item_id", "seq"),
)  # fmt: skip
packages = sa.Table(
    "packages", metadata, _id(), _ref("incident_id", "incidents"), _text("status"), _text("path"), _text("sha256"),
    _json("record"), _at("created_at"), _text("problem", default=""),
)  # fmt: skip

# events: streams, values that may be redacted, and the log they are sealed into
events = sa.Table(
    "events", metadata, _id(), _text("stream"), _int("seq"), _text("kind"), _at("at"), _at("recorded_at"),
    _text("actor"), sa.Column("body", sa.LargeBinary, nullable=False), _text("hash"), _text("prev"),
    sa.UniqueConstraint("stream", "seq"),
)  # fmt: skip
event_values = sa.Table(
    "event_values", metadata, _ref("event_id", "events", index=False), _text("name"), _text("salt"), _json("value"),
    sa.PrimaryKeyConstraint("event_id", "name"),
)  # fmt: skip
heads = sa.Table("heads", metadata, _id("stream"), _int("seq"), _text("hash"))
"""The last event of each stream; on PostgreSQL its row is locked by who writes the next one."""
unsealed = sa.Table("unsealed", metadata, _id("event_id"))
leaves = sa.Table(
    "leaves", metadata, sa.Column("leaf_index", sa.Integer, primary_key=True, autoincrement=False),
    _text("event_id"), _text("hash"), sa.UniqueConstraint("event_id"),
)  # fmt: skip
checkpoints = sa.Table(
    "checkpoints", metadata, sa.Column("size", sa.Integer, primary_key=True, autoincrement=False), _text("root"),
    _text("note"), _at("signed_at"),
)  # fmt: skip
