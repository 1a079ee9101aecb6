"""Every setting with its default and its rules; `shared.runtime.process` reads them (prefix `LAURELS_`)."""

import re
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import limits
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.hosts import is_loopback

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_TOKEN = re.compile(r"[!-+\--~]{16,}")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class Transport(StrEnum):
    """What carries events from the log to the projector."""

    POSTGRES = "postgres"
    KAFKA = "kafka"


class Settings(BaseSettings):
    """Every setting of every service, with its default."""

    model_config = SettingsConfigDict(env_prefix="LAURELS_", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(Path(".laurels"), description="Folder of the embedded PostgreSQL.")
    database_url: str = Field(
        "", description="PostgreSQL to use, postgresql://user:password@host/database; empty starts the embedded one."
    )
    transport: Transport = Field(
        Transport.POSTGRES, description="What carries events to the projector: postgres (the log itself) or kafka."
    )
    kafka_bootstrap_servers: str = Field("localhost:9092", description="Kafka brokers, host:port, comma-separated.")
    kafka_topic: str = Field("laurels.events", description="Topic that the relay publishes to.")
    kafka_replication: int = Field(
        1, ge=1, le=32767, description="Copies of each partition when the topic is made; 3 in a cluster of three."
    )
    kafka_group: str = Field(
        "laurels-projector", description="Consumer group of the projectors; each generation adds its number."
    )
    kafka_session_timeout_ms: int = Field(
        10_000, ge=1_000, description="Milliseconds without a heartbeat after which a projector's partitions move."
    )
    partitions: int = Field(
        8, ge=1, le=1024, description="Partitions of the log and of the topic; fixed when the database is made."
    )
    languages: str = Field("en,ru", description="Languages that users and texts may have, comma-separated.")
    write_tokens: str = Field(
        "", description="Bearer tokens, comma-separated, one of which every command needs; empty asks for none."
    )
    read_tokens: str = Field(
        "",
        description="Bearer tokens, comma-separated, for reads; write tokens read too; without write tokens "
        "nobody may command; empty asks for none.",
    )
    admin_tokens: str = Field(
        "", description="Bearer tokens, comma-separated, for /admin; empty leaves it to requests from this machine."
    )
    hosts: str = Field(
        "",
        description="Host names that requests may be addressed to beside this machine's own, name or name:port, "
        "comma-separated; with write tokens, empty allows any.",
    )
    open: Literal["yes", "no"] = Field(
        "no", description="yes allows another LAURELS_HOST than this machine's own without any tokens."
    )
    rate_limit: str = Field(
        "", description="Requests allowed to one client, such as 100/second or 5000/minute; empty is no limit."
    )
    idempotency_hours: int = Field(48, ge=24, description="Hours for which an Idempotency-Key's answer is kept.")
    recompute_seconds: int = Field(
        10, ge=1, description="Seconds that one answer of as_of and known_at may take; a longer one is refused."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error."
    )

    @field_validator("languages")
    @classmethod
    def _languages_are_named(cls, value: str) -> str:
        if not all(_LANGUAGE.fullmatch(part.strip()) for part in value.split(",")):
            raise ValueError("must be language codes separated by commas, such as en,ru")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_is_postgresql(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must be of the form postgresql://user:password@host/database")
        return value

    @field_validator("write_tokens", "read_tokens", "admin_tokens")
    @classmethod
    def _tokens_are_strong(cls, value: str) -> str:
        if value and not all(_TOKEN.fullmatch(part.strip()) for part in value.split(",")):
            raise ValueError(
                "each token between the commas needs at least 16 ASCII characters without spaces; "
                "`openssl rand -hex 16` makes one"
            )
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts_are_named(cls, value: str) -> str:
        if value and not all(_HOST.fullmatch(part.strip()) for part in value.split(",")):
            raise ValueError("must be host names separated by commas, such as laurels.example.org,10.0.0.5:8000")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _rate_limit_is_readable(cls, value: str) -> str:
        try:
            if value:
                limits.parse(value)
        except ValueError:
            raise ValueError("must be a number of requests and a time, such as 100/second") from None
        return value

    @model_validator(mode="after")
    def _is_protected_or_said_to_be_open(self) -> Self:
        if not (is_loopback(self.host) or self.write_tokens or self.read_tokens or self.open == "yes"):
            raise ValueError(
                f"LAURELS_HOST={self.host} would let everybody who reaches it read and write: set "
                "LAURELS_WRITE_TOKENS, or LAURELS_OPEN=yes if that is what you want."
            )
        return self

    @cached_property
    def language_set(self) -> frozenset[str]:
        """The languages as a set."""
        return frozenset(part.strip() for part in self.languages.split(","))

    @cached_property
    def write_token_set(self) -> frozenset[str]:
        """The tokens that may command; empty when nobody may, or everybody (`read_token_set` is empty too)."""
        return _parts(self.write_tokens)

    @cached_property
    def read_token_set(self) -> frozenset[str]:
        """The tokens that may only read; empty when reads are open."""
        return _parts(self.read_tokens)

    @cached_property
    def admin_token_set(self) -> frozenset[str]:
        """The tokens of operators; empty when only this machine may administrate."""
        return _parts(self.admin_tokens)

    @cached_property
    def host_set(self) -> frozenset[str]:
        """The values of `Host` that are answered beside this machine's own names, in lower case."""
        return frozenset(host.lower() for host in _parts(self.hosts))


def _parts(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())
