/** React hooks over the same client and elements. Needs React 18 or newer; types are in `react.d.ts`. */

import { createElement, useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import { getClient, newKey, onClient } from "./client.js";
import { enough, given, passed, reservation, resultOf } from "./credit-results.js";
import "./credits.js";
import "./insufficient-resource.js";

const NOTHING = () => () => {};

/** The page's client (`setClient`), or the one that is given. */
export function useScripClient(own = null) {
  const shared = useSyncExternalStore(onClient, getClient, () => null);
  return own ?? shared;
}

/** A second click for the same thing while the first is on its way gets the first one's answer, and has its key. */
function useOnce(run) {
  const flights = useRef(new Map());
  return useCallback(
    (what) => {
      const same = JSON.stringify(what);
      const flying = flights.current;
      if (!flying.has(same))
        flying.set(
          same,
          run(newKey(), what).finally(() => flying.delete(same)),
        );
      return flying.get(same);
    },
    [run],
  );
}

/**
 * May it run? Each check resolves with a boolean, and opens the modal's state where the answer is no. While the service
 * cannot be reached the answer is no, without the modal, and `error` says why.
 */
export function useResourceCheck({ client: own } = {}) {
  const client = useScripClient(own);
  const [shown, setShown] = useState(null);
  const [error, setError] = useState(null);
  const ask = useCallback(
    async (operationType, question) => {
      setError(null);
      try {
        const check = await question(required(client));
        setShown(check.can_proceed ? null : { operationType, check });
        return check.can_proceed;
      } catch (raised) {
        setError(raised);
        return false;
      }
    },
    [client],
  );
  const failed = shown?.check.checks.filter((check) => !check.ok) ?? [];
  return {
    checkImageGeneration: useCallback((tokens, request) => ask("image", (on) => on.checkImage(tokens, request)), [ask]),
    checkVideoGeneration: useCallback((tokens, request) => ask("video", (on) => on.checkVideo(tokens, request)), [ask]),
    checkTokens: useCallback((tokens, request) => ask("general", (on) => on.checkTokens(tokens, request)), [ask]),
    checkStorage: useCallback((bytes, type = "general") => ask(type, (on) => on.checkStorage(bytes)), [ask]),
    showInsufficientModal: shown !== null,
    insufficientType: failed[0] ? (shown.check.reason === "insufficient_storage" ? "storage" : "tokens") : null,
    operationType: shown?.operationType ?? "general",
    resourceData: useMemo(() => shown && resultOf(shown.check), [shown]),
    check: shown?.check ?? null,
    error,
    closeModal: useCallback(() => setShown(null), []),
  };
}

/** Credits: the balance, which moves at once, and the steps from validation to settlement. */
export function useCredits({ client: own } = {}) {
  const client = useScripClient(own);
  const { balance, failed, loaded } = useBalance(client);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [transactions, setTransactions] = useState([]);
  const run = useCallback(
    async (work) => {
      setBusy(true);
      setError(null);
      try {
        return await work(required(client));
      } catch (raised) {
        setError(raised);
        throw raised;
      } finally {
        setBusy(false);
      }
    },
    [client],
  );
  const validate = useCallback((request) => run(async (on) => passed(await on.check(request))), [run]);
  const reserve = useCallback(
    (key, { transactionKey = key, ...what }) =>
      run(async (on) => reservation(await on.reserve(what, { key: transactionKey }))),
    [run],
  );
  const confirm = useCallback((id) => (id ? run((on) => on.confirm(id)) : Promise.resolve(null)), [run]);
  const rollback = useCallback((id) => (id ? run((on) => on.rollback(id)) : Promise.resolve(null)), [run]);
  const loadTransactions = useCallback(() => run(async (on) => setTransactions(await on.transactions())), [run]);
  const reserveCredits = useOnce(reserve);
  return {
    creditBalance: balance?.available ?? null,
    reservedCredits: balance?.reserved ?? 0,
    loading: busy || !loaded,
    error: error ?? failed,
    transactions,
    loadTransactions,
    validateCreditRequirement: useCallback(
      ({ requiredCredits }) => run(async (on) => enough(requiredCredits, await on.balance())),
      [run],
    ),
    validateVideoCredits: useCallback(
      (provider, model, resolution, duration) =>
        validate({ operation: "video", provider, model, options: given({ resolution, duration }) }),
      [validate],
    ),
    validateImageCredits: useCallback(
      (provider, model, options = {}) => validate({ operation: "image", provider, model, options }),
      [validate],
    ),
    reserveCredits,
    reserveCreditsForGeneration: reserveCredits,
    confirmCreditTransaction: useCallback(
      ({ transactionId, success }) => (success ? confirm : rollback)(transactionId),
      [confirm, rollback],
    ),
    confirmGenerationSuccess: confirm,
    confirmGenerationFailure: rollback,
    refreshCredits: useCallback(() => run((on) => on.balance()), [run]),
  };
}

/** Credits of one generation: `operation` `image`, `video`, `music`…, the model chosen, and its options. */
export function useGenerationCredits(operation, model, options = {}, { client } = {}) {
  const { reserveCredits, confirmGenerationSuccess, confirmGenerationFailure, creditBalance, loading, error } =
    useCredits({ client });
  const chosen = JSON.stringify(given(options));
  const validateAndReserveCredits = useCallback(
    (provider) =>
      reserveCredits({ operation, provider, model, options: JSON.parse(chosen), reason: `${operation}-generation` }),
    [reserveCredits, operation, model, chosen],
  );
  return {
    validateAndReserveCredits,
    handleGenerationSuccess: confirmGenerationSuccess,
    handleGenerationFailure: confirmGenerationFailure,
    creditBalance,
    loading,
    error,
  };
}

/** The dialog as a component: either a `check`, or the figures one by one. `onGenerate`: there is enough now. */
export function InsufficientResourceModal({
  check,
  type,
  operationType,
  onClose,
  onGenerate,
  prompt,
  request,
  ...rest
}) {
  const element = useRef(null);
  const latest = useRef({});
  latest.current = { onClose, onGenerate };
  useEffect(() => {
    const dialog = element.current;
    const close = () => latest.current.onClose?.();
    const generate = ({ detail }) => latest.current.onGenerate?.(detail);
    dialog.addEventListener("scrip-close", close);
    dialog.addEventListener("scrip-generate", generate);
    if (check) dialog.show(check, request ? { prompt, request } : null);
    else dialog.setAttribute("open", "");
    return () => {
      dialog.removeEventListener("scrip-close", close);
      dialog.removeEventListener("scrip-generate", generate);
    };
  }, [check, prompt, request]);
  const figures = ["tokensNeeded", "currentTokens", "storageNeeded", "currentStorage", "storageLimit"];
  const attributes = Object.fromEntries(figures.map((name) => [dashed(name), rest[name]]));
  for (const name of figures) delete rest[name];
  return createElement("scrip-insufficient-resource", {
    ref: element,
    type,
    "operation-type": operationType,
    ...attributes,
    ...rest,
  });
}

/** The balance as a component: `showIcon`, `showLabel`, `className`. */
export function CreditsDisplay({ showIcon = true, showLabel = true, className }) {
  return createElement("scrip-credits", {
    "show-icon": String(showIcon),
    "show-label": String(showLabel),
    class: className,
  });
}

/** The store's balance, watched. The snapshot is a text, so that equal balances are the same to React. */
function useBalance(client) {
  const follow = useCallback(
    (told) => {
      if (!client) return () => {};
      client.store.addEventListener("change", told);
      const unwatch = client.store.watch(["me"]);
      return () => {
        client.store.removeEventListener("change", told);
        unwatch();
      };
    },
    [client],
  );
  const read = () => JSON.stringify(client?.store.balance() ?? null);
  const balance = JSON.parse(useSyncExternalStore(client ? follow : NOTHING, read, () => "null"));
  const failed = useSyncExternalStore(
    client ? follow : NOTHING,
    () => client?.store.reading("me")?.error ?? null,
    () => null,
  );
  return { balance, failed, loaded: balance !== null || failed !== null };
}

function required(client) {
  if (!client) throw new Error("There is no Scrip client yet: call setClient(createClient({…})) first.");
  return client;
}

const dashed = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
