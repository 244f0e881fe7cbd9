// The review page at work: searches, opens pictures, sends verdicts, takes them back. Keys and buttons do the same.
(() => {
  "use strict";
  const { page, overlay, nudged, verdicts: { same, accepted, before, nextUnjudged } } = globalThis.glip;
  const byId = (id) => document.getElementById(id);
  const form = byId("search");
  const state = { starts: [null], place: 0, next: null, samples: [], at: -1, sample: null, chosen: -1, all: false, drawing: false, editing: null, undo: [], ticket: 0, opening: 0, turning: false, reviewer: "", least: 0, searched: "", unsaved: 0, lost: new Set() };
  const PATIENCE_MS = 30_000; // for a verdict that is on its way
  const SLOW_MS = 1_500;

  async function ask(path, body) {
    const options = body && {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE_MS),
    };
    const answer = await fetch(path, options).catch(() => { throw new Error("The server does not answer. Is `glip-engine serve` still running?"); });
    const value = await answer.json();
    if (!answer.ok) throw new Error(value.error ?? `the server answered ${answer.status}`);
    return value;
  }

  const guarded = (work) => (...given) => work(...given).catch((error) => page.say(error.message, true));

  const fields = () => new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));

  async function load(open, kept = "replaceState") {
    const asked = fields();
    if (state.starts[state.place]) asked.set("after", state.starts[state.place]);
    history[`?${asked}` === location.search ? "replaceState" : kept](null, "", `?${asked}`);
    state.searched = location.search;
    page.say("Searching …");
    const ticket = ++state.ticket; // of two searches under way the later one is shown
    const found = await ask(`/api/samples?${asked}`);
    if (ticket !== state.ticket) return;
    page.say("");
    Object.assign(state, { samples: found.samples, next: found.next, at: -1 });
    page.samples(found.samples, (index) => show(index));
    byId("page-back").disabled = state.place === 0;
    byId("page-next").disabled = !found.next;
    if (found.samples.length) return show(open ?? 0);
    Object.assign(state, { sample: null, opening: state.opening + 1 }); // what is not seen is not judged
    return page.empty("No box of this dataset matches.");
  }

  async function search(after, kept) { // where it fails, nothing follows: its message stays
    Object.assign(state, after ? { starts: [null, after], place: 1 } : { starts: [null], place: 0 });
    page.totals("");
    await load(0, kept);
    const { ticket } = state;
    const totals = await ask(`/api/totals?${fields()}`);
    if (ticket === state.ticket) page.totals(totals);
  }

  const turn = guarded(async (by, open) => {
    if (state.turning) return undefined; // a page is on its way, and the next one is known with it
    if (by > 0 && !state.next) return page.say("This was the last picture.");
    if (by < 0 && !state.place) return page.say("This is the first picture.");
    if (by > 0) state.starts[state.place + 1] = state.next;
    state.place += by;
    state.turning = true;
    const stay = (error) => { state.place -= by; throw error; };
    return load(open).catch(stay).finally(() => { state.turning = false; });
  });

  function show(index) {
    const place = Math.min(index, state.samples.length - 1);
    return openKey(state.samples[place].key, place);
  }

  const openKey = guarded(async (key, index) => {
    const opening = ++state.opening; // of two pictures under way the later one is shown
    state.at = index;
    const sample = await ask(`/api/sample?key=${encodeURIComponent(key)}`);
    if (opening !== state.opening) return;
    Object.assign(state, { sample, drawing: false, editing: null });
    state.lost.delete(key);
    page.lost(state.lost);
    page.verdicts(sample.verdicts);
    page.empty("");
    page.picture(sample, state.samples[index + 1]?.key);
    page.current(index);
    history.replaceState(null, "", `#${encodeURIComponent(key)}`);
    aim(nextUnjudged(shown(), -1));
    page.say("");
    paint();
  });

  const shown = () => state.sample.boxes.filter((box) => box.selected || state.all);
  const chosenBox = () => shown()[state.chosen];

  function paint() {
    if (!state.sample) return;
    const boxes = shown();
    if (state.editing && boxes[state.chosen]) boxes[state.chosen] = { ...boxes[state.chosen], box: state.editing };
    drawn.show(state.sample, boxes, state.chosen, state.drawing);
    page.caption(state.sample, boxes, boxes[state.chosen], (phrase) => choose(boxes.findIndex((box) => box.phrase === phrase)));
    page.boxes(state.sample, boxes, state.chosen, { choose, accept: (index) => judge(index, "accept"), reject: (index) => judge(index, "reject") });
    page.history(state.sample.history);
    page.pressed("draw", state.drawing);
    page.pressed("candidates", state.all);
  }

  function aim(index) { // a box that is drawn now is for the phrase of the chosen one
    state.chosen = index;
    if (chosenBox()) byId("draw-phrase").value = chosenBox().phrase;
  }

  function choose(index) {
    aim(index);
    state.editing = null;
    paint();
    page.reveal();
  }

  let saving = Promise.resolve();
  const save = (judgements, undone) => {
    const { key } = state.sample;
    const work = guarded(async () => {
      const slow = setTimeout(() => page.say(`Saving … ${state.unsaved === 1 ? "" : `${state.unsaved} are waiting.`}`), SLOW_MS);
      const sample = await ask("/api/verdicts", { key, judgements }).finally(() => clearTimeout(slow));
      if (undone) state.undo.push({ key, judgements: undone });
      page.verdicts(sample.verdicts);
      if (state.sample?.key === key) state.sample = sample;
      return true;
    });
    state.unsaved += 1;
    saving = saving.then(work).then((saved) => { // one after another: each builds on what was saved
      state.unsaved -= 1;
      if (!saved && state.sample?.key !== key) page.lost(state.lost.add(key)); // who went on is told which picture it was
      return saved;
    });
    return saving;
  };

  async function judge(index, verb) {
    const box = shown()[index];
    if (!box) return page.say("There is no box to judge.");
    const said = verb === "accept" ? accepted(box) : { phrase: box.phrase, target: box.target, verdict: "rejected" };
    const told = `${said.verdict}: ${state.sample.phrases[box.phrase]}`;
    const { verdict, by } = box, was = before(box), again = verdict === said.verdict && [state.reviewer, "you"].includes(by);
    if (!again) [box.verdict, box.by] = [said.verdict, "you"]; // shown at once: the next key is about the next box
    const rest = shown().some((one) => !one.verdict) ? "" : ". Every shown box has a verdict.";
    aim(nextUnjudged(shown(), index));
    paint();
    page.reveal();
    if (again) return page.say(`${told}, as before${rest}`);
    if (!(await save([said], [was]))) { Object.assign(box, { verdict, by }); return restore(); }
    paint();
    return page.say(told + rest);
  }

  async function restore() { // what could not be saved is shown no longer, and why stays on the page
    const why = byId("status").textContent;
    paint();
    await openKey(state.sample.key, state.at);
    page.say(why, true);
  }

  async function correct(index, corners) {
    const box = shown()[index], name = state.sample.phrases[box.phrase];
    state.editing = null;
    if (same(corners, box.box)) return paint();
    const word = box.score === null ? "added" : "corrected";
    const said = { phrase: box.phrase, target: box.target, verdict: word, drawn: corners };
    if (!(await save([said], [before(box)]))) return restore();
    paint();
    return page.say(`corrected: ${name}`);
  }

  async function add(corners) {
    const said = { phrase: Number(byId("draw-phrase").value), target: corners };
    const name = state.sample.phrases[said.phrase];
    state.drawing = false;
    const done = await save([{ ...said, verdict: "added", drawn: corners }], [{ ...said, verdict: "withdrawn" }]);
    if (done) state.chosen = shown().findIndex((box) => same(box.box, corners));
    paint();
    return done && page.say(`added: ${name}`);
  }

  async function acceptRest() {
    const rest = shown().filter((box) => !box.verdict);
    if (!rest.length) return page.say("Every shown box has a verdict.");
    if (!(await save(rest.map(accepted), rest.map(before)))) return undefined;
    paint();
    return page.say(rest.length === 1 ? "accepted 1 box" : `accepted ${rest.length} boxes`);
  }

  async function undo() {
    await saving; // the last verdict may be on its way
    const last = state.undo.pop();
    if (!last) return page.say("No verdict of this visit is left to take back.");
    if (last.key !== state.sample.key) await openKey(last.key, state.samples.findIndex((sample) => sample.key === last.key));
    if (last.key !== state.sample?.key || !(await save(last.judgements))) { state.undo.push(last); return undefined; }
    state.chosen = shown().findIndex((box) => same(box.target, last.judgements[0].target));
    paint();
    return page.say("taken back");
  }

  // --------------------------------------------------------------------------------------------- buttons and keys

  const step = (by) => (state.samples[state.at + by] ? show(state.at + by) : turn(by, by < 0 ? Infinity : 0));
  const verbs = {
    accept: () => judge(state.chosen, "accept"),
    reject: () => judge(state.chosen, "reject"),
    undo, acceptRest,
    draw: () => { state.drawing = !state.drawing; paint(); page.say(state.drawing ? "Drag over the picture to draw a box." : ""); },
    candidates: () => { state.all = !state.all; aim(nextUnjudged(shown(), -1)); paint(); },
    previous: () => step(-1), next: () => step(1),
    boxBefore: () => choose(Math.max(state.chosen - 1, 0)),
    boxAfter: () => choose(Math.min(state.chosen + 1, shown().length - 1)),
    edit: () => { if (chosenBox()) { state.editing = [...chosenBox().box]; page.say("Arrows move the box, with Shift its lower right corner. Enter saves, Escape does not."); } },
  };
  const keys = { a: "accept", r: "reject", u: "undo", "Shift a": "acceptRest", d: "draw", c: "candidates", e: "edit", ArrowLeft: "previous", ArrowRight: "next", ArrowUp: "boxBefore", ArrowDown: "boxAfter" };
  const pressed = ({ key, shiftKey }) => (key.length > 1 ? key : `${shiftKey ? "Shift " : ""}${key.toLowerCase()}`); // Caps Lock or not
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function editKey(event) {
    const by = arrows[event.key];
    if (by) state.editing = nudged(state.editing, by, event.shiftKey, state.sample);
    else if (event.key === "Enter") { correct(state.chosen, state.editing.map((value) => Math.round(value * 100) / 100)); return true; }
    else if (event.key === "Escape") { state.editing = null; page.say(""); }
    else return false;
    paint();
    return true;
  }

  const leave = () => byId("main").focus({ preventScroll: true }); // letters are keys again, and no longer text

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) { if (event.key !== "Escape") return; leave(); }
    else if (event.key === "/") byId("search").elements.phrase.focus();
    else if (!state.sample) return;
    else if (event.repeat && !arrows[event.key]) { if (!keys[pressed(event)]) return; } // one press is one verdict
    else if (state.editing) { if (!editKey(event)) return; }
    else if (event.key === "Escape" && state.drawing) verbs.draw();
    else if (keys[pressed(event)]) verbs[keys[pressed(event)]]();
    else return;
    event.preventDefault();
  }

  const drawn = overlay(byId("overlay"), { choose, change: correct, drawn: add });
  const asks = guarded(() => search(null, "pushState")); // the browser's Back leads to the search before
  form.addEventListener("submit", (event) => { event.preventDefault(); leave(); asks(); });
  form.addEventListener("change", ({ target }) => { if (target.matches("select")) asks(); });
  // What is chosen with the mouse is done; with the keyboard, the next arrow may choose another.
  let byKeys = false;
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => { byKeys = kind === "keydown"; }, true);
  addEventListener("change", ({ target }) => { if (target.matches("select") && !byKeys) leave(); });
  for (const [id, by] of [["page-next", 1], ["page-back", -1]]) byId(id).addEventListener("click", () => turn(by));
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => verbs[button.dataset.do]());
  document.addEventListener("keydown", onKey);

  // Search, page and picture at hand stand in the address, so that a reload comes back to them and an address can be
  // passed on.
  async function openAddress(key = decodeURIComponent(location.hash.slice(1))) {
    if (key && key !== state.sample?.key) await openKey(key, state.samples.findIndex((sample) => sample.key === key));
  }

  async function searchAddress() {
    const key = decodeURIComponent(location.hash.slice(1)); // the search shows its own first picture
    const asked = new URLSearchParams(location.search);
    form.reset();
    form.elements.min_score.value = state.least;
    for (const field of form.querySelectorAll("[name]")) field.value = asked.get(field.name) ?? field.value;
    await search(asked.get("after"));
    await openAddress(key);
  }

  addEventListener("hashchange", guarded(() => openAddress()));
  addEventListener("popstate", guarded(async () => { if (location.search !== state.searched) await searchAddress(); }));
  addEventListener("beforeunload", (event) => { if (state.unsaved) event.preventDefault(); });

  guarded(async () => {
    const about = await ask("/api/dataset");
    page.about(about);
    Object.assign(state, { reviewer: about.reviewer, least: about.min_score });
    await searchAddress();
  })();
})();
