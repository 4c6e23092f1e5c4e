/** Everything: importing this module registers all elements. */

export * from "./client.js";
export * from "./format.js";
export { setStrings } from "./strings.js";
export { ScripBudget } from "./budget.js";
export { ScripCost } from "./cost.js";
export { ScripCredits } from "./credits.js";
export { ScripInsufficientResource } from "./insufficient-resource.js";
export { ScripStorage } from "./storage.js";
export { ScripTokenDashboard } from "./token-dashboard.js";
