"""Settings: one frozen value, read once from a TOML file and the environment, passed down.

The file is named by `SOAR_CONFIG`. Each setting can also come from the environment as `SOAR_` and
its name, parts joined by two underscores (`SOAR_SERVER__PORT=8080`); the environment wins.
Secrets never stand in the file: a setting refers to one as `env:NAME` or `file:PATH`.
"""

from __future__ import annotations

import os
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from soar.errors import Invalid, Problem
from soar.playbook.trust.markings import Tlp, parse_level
from soar.verbs import VERBS


class Part(BaseModel):
    """A group of settings: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Part):
    """Where the HTTP API listens."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)


class SourceSettings(Part):
    """A SIEM that may post alerts to `/api/v1/alerts/{name}`."""

    kind: str
    auth: Literal["bearer", "standard-webhooks"]
    secrets: tuple[str, ...] = Field(min_length=1, max_length=2)


class ProtectionSettings(Part):
    """What must not be touched: by id, by name (with * and ?), tag, group or network."""

    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    networks: tuple[IPvAnyNetwork, ...] = ()


class LimitSettings(Part):
    """How fast a connected system is called: `rate` a second (`burst` at once), `concurrency` at a time."""

    rate: float | None = Field(default=None, gt=0, le=100_000, allow_inf_nan=False)
    burst: int = Field(default=1, ge=1, le=100_000)
    concurrency: int | None = Field(default=None, ge=1, le=100_000)


class CapSettings(Part):
    """How many targets a verb may touch: in a run, an incident, an hour, and which share of a group (0 to 1)."""

    per_run: int | None = Field(default=None, ge=0)
    per_incident: int | None = Field(default=None, ge=0)
    per_hour: int | None = Field(default=None, ge=0)
    share_of_group: float | None = Field(default=None, ge=0, le=1)


class FreezeSettings(Part):
    """A change freeze: from `start` to `end`, with a time zone."""

    name: str
    start: datetime
    end: datetime


class GuardSettings(Part):
    """What the guards go by. Without `hard` or `soft`, nothing is contained automatically."""

    hard: ProtectionSettings | None = None
    soft: ProtectionSettings | None = None
    never_block_networks: tuple[IPvAnyNetwork, ...] = ()
    never_block_domains: tuple[str, ...] = ()
    warning_lists: tuple[str, ...] = ()
    resolvers: tuple[IPvAnyNetwork, ...] = ()
    blockable_networks: tuple[IPvAnyNetwork, ...] = ()
    widest_v4: int = Field(default=16, ge=0, le=32)
    widest_v6: int = Field(default=32, ge=0, le=128)
    caps: dict[str, CapSettings] = Field(default_factory=dict)
    group_sizes: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    canary: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    freezes: tuple[FreezeSettings, ...] = ()
    block_confidence: int = Field(default=80, ge=0, le=100)
    evidence_box: float = Field(default=60.0, ge=0)
    repair: dict[str, bool] = Field(default_factory=dict)
    same_day_issuer: Literal["strict", "bootstrap"] = "strict"

    @field_validator("caps", "canary")
    @classmethod
    def _for_verbs(cls, by_verb: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(by_verb) - set(VERBS) - {"*"})
        if unknown:
            raise ValueError(f"there is no verb {unknown[0]!r}; this is for a verb, or for all with *")
        return by_verb

    @field_validator("repair")
    @classmethod
    def _can_be_gone(cls, repair: dict[str, bool]) -> dict[str, bool]:
        wrong = sorted(name for name in repair if name not in VERBS or not VERBS[name].contains)
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no verb whose effect stands; only such a one can be repaired")
        return repair


class DrillSettings(Part):
    """What a drill calls too old, too little or too long, and where a copy of the signing key lies."""

    fresh_days: int = Field(default=365, ge=1, le=3650)
    expiry_days: int = Field(default=30, ge=0, le=3650)
    key_days: int = Field(default=7, ge=1, le=3650)
    key_backup: Path | None = None
    free_mb: int = Field(default=1024, ge=0)
    task_hours: float = Field(default=24.0, gt=0, allow_inf_nan=False)
    alert_days: int = Field(default=90, ge=1, le=3650)


class TrustSettings(Part):
    """Whose signatures on playbooks count, and whether new runs need one."""

    keys: Path | None = None
    signed_only: bool = False

    @model_validator(mode="after")
    def _somebody_to_trust(self) -> Self:
        if self.signed_only and self.keys is None:
            raise ValueError("with signed_only, keys must name the folder of trusted keys")
        return self


