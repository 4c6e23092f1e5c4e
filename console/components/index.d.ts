/** Types of `index.js`. */

export * from "./scrip.js";
