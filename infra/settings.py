"""What a deployment can set, read from SCRIP_… variables and printed by `scrip config`."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.generations.request import DEFAULTS


class Settings(BaseSettings):
    """All settings of all roles. Secrets are never shown; a role reads only what it needs.

    The text below each one is its description, in `scrip config` and in the docs.
    """

    model_config = SettingsConfigDict(env_prefix="SCRIP_", extra="ignore", use_attribute_docstrings=True)

    writer_url: SecretStr = SecretStr("")
    """PostgreSQL URI of the login scrip_writer (API, intake, sweeper)"""
    relay_url: SecretStr = SecretStr("")
    """PostgreSQL URI of the login scrip_relay"""
    projector_url: SecretStr = SecretStr("")
    """PostgreSQL URI of the login scrip_projector"""
    reader_url: SecretStr = SecretStr("")
    """PostgreSQL URI of the login scrip_reader (the API's reads of one organisation)"""
    auditor_url: SecretStr = SecretStr("")
    """PostgreSQL URI of the login scrip_auditor (reads all organisations: API, verify, notifier)"""
    owner_url: SecretStr = SecretStr("")
    """PostgreSQL URI with the owner's rights, for migrations only"""
    kafka: str = ""
    """Kafka bootstrap servers, host:port[,host:port]"""
    kafka_security: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"""
    kafka_username: str = ""
    """SASL user"""
    kafka_password: SecretStr = SecretStr("")
    """SASL password (SCRAM-SHA-256)"""
    kafka_ca_file: str = ""
    """CA certificate of the brokers, a PEM file"""
    kafka_replication: int = Field(default=1, ge=1, le=9)
    """replicas of each topic; 3 in production"""
    topic_prefix: str = ""
    """put before every topic's name, for several deployments on one broker"""
    partitions: int = Field(default=12, ge=1, le=512)
    """partitions of a new log; fixed once it exists"""
    jwt_secret: SecretStr = SecretStr("")
    """secret of HS256 tokens, at least 32 bytes"""
    jwks_url: str = ""
    """where the keys of RS, PS, ES and EdDSA tokens are published"""
    jwt_issuer: str = ""
    """required `iss` claim; empty: not checked"""
    jwt_audience: str = ""
    """required `aud` claim; empty: not checked"""
    jwt_sub_claim: str = "sub"
    """claim with the caller's own id; as the next two: a name, names with dots between, a JSON pointer"""
    jwt_org_claim: str = "org"
    """claim with the organisation"""
    jwt_role_claim: str = "role"
    """claim with the role, or with a list of roles"""
    jwt_role_map: str = ""
    """the provider's roles as ours, theirs=ours with commas between them; the first that a token has decides; empty:
    the claim has our roles, the strongest decides, and `admin` must stand alone"""
    fingerprint_secret: SecretStr = SecretStr("")
    """key of the HMAC over requests under an idempotency key"""
    host: str = "127.0.0.1"
    """address the API listens on, and the roles' metrics"""
    port: int = Field(default=8080, ge=0, le=65535)
    """port the API listens on"""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """port on which a role serves its /metrics, on SCRIP_HOST; the API too, beside the one on its port; 0: it does
    not"""
    metrics_token: SecretStr = SecretStr("")
    """bearer token that reads /metrics on the API's port from anywhere; empty: only callers on the same machine and the
    platform's admins do"""
    https: bool = False
    """browsers reach the API by HTTPS only: answers carry Strict-Transport-Security"""
    connections: int = Field(default=10_000, ge=16, le=200_000)
    """connections at a time; at it those that wait for a request are closed for new ones, else 503"""
    connections_per_address: int = Field(default=1_000, ge=1, le=200_000)
    """connections of one address at a time; more are 429"""
    trusted_proxy: bool = False
    """all callers come through a proxy of yours, which limits each of them: no limits by address here"""
    request_memory_mb: int = Field(default=128, ge=16, le=65_536)
    """MB for requests that are read or wait, and as much for answers that are not read; one address may have half;
    beyond it 503, and what is not read is cut"""
    rate_limit: int = Field(default=10, ge=0, le=10_000)
    """requests for generations per window and user, with the user's own token"""
    rate_limit_programs: int = Field(default=0, ge=0, le=10_000)
    """the same for workers, admins and API keys; 0: not limited"""
    rate_window_s: int = Field(default=60, ge=1, le=86_400)
    """seconds of that window, and of the next ones"""
    free_limit: int = Field(default=120, ge=0, le=1_000_000)
    """commands that take nothing (refused ones, holds, purchases, one's own budget) per window, user and process of the
    API, with the user's own token; 0: not limited"""
    free_limit_users: int = Field(default=12_000, ge=0, le=10_000_000)
    """the same for all users of an organisation together"""
    free_limit_programs: int = Field(default=60_000, ge=0, le=10_000_000)
    """refused commands of an organisation's workers, administrators and API keys together"""
    max_streams: int = Field(default=10_000_000, ge=1, le=1_000_000_000)
    """accounts, budgets, storages, groups, members of groups, and settings of users and models that an organisation may
    have together"""
    request_deadline_s: float = Field(default=10.0, gt=0, le=60)
    """seconds until a command without an answer is 503"""
    hung_after_s: float = Field(default=10.0, ge=0, le=86_400)
    """seconds without a sign of life after which `scrip up` ends a role and starts it again; three times as many for
    PostgreSQL, Kafka and the API's answers; 0: never"""
    trust_broker: bool = False
    """accept usage events without `scripauth`, because the broker's ACLs say who may write; one that has it is checked
    all the same"""
    stalled_after_s: float = Field(default=60.0, gt=0, le=86_400)
    """seconds without progress, while records wait, after which a consumer is unhealthy"""
    watched_folders: str = ""
    """folders on this machine whose free space is watched, name=path with commas between; `postgres` is PostgreSQL's;
    `scrip up` sets it itself"""
    disk_reserve_mb: int = Field(default=256, ge=0, le=1_000_000)
    """free megabytes (of 1,048,576 bytes) on PostgreSQL's disk below which commands are refused (503), before
    PostgreSQL itself stops; 0: none are"""
    default_storage_limit: int = Field(default=DEFAULTS.storage_limit, ge=0, le=10**15)
    """bytes that a user may store where neither the user nor the plan has a limit"""
    tokens_image_simple: int = Field(default=DEFAULTS.image_simple, ge=0, le=10**9)
    """tokens of a simple image without a price"""
    tokens_image_complex: int = Field(default=DEFAULTS.image_complex, ge=0, le=10**9)
    """tokens of a complex image without a price"""
    tokens_video_short: int = Field(default=DEFAULTS.video_short, ge=0, le=10**9)
    """tokens of a video of up to 6 s without a price"""
    tokens_video_long: int = Field(default=DEFAULTS.video_long, ge=0, le=10**9)
    """tokens of a longer video without a price"""
    tokens_chat: int = Field(default=DEFAULTS.chat, ge=0, le=10**9)
    """tokens of a chat message without a price"""
    link_tokens: str = "/settings/tokens"
    """the application's page to buy tokens or credits"""
    link_plan: str = "/settings/subscription"
    """its page to choose a plan"""
    link_generations: str = "/generations"
    """its page to delete old generations"""
    link_budget: str = "/settings/budget"
    """its page to raise the monthly budget"""
    link_admin: str = "/support"
    """its page to ask an administrator for help"""
    webhooks_allow_private: bool = False
    """let webhooks go to private addresses and without TLS: for tests only"""
    payments: str = ""
    """who takes the money for purchases: manual (on invoice: an administrator says what is paid), signed (a provider's
    signed callback says it), or empty: nothing can be bought"""
    payments_secret: SecretStr = SecretStr("")
    """secrets of the signed provider's callbacks (whsec_…), separated by spaces while one is changed"""
    payments_checkout_url: str = ""
    """its page to pay at, with {purchase_id}, {organisation}, {amount} and {currency} to be filled in"""
    console: bool = True
    """serve the console at /"""
    session_secret: SecretStr = SecretStr("")
    """key that encrypts the console's sessions and signs its sign-ins, at least 32 bytes"""
    session_idle_s: int = Field(default=7_200, ge=60, le=2_592_000)
    """seconds without use after which a console session ends"""
    session_max_s: int = Field(default=28_800, ge=60, le=2_592_000)
    """seconds after which a console session ends in any case"""
    development_login: bool = False
    """let anybody sign in to the console as anybody: on one machine, for trying out"""
    oidc_issuer: str = ""
    """OpenID Connect issuer that signs people in to the console"""
    oidc_client_id: str = ""
    """the console's client id at the issuer"""
    oidc_client_secret: SecretStr = SecretStr("")
    """its secret"""
    oidc_scopes: str = "openid profile"
    """scopes to ask for, separated by spaces; with `offline_access` most issuers give a refresh token, and the console
    refreshes a sign-in before its token ends"""
    oidc_token: Literal["id_token", "access_token"] = "id_token"  # noqa: S105 - the name of a kind of token
    """which of the issuer's tokens the API gets: a JWT that it accepts"""
    oidc_logout: bool = True
    """signing out of the console leads to the issuer's end_session_endpoint, which comes back to /login"""
    log_file_bytes: int = Field(default=8 * 1024**2, ge=64 * 1024, le=1024**3)
    """bytes of a log file of `scrip up`, from which on a new one is begun"""
    log_files: int = Field(default=5, ge=2, le=100)
    """log files of each process of `scrip up`, the current one included"""
    log_lines_per_minute: int = Field(default=100, ge=1, le=1_000_000)
    """warnings and errors of one kind and caller that a role logs in a minute; more are counted"""
    allowed_origins: str = ""
    """origins that browsers may call from, comma-separated"""
    allowed_hosts: str = ""
    """names (`Host`, without port) under which the console answers beside localhost, comma-separated; empty: any. With
    SCRIP_DEVELOPMENT_LOGIN the whole service answers under localhost and these only"""
    failed_logins: int = Field(default=20, ge=0, le=10_000)
    """failed logins a minute for one API key of an address, five times that for all logins of the address; then they
    get 429. 0, or SCRIP_TRUSTED_PROXY: not limited"""


for _field in Settings.model_fields.values():
    _field.description = " ".join((_field.description or "").split())  # one line, wherever it is shown
