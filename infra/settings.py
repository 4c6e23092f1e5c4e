"""What a deployment can set, read from SCRIP_… variables and printed by `scrip config`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All settings of all roles. Secrets are never shown; a role reads only what it needs."""

    model_config = SettingsConfigDict(env_prefix="SCRIP_", extra="ignore")

    writer_url: SecretStr = Field(
        default=SecretStr(""), description="PostgreSQL URI of the login scrip_writer (API, intake, sweeper)"
    )
    relay_url: SecretStr = Field(default=SecretStr(""), description="PostgreSQL URI of the login scrip_relay")
    projector_url: SecretStr = Field(default=SecretStr(""), description="PostgreSQL URI of the login scrip_projector")
    reader_url: SecretStr = Field(default=SecretStr(""), description="PostgreSQL URI of the login scrip_reader")
    owner_url: SecretStr = Field(
        default=SecretStr(""), description="PostgreSQL URI with the owner's rights, for migrations only"
    )
    kafka: str = Field(default="", description="Kafka bootstrap servers, host:port[,host:port]")
    kafka_security: str = Field(default="PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    kafka_username: str = Field(default="", description="SASL user")
    kafka_password: SecretStr = Field(default=SecretStr(""), description="SASL password (SCRAM-SHA-256)")
    kafka_ca_file: str = Field(default="", description="CA certificate of the brokers, a PEM file")
    kafka_replication: int = Field(default=1, ge=1, le=9, description="replicas of each topic; 3 in production")
    topic_prefix: str = Field(
        default="", description="put before every topic's name, for several deployments on one broker"
    )
    partitions: int = Field(default=12, ge=1, le=512, description="partitions of a new log; fixed once it exists")
    jwt_secret: SecretStr = Field(default=SecretStr(""), description="secret of HS256 tokens, at least 32 bytes")
    jwks_url: str = Field(default="", description="where the keys of RS256/ES256 tokens are published")
    jwt_issuer: str = Field(default="", description="required `iss` claim; empty: not checked")
    jwt_audience: str = Field(default="", description="required `aud` claim; empty: not checked")
    jwt_sub_claim: str = Field(default="sub", description="claim with the caller's own id")
    jwt_org_claim: str = Field(default="org", description="claim with the organisation")
    jwt_role_claim: str = Field(default="role", description="claim with the role")
    fingerprint_secret: SecretStr = Field(
        default=SecretStr(""), description="key of the HMAC over requests under an idempotency key"
    )
    host: str = Field(default="127.0.0.1", description="address the API listens on")
    port: int = Field(default=8080, ge=0, le=65535, description="port the API listens on")
    request_deadline_s: float = Field(
        default=10.0, gt=0, le=60, description="seconds until a command without an answer is 503"
    )
    trust_broker: bool = Field(
        default=True, description="accept usage events without `scripauth`: the broker's ACLs say who may write"
    )
    allowed_origins: str = Field(default="", description="origins that browsers may call from, comma-separated")
