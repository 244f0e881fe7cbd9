// What the review page asks of its server: glip.requests. Of one kind the newest request counts, since answers come in
// any order, late, or not at all.
(() => {
  "use strict";
  const glip = (globalThis.glip ??= {});
  const PATIENCE_MS = 30_000; // for a verdict that is on its way

  async function ask(path, body) {
    const options = body && {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE_MS),
    };
    const gone = () => { throw new Error("The server does not answer. Is `glip-engine serve` still running, and does it reach the dataset?"); };
    const answer = await fetch(path, options).catch(gone);
    const value = await answer.json().catch(gone);
    if (!answer.ok) throw new Error(value.error ?? `the server answered ${answer.status}`);
    return value;
  }

  const latest = {};

  // The value of the work, unless another of its kind has begun by then, or it was forgotten: then nothing, and no error.
  async function newest(kind, work) {
    const own = latest[kind] = {};
    try {
      const value = await work();
      return own === latest[kind] ? value : undefined;
    } catch (error) {
      if (own === latest[kind]) throw error;
      return undefined;
    } finally {
      if (own === latest[kind]) latest[kind] = null;
    }
  }

  const underWay = (kind) => Boolean(latest[kind]);
  const forget = (kind) => { latest[kind] = null; };

  glip.requests = { ask, newest, underWay, forget };
})();
