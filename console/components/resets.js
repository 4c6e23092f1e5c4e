/** When the limits that were met begin anew. */

const LEARN = {
  budget: async (client) => (await client.budget()).period_end,
  plan: async (client) => (await client.tokens()).refresh_date ?? undefined,
  groups: async (client, { subject }) => (await client.group(subject)).period_end,
};

/** A time for each resource that was short; null for a limit that stays; what cannot be learned is left out. */
export async function resetsOf(client, failed) {
  const learned = failed.map(async (check) => {
    const begins = client && LEARN[check.resource]?.(client, check).catch(() => undefined);
    return [check.resource, await begins];
  });
  return Object.fromEntries(
    (await Promise.all(learned)).filter(([, begins]) => begins !== undefined && begins !== false),
  );
}