class SharingSettings(Part):
    """What may leave the house: at most `highest` (TLP 2.0), by export and to teams outside."""

    highest: Tlp = Tlp.AMBER
    outside_teams: tuple[str, ...] = ()


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="SOAR_", env_nested_delimiter="__")
    file: ClassVar[Path | None] = None

    data: Path = Path("var")
    database_url: str = Field(default="", repr=False)
    broker_url: str = Field(default="", repr=False)
    origin: str = "soar.local"
    workers: int = Field(default=4, ge=1, le=64)
    claim_seconds: float = Field(default=60.0, ge=0.5, le=3600)
    longest_step_days: float = Field(default=30.0, gt=0, le=3650)
    drift_seconds: float = Field(default=900.0, ge=1, le=7 * 86400)
    server: ServerSettings = ServerSettings()
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    adapters: dict[str, dict[str, Any]] = Field(default_factory=dict)
    guards: GuardSettings = GuardSettings()
    drills: DrillSettings = DrillSettings()
    playbooks: tuple[Path, ...] = ()
    trust: TrustSettings = TrustSettings()
    sharing: SharingSettings = SharingSettings()
    correlation_hours: float = Field(default=24.0, gt=0)
    dedupe_hours: float = Field(default=24.0, gt=0)

    @field_validator("adapters")
    @classmethod
    def _with_limits(cls, adapters: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """`limits` and `highest_tlp` of an adapter's table are ours; the rest is for the adapter itself to check."""
        for name, given in adapters.items():
            try:
                LimitSettings.model_validate(given.get("limits", {}))
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, (name, "limits", *first["loc"])))
                raise ValueError(f"{place}: {first['msg']}") from None
            try:
                parse_level(str(given.get("highest_tlp", Tlp.RED)))
            except Invalid as error:
                raise ValueError(f"{name}.highest_tlp: {error.problems[0].message}") from None
        return adapters

    @property
    def adapter_limits(self) -> dict[str, LimitSettings]:
        """The limits of each connected system that has any."""
        given = {name: each["limits"] for name, each in self.adapters.items() if each.get("limits")}
        return {name: LimitSettings.model_validate(limits) for name, limits in given.items()}

    @property
    def adapter_ceilings(self) -> dict[str, Tlp]:
        """The strictest level (TLP 2.0) that may go through each connected system that has a bound."""
        return {
            name: parse_level(str(each["highest_tlp"])) for name, each in self.adapters.items() if "highest_tlp" in each
        }

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        """PostgreSQL is spoken to by psycopg, however the URL says it."""
        scheme, _, rest = _resolved(url).partition("://")
        if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
            return f"postgresql+psycopg://{rest}"
        if scheme not in ("", "sqlite"):
            raise ValueError("a database is postgresql://USER:PASSWORD@HOST:PORT/NAME, or sqlite:///PATH")
        return _resolved(url)

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, url: str) -> str:
        if url and _resolved(url).partition("://")[0] not in ("redis", "rediss"):
            raise ValueError("a broker is redis://:PASSWORD@HOST:PORT/NUMBER (rediss:// with TLS)")
        return _resolved(url)

    @property
    def database_address(self) -> str:
        """Where the database is, without who asks and with which password."""
        return _address(self.url)

    @property
    def broker_address(self) -> str:
        """Where the broker is, without password."""
        return _address(self.broker_url)

    @property
    def url(self) -> str:
        """The database: what is set, else a SQLite file in the data folder."""
        return self.database_url or f"sqlite:///{self.data / 'soar.db'}"

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        toml = TomlConfigSettingsSource(settings_cls, toml_file=cls.file)
        return (init_settings, env_settings, toml)


# Settings of the programs around us that share the prefix: not ours to read.
_NOT_SETTINGS = {"SOAR_CONFIG", "SOAR_REQUIRE_REAL", "SOAR_SAMPLES", "SOAR_URL", "SOAR_KEY"}


def load(file: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings; raises Invalid naming each setting that is wrong."""
    chosen = file or (Path(os.environ["SOAR_CONFIG"]) if os.environ.get("SOAR_CONFIG") else None)
    if chosen is not None and not chosen.is_file():
        raise Invalid(f"there is no settings file {chosen}")
    reader = type("SettingsOfFile", (Settings,), {"file": chosen, "__module__": __name__})
    try:
        settings: Settings = reader(**overrides)
    except ValidationError as error:
        problems = [
            Problem(code=each["type"], message=each["msg"], pointer=".".join(str(part) for part in each["loc"]))
            for each in error.errors()
        ]
        raise Invalid("the settings are wrong", problems) from error
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{chosen} is not TOML: {error}") from error
    unknown = [name for name in os.environ if name.startswith("SOAR_") and not _known(name)]
    if unknown:
        raise Invalid(f"unknown settings in the environment: {', '.join(sorted(unknown))}")
    return settings


def _known(name: str) -> bool:
    first = name.removeprefix("SOAR_").partition("__")[0].lower()
    return name in _NOT_SETTINGS or first in Settings.model_fields


def secret(reference: str) -> str:
    """The secret that a reference names; raises Invalid without ever showing a value."""
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        value = os.environ.get(name)
        if not value:
            raise Invalid(f"the secret {reference} is not set in the environment")
        return value
    if scheme == "file":
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"the secret {reference} cannot be read") from error
    raise Invalid("a secret is given by reference: env:NAME or file:PATH")


def _resolved(url: str) -> str:
    """An address, or what a reference to one names; a wrong reference is a wrong setting."""
    try:
        return secret(url) if url.partition(":")[0] in ("env", "file") else url
    except Invalid as error:
        raise ValueError(error.message) from None


def _address(url: str) -> str:
    """An address without user, password and options. One that cannot be read for sure is not shown."""
    scheme, _, rest = url.partition("://")
    place, _, options = rest.partition("?")
    if "@" in options and "@" not in place:
        return f"{scheme}://(an address that cannot be read)"
    _, _, place = place.rpartition("@")
    return f"{scheme.partition('+')[0]}://{place}"


def check_secrets(settings: Settings) -> None:
    """Read every secret that the settings refer to; raises Invalid with each one that cannot be had."""
    problems = []
    for name, source in settings.sources.items():
        for number, reference in enumerate(source.secrets):
            try:
                secret(reference)
            except Invalid as error:
                place = f"sources.{name}.secrets.{number}"
                problems.append(Problem(code="secret", message=error.message, pointer=place))
    if problems:
        raise Invalid("a secret cannot be had", problems)
