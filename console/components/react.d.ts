/** Types of `react.js`. */

import type { ReactElement } from "react";
import type { Balance, Check, Client, GenerationRequest, Reservation, Transaction } from "./scrip.js";

export interface HookOptions {
  /** In place of the page's client. */
  client?: Client | null;
}

export interface ResourceCheckResult {
  canProceed: boolean;
  reason?: "insufficient_tokens" | "insufficient_storage" | "ok" | (string & {});
  tokensNeeded?: number;
  storageNeeded?: number;
  currentTokens?: number;
  currentStorage?: number;
  storageLimit?: number;
}

export type OperationType = "image" | "video" | "general";

export interface ResourceCheckHook {
  checkImageGeneration: (estimatedTokens?: number, request?: Partial<GenerationRequest>) => Promise<boolean>;
  checkVideoGeneration: (estimatedTokens?: number, request?: Partial<GenerationRequest>) => Promise<boolean>;
  checkTokens: (requiredTokens: number, request?: Partial<GenerationRequest>) => Promise<boolean>;
  checkStorage: (requiredBytes: number, operationType?: OperationType) => Promise<boolean>;
  showInsufficientModal: boolean;
  insufficientType: "tokens" | "storage" | null;
  operationType: OperationType;
  resourceData: ResourceCheckResult | null;
  /** The whole answer, for the modal's `check`. */
  check: Check | null;
  error: Error | null;
  closeModal: () => void;
}
export function useResourceCheck(options?: HookOptions): ResourceCheckHook;

export type ReservedTransaction = Transaction & { transactionId: string };

export interface CreditsHook {
  creditBalance: number | string | null;
  reservedCredits: number;
  loading: boolean;
  error: Error | null;
  transactions: any[];
  loadTransactions: () => Promise<void>;
  validateCreditRequirement: (requirement: {
    requiredCredits: number;
    modelName?: string;
  }) => Promise<{ hasEnough: true; available: number }>;
  validateVideoCredits: (provider: string, model: string, resolution?: string, duration?: number) => Promise<Check>;
  validateImageCredits: (provider: string, model: string, options?: GenerationRequest["options"]) => Promise<Check>;
  reserveCredits: (what: Reservation & { transactionKey?: string }) => Promise<ReservedTransaction>;
  reserveCreditsForGeneration: (what: Reservation & { transactionKey?: string }) => Promise<ReservedTransaction>;
  confirmCreditTransaction: (outcome: { transactionId: string; success: boolean }) => Promise<Transaction | null>;
  confirmGenerationSuccess: (transactionId: string | undefined) => Promise<Transaction | null>;
  confirmGenerationFailure: (transactionId: string | undefined) => Promise<Transaction | null>;
  refreshCredits: () => Promise<Balance>;
}
export function useCredits(options?: HookOptions): CreditsHook;

export interface GenerationCreditsHook {
  validateAndReserveCredits: (provider: string) => Promise<ReservedTransaction>;
  handleGenerationSuccess: (transactionId: string | undefined) => Promise<Transaction | null>;
  handleGenerationFailure: (transactionId: string | undefined) => Promise<Transaction | null>;
  creditBalance: number | string | null;
  loading: boolean;
  error: Error | null;
}
export function useGenerationCredits(
  operation: string,
  model: string,
  options?: Record<string, string | number | boolean | undefined>,
  hookOptions?: HookOptions,
): GenerationCreditsHook;

export function useScripClient(own?: Client | null): Client | null;

export interface ModalProps {
  check?: Check | null;
  type?: "tokens" | "credits" | "storage" | "both" | null;
  operationType?: OperationType;
  onClose: () => void;
  onGenerate?: (kept: { prompt?: string; request?: GenerationRequest; check: Check }) => void;
  prompt?: string;
  request?: GenerationRequest;
  tokensNeeded?: number;
  currentTokens?: number;
  storageNeeded?: number;
  currentStorage?: number;
  storageLimit?: number;
}
export function InsufficientResourceModal(props: ModalProps): ReactElement;

export function CreditsDisplay(props: { showIcon?: boolean; showLabel?: boolean; className?: string }): ReactElement;

interface ElementProps {
  [attribute: string]: unknown;
}

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "scrip-credits": ElementProps;
      "scrip-cost": ElementProps;
      "scrip-storage": ElementProps;
      "scrip-budget": ElementProps;
      "scrip-token-dashboard": ElementProps;
      "scrip-insufficient-resource": ElementProps;
    }
  }
}
