/** An application as the source documents write it, with the hooks under test. `tsc` checks it, esbuild bundles it. */

import { useState } from "react";
import { createRoot } from "react-dom/client";

import { createClient, setClient, type Client } from "scrip";
import {
  CreditsDisplay,
  InsufficientResourceModal,
  useCredits,
  useGenerationCredits,
  useResourceCheck,
} from "scrip/react";

declare global {
  interface Window {
    client: Client;
    start: (token: string) => void;
  }
}

function ImagePage() {
  const [told, setTold] = useState("");
  const {
    checkImageGeneration,
    checkVideoGeneration,
    checkTokens,
    checkStorage,
    showInsufficientModal,
    insufficientType,
    operationType,
    resourceData,
    error,
    closeModal,
  } = useResourceCheck();
  const say = (what: string) => async (check: () => Promise<boolean>) => setTold(`${what}: ${await check()}`);
  return (
    <section>
      <button onClick={() => say("image")(() => checkImageGeneration(100))}>Image</button>
      <button onClick={() => say("video")(() => checkVideoGeneration(500))}>Video</button>
      <button onClick={() => say("chat")(() => checkTokens(50))}>Chat</button>
      <button onClick={() => say("upload")(() => checkStorage(2 * 1024 ** 3, "general"))}>Upload</button>
      <output id="check">{told}</output>
      <output id="failure">{error?.name}</output>
      <output id="data">{JSON.stringify(resourceData)}</output>
      {showInsufficientModal && (
        <InsufficientResourceModal
          type={insufficientType}
          operationType={operationType}
          onClose={closeModal}
          tokensNeeded={resourceData?.tokensNeeded}
          currentTokens={resourceData?.currentTokens}
          storageNeeded={resourceData?.storageNeeded}
          currentStorage={resourceData?.currentStorage}
          storageLimit={resourceData?.storageLimit}
        />
      )}
    </section>
  );
}

function VideoPage() {
  const [resolution, setResolution] = useState("512P");
  const [transactionId, setTransactionId] = useState<string>();
  const [told, setTold] = useState("");
  const { validateVideoCredits, creditBalance, reservedCredits, transactions, loadTransactions } = useCredits();
  const generation = useGenerationCredits("video", "MiniMax-Hailuo-02", { resolution, duration: 6 });
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      setTold(String(await work()));
    } catch (raised) {
      setTold((raised as Error).message);
    }
  };
  const reserve = async () => {
    const result = await generation.validateAndReserveCredits("minimax");
    setTransactionId(result.transactionId);
    return "reserved";
  };
  return (
    <section>
      <CreditsDisplay showIcon={false} showLabel={true} className="text-lg font-bold" />
      <output id="balance">{`${creditBalance} ${reservedCredits}`}</output>
      <button onClick={() => setResolution("1080P")}>Best quality</button>
      <button
        onClick={() =>
          attempt(async () => (await validateVideoCredits("minimax", "MiniMax-Hailuo-02", resolution, 6)).reason)
        }
      >
        Validate
      </button>
      <button onClick={() => attempt(reserve)}>Reserve</button>
      <button onClick={() => attempt(async () => (await generation.handleGenerationSuccess(transactionId))?.status)}>
        Succeed
      </button>
      <button onClick={() => attempt(async () => (await generation.handleGenerationFailure(transactionId))?.status)}>
        Fail
      </button>
      <button onClick={() => void loadTransactions()}>History</button>
      <output id="told">{told}</output>
      <output id="error">{generation.error?.message}</output>
      <output id="history">{transactions.length}</output>
    </section>
  );
}

window.start = (token) => {
  window.client = createClient({ token, backoffMs: 20 });
  setClient(window.client);
  createRoot(document.getElementById("root")!).render(
    <>
      <ImagePage />
      <VideoPage />
    </>,
  );
};
