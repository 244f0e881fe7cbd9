// The review page at work: searches, opens pictures, sends verdicts, takes them back. Keys and buttons do the same.
(() => {
  "use strict";
  const { page, overlay, nudged } = globalThis.glip;
  const byId = (id) => document.getElementById(id);
  const form = byId("search");
  const state = { starts: [null], place: 0, next: null, samples: [], at: -1, sample: null, chosen: -1, all: false, drawing: false, editing: null, undo: [], ticket: 0 };

  async function ask(path, body) {
    const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(path, options);
    const value = await answer.json();
    if (!answer.ok) throw new Error(value.error ?? `the server answered ${answer.status}`);
    return value;
  }

  const guarded = (work) => (...given) => work(...given).catch((error) => page.say(error.message, true));

  const fields = () => new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));

  const load = guarded(async (open) => {
    const asked = fields();
    if (state.starts[state.place]) asked.set("after", state.starts[state.place]);
    page.say("Searching …");
    const ticket = ++state.ticket; // of two searches under way the later one is shown
    const found = await ask(`/api/samples?${asked}`);
    if (ticket !== state.ticket) return;
    page.say("");
    Object.assign(state, { samples: found.samples, next: found.next, at: -1 });
    page.samples(found.samples, (index) => show(index));
    byId("page-back").disabled = state.place === 0;
    byId("page-next").disabled = !found.next;
    if (!found.samples.length) page.empty("No box of this dataset matches.");
    else await show(open ?? 0);
  });

  const search = guarded(async () => {
    Object.assign(state, { starts: [null], place: 0 });
    page.totals("");
    await load();
    const { ticket } = state;
    const totals = await ask(`/api/totals?${fields()}`);
    if (ticket === state.ticket) page.totals(totals);
  });

  async function turn(by, open) {
    if (by > 0 && !state.next) return page.say("This was the last picture.");
    if (by < 0 && !state.place) return page.say("This is the first picture.");
    if (by > 0) state.starts[state.place + 1] = state.next;
    state.place += by;
    return load(open);
  }

  const show = guarded(async (index) => {
    const last = state.samples.length - 1;
    await openKey(state.samples[Math.min(index, last)].key, Math.min(index, last));
  });

  const openKey = guarded(async (key, index) => {
    const sample = await ask(`/api/sample?key=${encodeURIComponent(key)}`);
    Object.assign(state, { sample, at: index, drawing: false, editing: null });
    page.empty("");
    page.picture(sample);
    page.current(index);
    history.replaceState(null, "", `#${encodeURIComponent(key)}`);
    aim(nextUnjudged(-1));
    page.say("");
    paint();
  });

  const shown = () => state.sample.boxes.filter((box) => box.selected || state.all);
  const chosenBox = () => shown()[state.chosen];

  function nextUnjudged(from) {
    const boxes = shown();
    const after = boxes.findIndex((box, index) => index > from && !box.verdict);
    return after >= 0 ? after : boxes.length ? Math.min(Math.max(from, 0), boxes.length - 1) : -1;
  }

  function paint() {
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
    document.querySelector("#boxes .held")?.scrollIntoView({ block: "nearest" });
  }

  const same = (one, other) => one.every((value, side) => Math.abs(value - other[side]) < 0.01);

  // A verdict says how things stand in the end: a box that stands where a reviewer put it is accepted as that box.
  function accepted(box) {
    const said = { phrase: box.phrase, target: box.target };
    if (box.score === null) return { ...said, verdict: "added", drawn: box.box };
    return same(box.box, box.target) ? { ...said, verdict: "accepted" } : { ...said, verdict: "corrected", drawn: box.box };
  }

  const before = (box) => {
    const said = { phrase: box.phrase, target: box.target, verdict: box.verdict ?? "withdrawn" };
    return ["corrected", "added"].includes(box.verdict) ? { ...said, drawn: box.box } : said;
  };

  let saving = Promise.resolve();
  const save = (judgements, undone) => {
    const { key } = state.sample;
    const work = guarded(async () => {
      const sample = await ask("/api/verdicts", { key, judgements });
      if (undone) state.undo.push({ key, judgements: undone });
      if (state.sample.key === key) state.sample = sample;
      return true;
    });
    saving = saving.then(work); // one after another: each builds on what was saved
    return saving;
  };

  async function judge(index, verb) {
    const box = shown()[index];
    if (!box) return page.say("There is no box to judge.");
    const said = verb === "accept" ? accepted(box) : { phrase: box.phrase, target: box.target, verdict: "rejected" };
    const was = before(box);
    [box.verdict, box.by] = [said.verdict, "you"]; // shown at once: the next key is about the next box
    aim(nextUnjudged(index));
    paint();
    if (!(await save([said], [was]))) return restore();
    paint();
    return page.say(`${said.verdict}: ${state.sample.phrases[box.phrase]}`);
  }

  async function restore() { // what could not be saved is shown no longer, and why stays on the page
    const why = byId("status").textContent;
    await openKey(state.sample.key, state.at);
    page.say(why, true);
  }

  async function correct(index, corners) {
    const box = shown()[index];
    if (same(corners, box.box)) return paint();
    const word = box.score === null ? "added" : "corrected";
    state.editing = null;
    const said = { phrase: box.phrase, target: box.target, verdict: word, drawn: corners };
    if (!(await save([said], [before(box)]))) return restore();
    paint();
    return page.say(`corrected: ${state.sample.phrases[box.phrase]}`);
  }

  async function add(corners) {
    const said = { phrase: Number(byId("draw-phrase").value), target: corners };
    state.drawing = false;
    const done = await save([{ ...said, verdict: "added", drawn: corners }], [{ ...said, verdict: "withdrawn" }]);
    if (done) state.chosen = shown().findIndex((box) => same(box.box, corners));
    paint();
    return done && page.say(`added: ${state.sample.phrases[said.phrase]}`);
  }

  async function acceptRest() {
    const rest = shown().filter((box) => !box.verdict);
    if (!rest.length) return page.say("Every shown box has a verdict.");
    if (!(await save(rest.map(accepted), rest.map(before)))) return undefined;
    paint();
    return page.say(`accepted ${rest.length} boxes`);
  }

  async function undo() {
    const last = state.undo.pop();
    if (!last) return page.say("No verdict of this visit is left to take back.");
    if (last.key !== state.sample.key) await openKey(last.key, state.samples.findIndex((sample) => sample.key === last.key));
    if (!(await save(last.judgements))) { state.undo.push(last); return undefined; }
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
    candidates: () => { state.all = !state.all; aim(nextUnjudged(-1)); paint(); },
    previous: () => step(-1),
    next: () => step(1),
    boxBefore: () => choose(Math.max(state.chosen - 1, 0)),
    boxAfter: () => choose(Math.min(state.chosen + 1, shown().length - 1)),
    edit: () => { if (chosenBox()) { state.editing = [...chosenBox().box]; page.say("Arrows move the box, with Shift its lower right corner. Enter saves, Escape does not."); } },
  };
  const keys = { a: "accept", r: "reject", u: "undo", A: "acceptRest", d: "draw", c: "candidates", e: "edit", ArrowLeft: "previous", ArrowRight: "next", ArrowUp: "boxBefore", ArrowDown: "boxAfter" };
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

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (event.key === "/") byId("search").elements.phrase.focus();
    else if (!state.sample) return;
    else if (state.editing) { if (!editKey(event)) return; }
    else if (event.key === "Escape" && state.drawing) verbs.draw();
    else if (keys[event.key]) verbs[keys[event.key]]();
    else return;
    event.preventDefault();
  }

  const drawn = overlay(byId("overlay"), { choose, change: correct, drawn: add });
  form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
  form.addEventListener("change", ({ target }) => { if (target.matches("select")) search(); });
  byId("page-next").addEventListener("click", () => turn(1));
  byId("page-back").addEventListener("click", () => turn(-1));
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => verbs[button.dataset.do]());
  document.addEventListener("keydown", onKey);

  // The picture at hand stands in the address, so that a reload comes back to it and an address can be passed on.
  async function openAddress(key = decodeURIComponent(location.hash.slice(1))) {
    if (key && key !== state.sample?.key) await openKey(key, state.samples.findIndex((sample) => sample.key === key));
  }
  addEventListener("hashchange", () => openAddress());

  guarded(async () => {
    const about = await ask("/api/dataset");
    page.about(about);
    form.elements.min_score.value = about.min_score;
    const key = decodeURIComponent(location.hash.slice(1)); // the search below shows its own first picture
    await search();
    await openAddress(key);
  })();
})();
