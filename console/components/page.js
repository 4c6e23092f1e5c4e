/** The one client that all elements of a page share unless they have their own. */

let shared = null;
const page = new EventTarget();

/** Make this the client of all elements of the page that have none of their own. */
export function setClient(client) {
  shared = client;
  page.dispatchEvent(new Event("client"));
}

/** The page's client, null before `setClient`. */
export const getClient = () => shared;

/** Call `listener` whenever the page's client changes. */
export function onClient(listener) {
  page.addEventListener("client", listener);
  return () => page.removeEventListener("client", listener);
}
