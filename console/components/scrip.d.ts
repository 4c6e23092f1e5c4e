/** Types of the browser client and of the elements. Answers are those of the API: see its OpenAPI document. */

export interface GenerationRequest {
  operation: string;
  provider?: string;
  model?: string;
  options?: Record<string, string | number | boolean>;
  tokens?: number;
  bytes?: number;
  token_type?: string;
  feature?: string;
}

export interface ResourceCheck {
  resource: string;
  subject: string;
  ok: boolean;
  reason: string;
  needed: number | string;
  available: number | string | null;
  limit: number | string | null;
  deficit: number | string;
  currency?: string;
  message: string;
}

export interface Alternative {
  label: string;
  provider: string | null;
  model: string | null;
  options: Record<string, string | number | boolean>;
  credits: number;
  tokens: number;
  usd: string;
  currency: string;
}

export interface Check {
  can_proceed: boolean;
  reason: string;
  tokens_needed: number;
  storage_needed: number;
  current_tokens: number;
  current_storage: number;
  storage_limit: number;
  storage_percent: number;
  quote: { credits: number; tokens: number; usd: string; bytes: number; price_version: number | null };
  checks: ResourceCheck[];
  alternatives: Alternative[];
  actions: { label: string; href: string }[];
  /** The service was away, and the integrator chose to go on and to note what is held. */
  offline?: boolean;
}

export interface Transaction {
  transaction_id: string;
  status?: string;
  amount?: number;
  position: string | null;
}

/** Whole numbers; one beyond 2^53 - 1 is a string of its digits, which BigInt reads exactly. */
export interface Balance {
  available: number | string;
  reserved: number | string;
}

export interface Click {
  /** The idempotency key of an earlier attempt at the same click. */
  key?: string;
}

export type Reservation = ({ amount: number } | { model: string }) & {
  provider?: string;
  operation?: string;
  options?: Record<string, string | number | boolean>;
  reason?: string;
  metadata?: Record<string, unknown>;
  ttl_seconds?: number;
};

export interface ClientOptions {
  baseUrl?: string;
  token?: string;
  getToken?: (renew: boolean) => Token | Promise<Token>;
  organisation?: string;
  offline?: { mode?: "refuse" | "journal"; cap?: number; owner?: string };
  fetch?: typeof fetch;
  retries?: number;
  backoffMs?: number;
  timeoutMs?: number;
  live?: boolean;
}

export type Token = string | { token: string; expires_at?: string | number };

export class ScripError extends Error {
  readonly status: number;
  readonly code: string;
  readonly problem: Record<string, unknown>;
  readonly idempotencyKey?: string;
}
export class Refused extends ScripError {
  readonly check: Check | null;
}
export class Unreachable extends ScripError {}

/** Dispatches "change", "event" (a CustomEvent of the live stream), "replayed" and "replay-refused". */
export class Store extends EventTarget {
  readonly connection: "connecting" | "live" | "reconnecting" | "polling";
  reading(name: "me" | "tokens" | "budget" | "storage"): { value?: any; at?: number; error: Error | null } | undefined;
  watch(names: string[]): () => void;
  refresh(...names: string[]): Promise<any>;
  balance(unit?: "credits" | "tokens"): Balance | null;
}

export class Client {
  readonly store: Store;
  check(request: GenerationRequest): Promise<Check>;
  checkImage(tokens?: number | null, request?: Partial<GenerationRequest>): Promise<Check>;
  checkVideo(tokens?: number | null, request?: Partial<GenerationRequest>): Promise<Check>;
  checkTokens(tokens: number, request?: Partial<GenerationRequest>): Promise<Check>;
  checkStorage(bytes: number, request?: Partial<GenerationRequest>): Promise<Check>;
  quote(
    request: GenerationRequest,
  ): Promise<{ credits: number | null; tokens: number | null; usd: string | null; item: string }>;
  priceOf(request: Partial<GenerationRequest> & { amount?: number }): number;
  reserve(what: Reservation, click?: Click): Promise<Transaction>;
  confirm(transactionId: string, click?: Click): Promise<Transaction>;
  rollback(transactionId: string, click?: Click): Promise<Transaction>;
  generate(
    request: GenerationRequest & { prompt?: string; id?: string; metadata?: Record<string, unknown> },
    click?: Click,
  ): Promise<Transaction & { generation_id: string; expires_at: string }>;
  cancel(generationId: string, click?: Click): Promise<any>;
  me(): Promise<any>;
  balance(unit?: "credits" | "tokens"): Promise<Balance>;
  tokens(): Promise<any>;
  budget(): Promise<any>;
  setBudget(amount: string): Promise<any>;
  storage(): Promise<any>;
  packages(): Promise<
    { id: string; name: string; unit: string; amount: number; price: { amount: string; currency: string } }[]
  >;
  buy(
    packageId: string,
    purchase?: Click & { account?: string },
  ): Promise<{ purchase_id: string; status: string; checkout_url?: string }>;
  group(id: string): Promise<any>;
  transactions(limit?: number): Promise<any[]>;
}

export function createClient(options?: ClientOptions): Client;
export function setClient(client: Client): void;
export function getClient(): Client | null;
export function onClient(listener: () => void): () => void;
export function newKey(): string;

export type Words = Record<string, string | Partial<Record<Intl.LDMLPluralRule, string>>>;
export function setStrings(strings: Words, options?: { language?: string }): void;
export function formatBytes(bytes: number, locale?: string): string;
export function formatTokens(tokens: number, locale?: string): string;
export function formatNumber(value: number, locale?: string): string;
export function formatMoney(amount: string | number, currency?: string, locale?: string): string;

export class ScripElement extends HTMLElement {
  client: Client | null;
}
export class ScripCredits extends ScripElement {}
export class ScripTokenDashboard extends ScripElement {}
export class ScripBudget extends ScripElement {}
export class ScripStorage extends ScripElement {}
export class ScripCost extends ScripElement {
  request: GenerationRequest;
  readonly check: Check | null;
}
export class ScripInsufficientResource extends ScripElement {
  check: Check | null;
  readonly open: boolean;
  show(check: Check, kept?: { prompt?: string; request?: GenerationRequest } | null): void;
  close(): void;
  recheck(): Promise<Check | null>;
  forget(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "scrip-credits": ScripCredits;
    "scrip-cost": ScripCost;
    "scrip-storage": ScripStorage;
    "scrip-budget": ScripBudget;
    "scrip-token-dashboard": ScripTokenDashboard;
    "scrip-insufficient-resource": ScripInsufficientResource;
  }
}
